"""Static pages: what is served, what is refused at start, and what no request can reach."""

from __future__ import annotations

from pathlib import Path

import pytest

from headwater import Api, App, Module, Pages, Query, contract, public, role
from headwater.edge import pages as edge_pages
from headwater.edge.auth import NoVerifier
from headwater.edge.http import Request, Response
from headwater.edge.pages import StaticPages
from headwater.edge.routes import Router
from headwater.errors import ConfigurationError
from tests.flow.house import running


@contract("pages.ping", v=1)
class Ping(Query[str]):
    name: str = ""


module = Module("pages")


@module.handle(Ping)
async def ping(query: Ping) -> str:
    return query.name


def written(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        path = folder / name.replace("__", "/").replace("_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def loaded(folder: Path, path: str = "/") -> StaticPages:
    return StaticPages([Pages(path, str(folder))], NoVerifier())


def headers(response: Response) -> dict[str, str]:
    return {name.decode(): value.decode() for name, value in response.pairs()}


def test_files_are_found_at_their_paths(tmp_path: Path) -> None:
    found = loaded(written(tmp_path, index_html="<p>", sub__index_html="sub", sub__a_css="a{}"), "/site/")
    assert sorted(found.by_path) == [b"/site/", b"/site/sub/", b"/site/sub/a.css"]
    page = found.by_path[b"/site/"].answer()
    assert (page.status, page.body) == (200, b"<p>")
    said = headers(page)
    assert said["content-type"] == "text/html; charset=utf-8"
    assert said["cache-control"] == "no-cache"
    assert said["x-content-type-options"] == "nosniff"
    assert said["content-security-policy"].startswith("default-src 'self';")
    assert "unsafe" not in said["content-security-policy"]


@pytest.mark.parametrize(
    "path", [b"/index.html", b"/../secret.txt", b"/..%2fsecret.txt", b"//", b"", b"/.env", b"/sub", b"/%2e%2e/secret.txt"]
)
def test_nothing_else_is_found(tmp_path: Path, path: bytes) -> None:
    written(tmp_path, secret_txt="s")
    found = loaded(written(tmp_path / "pages", index_html="<p>", sub__a_css="a{}", _env="k"))
    assert path not in found.by_path


def test_a_version_that_is_known_is_not_sent_again(tmp_path: Path) -> None:
    page = loaded(written(tmp_path, a_js="1")).by_path[b"/a.js"]
    tag = headers(page.answer())["etag"].encode()
    for known in (tag, b'"x", W/' + tag, b"*"):
        again = page.answer(known)
        assert (again.status, again.body) == (304, b"")
        assert headers(again)["etag"].encode() == tag
    assert page.answer(b'"x"').status == 200


def test_odd_names_are_found_as_browsers_ask_for_them(tmp_path: Path) -> None:
    (tmp_path / "naïve a.txt").write_text("x")
    assert list(loaded(tmp_path).by_path) == [b"/na%C3%AFve%20a.txt"]


def test_what_cannot_be_served_is_refused_at_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigurationError, match="is not a folder"):
        loaded(tmp_path / "none")
    with pytest.raises(ConfigurationError, match=r"db\.sqlite: files of type '\.sqlite' are not served"):
        loaded(written(tmp_path / "a", db_sqlite=""))
    (tmp_path / "outside.txt").write_text("secret")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "link.txt").symlink_to(tmp_path / "outside.txt")
    with pytest.raises(ConfigurationError, match="is a link out of the folder"):
        loaded(tmp_path / "b")
    monkeypatch.setattr(edge_pages, "FILE_BYTES_MOST", 3)
    with pytest.raises(ConfigurationError, match="longer than 3 bytes"):
        loaded(written(tmp_path / "c", a_txt="1234"))
    monkeypatch.setattr(edge_pages, "ALL_BYTES_MOST", 5)
    with pytest.raises(ConfigurationError, match="more than 5 bytes"):
        loaded(written(tmp_path / "d", a_txt="123", b_txt="123"))
    with pytest.raises(ConfigurationError, match=r"another file at /a\.txt"):
        StaticPages([Pages("/", str(written(tmp_path / "e", a_txt="1")))] * 2, NoVerifier())


@pytest.mark.parametrize("path", ["", "help", "/help", "/a/../", "/{x}/", "/a b/"])
def test_a_path_that_is_none(path: str) -> None:
    with pytest.raises(ConfigurationError, match="begins and ends with /"):
        Pages(path, "pages")


async def test_pages_beside_routes(tmp_path: Path) -> None:
    """GET and HEAD find pages, other methods are told so, and the API is still there."""
    folder = written(tmp_path / "pages", index_html="hello", v1__other_txt="x")
    v1 = Api("v1", auth=public)
    v1.get("/ping/{name}", Ping)
    app = App("pages", modules=[module], apis=[v1], pages=[Pages("/", str(folder))])
    async with running(tmp_path, module) as node:
        router = Router(app.apis, node, pages=StaticPages(app.pages, NoVerifier()).by_path)
        got = {
            (method, path): await router.respond(Request(method, path, b"", {}))
            for method in ("GET", "HEAD", "POST", "OPTIONS") for path in (b"/", b"/nothing.html")
        }
        pong = await router.respond(Request("GET", b"/v1/ping/x", b"", {}))
    assert [got[method, b"/"].status for method in ("GET", "HEAD", "POST", "OPTIONS")] == [200, 200, 405, 204]
    assert {got[method, b"/nothing.html"].status for method in ("GET", "HEAD", "POST")} == {404}
    assert pong.body == b'"x"'


async def test_a_page_never_hides_a_route(tmp_path: Path) -> None:
    v1 = Api("v1", auth=public)
    v1.get("/{name}", Ping)
    folder = written(tmp_path / "pages", v1__ping_txt="x")
    async with running(tmp_path, module) as node:
        pages = StaticPages([Pages("/", str(folder))], NoVerifier()).by_path
        with pytest.raises(ConfigurationError, match=r"the page /v1/ping\.txt hides a route"):
            Router([v1], node, pages=pages)


def test_pages_for_staff_are_for_staff(tmp_path: Path) -> None:
    folder = written(tmp_path, index_html="secret")
    page = StaticPages([Pages("/", str(folder), auth=role("staff"))], NoVerifier()).by_path[b"/"]
    refused = page.admit(Request("GET", b"/", b"", {}))
    assert refused is not None
    assert refused.status == 401
    assert headers(page.answer())["cache-control"] == "private, no-cache"

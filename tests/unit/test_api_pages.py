"""The pages of an API, without a browser: what is said, what leads where, and what may be loaded."""

from __future__ import annotations

import json
from collections import Counter
from html.parser import HTMLParser

import pytest

from headwater import App
from headwater.edge.http import Request
from headwater.edge.openapi.document import OpenApi
from headwater.errors import ConfigurationError
from headwater.ops.api_pages.page import page
from headwater.ops.api_pages.pages import api_pages
from shop.app import app as shop
from tests.integration.kinds.kinds import app as kinds


class Marks(HTMLParser):
    """Collects ids, what leads to them, and attributes that would run something."""

    def __init__(self) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.leads: set[str] = set()
        self.inline: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name == "id":
                self.ids.append(value or "")
            elif (name == "href" and (value or "").startswith("#")) or name in ("for", "aria-labelledby"):
                self.leads.add((value or "").removeprefix("#"))
            elif name.startswith("on") or name == "style":
                self.inline.append(f"{tag} {name}")
        if tag == "style" or (tag == "script" and not dict(attrs).get("src")):
            self.inline.append(tag)


@pytest.mark.parametrize("app", [shop, kinds], ids=["shop", "kinds"])
def test_every_link_leads_somewhere_and_nothing_is_inline(app: App) -> None:
    marks = Marks()
    marks.feed(page(OpenApi(app).tree("v1"), name="v1", base=""))
    assert [one for one, often in Counter(marks.ids).items() if often > 1] == []
    assert marks.leads <= set(marks.ids)
    assert marks.inline == []


def test_files_versions_and_ends_are_told() -> None:
    shown = page(OpenApi(kinds).tree("v1"), name="v1", base="")
    for said in ("A file of any type", "deprecated", "2999-01-01", "refused-pet", "1 to 20 characters", "0 to 9", "by default", "list of just integer, string"):
        assert said in shown, said


async def test_pages_are_read_only_and_may_ask_the_api_alone() -> None:
    pages = api_pages(shop, base="https://shop.example:8443/")
    assert set(pages) == {"/api/v1", "/api/v1/openapi.json", "/api/docs.css", "/api/docs.js"}
    for path, answer in pages.items():
        for method, status in (("GET", 200), ("HEAD", 200), ("POST", 405), ("DELETE", 405)):
            response = await answer(Request(method, path.encode(), b"", {}))
            policy = dict(response.pairs())[b"content-security-policy"].decode()
            assert response.status == status
            assert "connect-src 'self' https://shop.example:8443;" in policy and "unsafe" not in policy
    told = await pages["/api/v1/openapi.json"](Request("GET", b"/api/v1/openapi.json", b"", {}))
    assert json.loads(told.body)["servers"] == [{"url": "https://shop.example:8443/"}]


@pytest.mark.parametrize("base", ["javascript:alert(1)", "shop.example", "https://", "https://a b", "https://a;script-src *", "ftp://a"])
def test_a_base_is_an_address(base: str) -> None:
    with pytest.raises(ConfigurationError, match="scheme://host"):
        api_pages(shop, base=base)

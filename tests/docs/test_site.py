"""The site is whole: built from what is there, every link leads somewhere, nothing is fetched."""

from __future__ import annotations

import ast
import json
import posixpath
import re
import textwrap
import tomllib
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest
from tools.docs.codes import raised, statuses
from tools.docs.site import DOCS, ROOT, BrokenLink, Site, build, definitions

from headwater.help import codes


class Html(HTMLParser):
    """What a page refers to, and what can be referred to in it."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.assets: list[str] = []
        self.ids: list[str] = []
        self.unlabelled: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        said = {name: value or "" for name, value in attrs}
        if "id" in said:
            self.ids.append(said["id"])
        if tag == "a":
            self.links.append(said.get("href", ""))
        if "src" in said or tag == "link":
            self.assets.append(said.get("src", said.get("href", "")))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site."""
    folder = tmp_path_factory.mktemp("site")
    build(folder)
    return folder


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[str, Html]:
    """Every page of it, read."""
    found = {}
    for path in site.rglob("*.html"):
        found[str(path.relative_to(site))] = page = Html()
        page.feed(path.read_text(encoding="utf-8"))
    return found


def test_every_link_leads_to_a_page_and_a_place_in_it(site: Path, pages: dict[str, Html]) -> None:
    """As a browser would follow it from file://, without a server that guesses."""
    broken = []
    for name, page in pages.items():
        for link in (*page.links, *page.assets):
            if "://" in link or link.startswith(("data:", "mailto:")):
                continue
            path, _, anchor = unquote(link).partition("#")
            target = posixpath.normpath(posixpath.join(posixpath.dirname(name), path)) if path else name
            if not (site / target).is_file() or (anchor and anchor not in pages[target].ids):
                broken.append(f"{name} -> {link}")
    assert broken == []
    assert sum(len(page.links) for page in pages.values()) > 1_000


def test_nothing_is_fetched_from_elsewhere(site: Path, pages: dict[str, Html]) -> None:
    """No script, style, font or picture from a network, in pages, styles or scripts."""
    assert [a for page in pages.values() for a in page.assets if re.match(r"(https?:)?//", a)] == []
    style = (site / "assets" / "site.css").read_text()
    script = (site / "assets" / "site.js").read_text()
    assert not re.search(r"@import|url\(\s*['\"]?(?!data:)", style)
    assert not re.search(r"\bfetch\(|XMLHttpRequest|import\(|https?://", script)


def test_no_page_has_one_id_twice(pages: dict[str, Html]) -> None:
    """Else a link into it would be a guess."""
    assert [name for name, page in pages.items() if len(set(page.ids)) != len(page.ids)] == []


def test_every_page_stands_in_the_contents() -> None:
    """And the contents name nothing else."""
    whole = Site()
    named = [name for _, entries in whole.contents for _, name in entries]
    assert len(set(named)) == len(named)
    assert set(named) == {name for name in whole.pages if not name.startswith("errors/")} | {"errors/index.md"}


def test_the_search_knows_every_heading(site: Path, pages: dict[str, Html]) -> None:
    """Its index is a script, because file:// lets no page fetch a file."""
    text = (site / "assets" / "index.js").read_text(encoding="utf-8")
    index = json.loads(text.removeprefix("window.HEADWATER_INDEX=").rstrip().removesuffix(";"))
    for entry in index:
        path, _, anchor = entry["p"].partition("#")
        assert not anchor or anchor in pages[path].ids, entry["p"]
    assert {"Idempotency", "overloaded", "The words"} <= {entry["t"] for entry in index}
    assert len(text) < 1_000_000


@pytest.mark.parametrize("target", ["nowhere.md", "../tests/nowhere.py", "index.md#no-such-heading", "../tests/flow/test_calls.py#test_no"])
def test_a_broken_link_stops_the_build(tmp_path: Path, target: str) -> None:
    """It is named, with its page."""
    broken = Site()
    broken.pages["index.md"] += f"\n[there]({target})\n"
    with pytest.raises(BrokenLink, match=r"index\.md"):
        broken.build(tmp_path / "site")


# --- guarantees ---------------------------------------------------------------------------------------


def test_every_guarantee_names_tests_that_exist() -> None:
    """By file and function; a promise without a test is none."""
    rows = [r for r in (DOCS / "guarantees.md").read_text(encoding="utf-8").splitlines() if r.startswith("| ")]
    promises = [row for row in rows if not row.startswith("| promise")]
    assert len(promises) > 30
    for row in promises:
        proofs = re.findall(r"\[`([\w.]+)`\]\(\.\./([\w/.]+)#([\w.]+)\)", row.split("|")[2])
        assert proofs, f"nothing proves: {row}"
        for said, path, name in proofs:
            assert said == name, row
            assert name.rpartition(".")[2].startswith("test_"), row
            assert name in definitions(ROOT / path), f"{path} has no {name}"


# --- error codes --------------------------------------------------------------------------------------


def test_every_code_that_is_raised_is_explained_and_no_other() -> None:
    """Add what is missing to src/headwater/help/codes.toml, then run `make docs`."""
    found, known = raised(), codes()
    assert {code: places for code, places in found.items() if code not in known} == {}
    assert sorted(set(known) - set(found)) == []
    assert len(found) > 80


def test_the_codes_of_the_error_classes_are_found() -> None:
    """The reading of the source misses none of what is there at run time."""
    from headwater import errors

    classes = [c for c in vars(errors).values() if isinstance(c, type) and issubclass(c, errors.HeadwaterError)]
    assert {c.code for c in classes} <= set(raised())


def test_every_code_says_what_to_do_and_where_to_read_on() -> None:
    """Cause and fix are sentences; pages that are named exist."""
    whole = Site()
    for code in codes().values():
        assert code.title.endswith((".", "`")), code.code
        assert code.cause.rstrip().endswith("."), code.code
        assert code.fix.rstrip().endswith("."), code.code
        assert all(page in whole.pages for page in code.see), code.code


def test_statuses_are_what_callers_see() -> None:
    """Of refusals, as the source says; of outcomes, as the edge answers."""
    from headwater import errors
    from headwater.edge.problems import Unauthenticated, problem_of

    known = codes()
    told = {code: {known[code].status} for code in statuses() if code != "disconnected"}  # nobody sees that one
    assert told == {code: found for code, found in statuses().items() if code in told}
    outcomes = (errors.NotExecuted, errors.OutcomeUnknown, Unauthenticated)
    classes = [c for c in vars(errors).values() if isinstance(c, type) and issubclass(c, outcomes)]
    for kind in [*(c for c in classes if c is not errors.InvalidMessage), Unauthenticated]:
        assert known[kind.code].status == problem_of(kind("said"), "").status, kind.code


def test_examples_of_codes_are_what_they_seem() -> None:
    """They are pieces, so they are read and not run."""
    for code in codes().values():
        if code.lang == "python":
            ast.parse("async def example():\n" + textwrap.indent(code.example, "    "))
        elif code.lang == "toml":
            tomllib.loads(code.example)
        elif code.lang == "json":
            json.loads(code.example)
        else:
            assert code.lang == "text", code.code


def test_the_pages_of_the_codes_are_as_the_data_says() -> None:
    """`make docs` writes them."""
    from tools.docs.codes import index_page, page

    there = {path.name: path.read_text(encoding="utf-8") for path in (DOCS / "errors").glob("*.md")}
    assert there == {f"{name}.md": page(code) for name, code in codes().items()} | {"index.md": index_page()}


# --- reference ----------------------------------------------------------------------------------------


def test_every_public_name_is_described() -> None:
    """Each has its heading, and text below it."""
    import importlib

    from tools.docs.reference import MODULES, reference_pages

    written = reference_pages()
    for module in MODULES:
        page = written[f"reference/{module}.md"]
        for name in importlib.import_module(module).__all__:
            assert f"\n## {name}\n" in page, f"{module}.{name}"
    from headwater.cli.main import _COMMANDS

    assert all(f"## headwater {name}" in written["reference/cli.md"] for name in _COMMANDS)


# --- figures ------------------------------------------------------------------------------------------


def test_the_page_on_limits_says_what_the_code_says() -> None:
    """A limit that is changed is changed in its row."""
    from headwater.edge import head
    from headwater.edge.representation import COMPRESSED_LEAST, COMPRESSED_MOST
    from headwater.edge.server import Limits
    from headwater.model import strict
    from headwater.runtime import scope

    rows = (DOCS / "concepts" / "limits.md").read_text(encoding="utf-8")
    served = Limits()
    for said in (
        f"| {scope.DEPTH_MOST} |", f"| {served.connections:,} |", f"| {served.head_seconds:g} s |",
        f"| {served.idle_seconds:g} s |", f"slower than {served.body_rate:g} bytes a second",
        f"| a request line | {head.TARGET_BYTES_MOST // 1024} KiB |", f"| one header | {head.HEADER_BYTES_MOST // 1024} KiB |",
        f"{head.HEAD_BYTES_MOST // 1024} KiB, {head.HEADERS_MOST} of them", f"{strict.DEPTH_MOST}, {strict.COLLECTION_MOST:,}",
        f"{served.body_bytes // 1024**2} MiB",
    ):
        assert said in rows, said
    formats = (DOCS / "concepts" / "formats.md").read_text(encoding="utf-8")
    assert f"from {COMPRESSED_LEAST // 1024} KiB to {COMPRESSED_MOST // 1024**2} MiB" in formats


def test_figures_of_other_pages_are_those_of_the_code() -> None:
    """Times that readers plan with."""
    from headwater.cli.serving import DRAIN_SECONDS
    from headwater.cli.supervisor import QUICK_DEATHS_MOST, QUICK_SECONDS
    from headwater.runtime.answers import KEEP_SECONDS
    from headwater.runtime.delivery import HANDLER_SECONDS
    from headwater.runtime.fresh import WAIT_SECONDS

    pages = {name: " ".join(text.split()) for name, text in Site().pages.items()}
    assert (KEEP_SECONDS, WAIT_SECONDS, QUICK_DEATHS_MOST, QUICK_SECONDS) == (7 * 86400, 0.25, 5, 5)
    assert "for seven days" in pages["concepts/idempotency.md"]
    assert "at most a quarter of a second" in pages["concepts/read-your-writes.md"]
    assert "Five that die within five seconds" in pages["concepts/health.md"]
    assert f"for {DRAIN_SECONDS:g} seconds at most" in pages["concepts/health.md"]
    assert f"Its budget is {HANDLER_SECONDS:g} seconds" in pages["concepts/events.md"]

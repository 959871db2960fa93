"""The site: every page of docs/, the reference, the sources that pages link to, one search, no network."""

from __future__ import annotations

import ast
import functools
import html
import json
import posixpath
import re
import shutil
from pathlib import Path
from string import Template

from pygments.formatters import HtmlFormatter  # type: ignore[import-untyped]

from headwater import __version__
from tools.docs.codes import ROOT
from tools.docs.markdown import Rendered, coloured, render
from tools.docs.reference import reference_pages

__all__ = ["ASSETS", "BrokenLink", "Site", "build"]

DOCS = ROOT / "docs"
ASSETS = Path(__file__).parent / "assets"
EXTRA = {"changelog.md": ROOT / "CHANGELOG.md", "contributing.md": ROOT / "CONTRIBUTING.md"}
"""Pages that lie elsewhere, and their names on the site."""
_CONTENTS = "contents.md"
_PICTURES = ("*.svg", "*.png")
_LANGUAGES = {".py": "python", ".toml": "toml", ".sql": "sql", ".in": "text", ".txt": "text"}
_WORDS = re.compile(r"\s+")


class BrokenLink(Exception):
    """A page links to what is not there."""


class Site:
    """Pages by name under docs/, as Markdown; made into HTML below a folder."""

    def __init__(self) -> None:
        self.pages = {str(p.relative_to(DOCS)): p.read_text(encoding="utf-8") for p in sorted(DOCS.rglob("*.md"))}
        self.pages |= {name: path.read_text(encoding="utf-8") for name, path in EXTRA.items()}
        self.pages |= reference_pages()
        self.contents = _contents(self.pages.pop(_CONTENTS))
        self.sources: set[str] = set()
        self._anchors: dict[str, set[str]] = {}
        self._wanted: list[tuple[str, str, str]] = []

    def build(self, folder: Path) -> int:
        """Write the site; return the number of pages. Raises BrokenLink naming page and target."""
        shutil.rmtree(folder, ignore_errors=True)
        (folder / "assets").mkdir(parents=True)
        index: list[dict[str, str]] = []
        for name, text in self.pages.items():
            page = render(text, functools.partial(self._link, name))
            self._anchors[name] = {h.id for h in page.headings}
            _write(folder / _address(name), self._layout(name, page))
            index += _entries(name, page)
        for source in sorted(self.sources):
            _write(folder / f"source/{source}.html", self._source(source))
        self._check_anchors()
        self._assets(folder / "assets", index)
        for picture in (one for kind in _PICTURES for one in DOCS.rglob(kind)):
            target = folder / picture.relative_to(DOCS)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(picture, target)
        return len(self.pages)

    # --- links --------------------------------------------------------------------------------

    def _link(self, page: str, target: str) -> str:
        """Return where a link of a page leads on the site. Raises BrokenLink."""
        if "://" in target or target.startswith("mailto:"):
            return target
        path, _, anchor = target.partition("#")
        named = self._named(page, path)
        if named in self.pages:
            if anchor:
                self._wanted.append((page, named, anchor))
            return _relative(page, _address(named)) + (f"#{anchor}" if anchor else "")
        place = ROOT / "docs" / named
        source = _inside(place)
        if source is None or not place.is_file():
            if source is not None and place.is_dir():
                return ""
            raise BrokenLink(f"{page}: there is nothing at {target}")
        self.sources.add(source)
        if anchor and anchor not in definitions(place):
            raise BrokenLink(f"{page}: {source} defines no {anchor}")
        return _relative(page, f"source/{source}.html") + (f"#{anchor}" if anchor else "")

    def _named(self, page: str, path: str) -> str:
        """Return a target's name under docs/, as seen from where the page's file lies."""
        if not path:
            return page
        lies = EXTRA.get(page)
        folder = posixpath.dirname(page) if lies is None else ".."
        named = posixpath.normpath(posixpath.join(folder, path))
        for name, file in EXTRA.items():
            if (DOCS / named).resolve() == file:
                return name
        return named

    def _check_anchors(self) -> None:
        for page, target, anchor in self._wanted:
            if anchor not in self._anchors[target]:
                raise BrokenLink(f"{page}: {target} has no heading #{anchor}")

    # --- pages --------------------------------------------------------------------------------

    def _layout(self, name: str, page: Rendered) -> str:
        here = posixpath.dirname(_address(name))
        up = "../" * (here.count("/") + 1 if here else 0)
        inside = [h for h in page.headings if h.level in (2, 3)]
        toc = "".join(f'<li class="level-{h.level}"><a href="#{h.id}">{html.escape(h.title)}</a></li>' for h in inside)
        return _template("page.html").substitute(
            title=html.escape(page.title or "Headwater"), up=up, body=page.html, version=__version__,
            navigation=self._navigation(name), neighbours=self._neighbours(name),
            toc=f"<h2>On this page</h2><ul>{toc}</ul>" if len(inside) > 1 else "",
        )

    def _navigation(self, here: str) -> str:
        parts = []
        for title, entries in self.contents:
            rows = "".join(
                f'<li><a href="{_relative(here, _address(name))}"{" aria-current=page" if name == here else ""}>'
                f"{html.escape(said)}</a></li>"
                for said, name in entries
            )
            is_open = " open" if any(name == here for _, name in entries) or title in ("Start", "Concepts") else ""
            parts.append(f"<details{is_open}><summary>{html.escape(title)}</summary><ul>{rows}</ul></details>")
        return "".join(parts)

    def _neighbours(self, here: str) -> str:
        names = [entry for _, entries in self.contents for entry in entries]
        at = next((i for i, (_, name) in enumerate(names) if name == here), None)
        if at is None:
            return ""
        links = []
        for offset, word, kind in ((-1, "Before", "prev"), (1, "Next", "next")):
            if 0 <= at + offset < len(names):
                said, name = names[at + offset]
                address = _relative(here, _address(name))
                links.append(f'<a rel="{kind}" href="{address}"><small>{word}</small>{html.escape(said)}</a>')
        return f'<nav class="neighbours" aria-label="Before and after">{"".join(links)}</nav>'

    def _source(self, source: str) -> str:
        path = ROOT / source
        text = path.read_text(encoding="utf-8")
        names = {line: name for name, line in definitions(path).items()}
        lines = coloured(text, _LANGUAGES.get(path.suffix, "text")).splitlines()
        rows = "\n".join(
            f'<span class="line"{f" id={chr(34)}{names[n]}{chr(34)}" if n in names else ""}>{line}</span>'
            for n, line in enumerate(lines, 1)
        )
        code = f'<figure class="code"><pre tabindex="0"><code>{rows}</code></pre></figure>'
        body = f"<h1><code>{html.escape(source)}</code></h1>{code}"
        up = "../" * (source.count("/") + 1)
        return _template("page.html").substitute(
            title=html.escape(source), up=up, body=body, version=__version__, neighbours="", toc="",
            navigation=self._navigation(f"source/{source}"),
        )

    def _assets(self, folder: Path, index: list[dict[str, str]]) -> None:
        light = HtmlFormatter(style="default").get_style_defs(".code")
        dark = HtmlFormatter(style="github-dark").get_style_defs("[data-theme=dark] .code")
        style = (ASSETS / "site.css").read_text(encoding="utf-8")
        (folder / "site.css").write_text(f"{style}\n{light}\n{dark}\n", encoding="utf-8")
        shutil.copy(ASSETS / "site.js", folder / "site.js")
        data = json.dumps(index, ensure_ascii=False, separators=(",", ":")).replace("</", "<\\/")
        (folder / "index.js").write_text(f"window.HEADWATER_INDEX={data};\n", encoding="utf-8")


def definitions(path: Path) -> dict[str, int]:
    """Return the functions and classes of a Python file with their lines; methods as `Class.name` and as `name`."""
    if path.suffix != ".py":
        return {}
    found: dict[str, int] = {}
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            found[node.name] = node.lineno
        if isinstance(node, ast.ClassDef):
            for inner in node.body:
                if isinstance(inner, (ast.FunctionDef, ast.AsyncFunctionDef)):
                    found.setdefault(f"{node.name}.{inner.name}", inner.lineno)
    return found


def _contents(text: str) -> list[tuple[str, list[tuple[str, str]]]]:
    """Read the table of contents: headings, and a link in each line below."""
    contents: list[tuple[str, list[tuple[str, str]]]] = []
    for line in text.splitlines():
        if line.startswith("## "):
            contents.append((line[3:].strip(), []))
        elif found := re.match(r"\* \[(.+?)\]\((.+?)\)", line):
            contents[-1][1].append((found[1].replace("`", ""), found[2]))
    return contents


def _address(name: str) -> str:
    return name.removesuffix(".md") + ".html"


def _relative(page: str, target: str) -> str:
    return posixpath.relpath(target, posixpath.dirname(page) or ".")


def _inside(place: Path) -> str | None:
    resolved = place.resolve()
    return str(resolved.relative_to(ROOT)) if resolved.is_relative_to(ROOT) else None


def _template(name: str) -> Template:
    return Template((ASSETS / name).read_text(encoding="utf-8"))


def _entries(name: str, page: Rendered) -> list[dict[str, str]]:
    """Return what the search knows of a page: one entry for each heading."""
    return [
        {
            "p": _address(name) + ("" if h.level == 1 else f"#{h.id}"), "t": h.title,
            "in": "" if h.level == 1 else page.title, "x": _WORDS.sub(" ", " ".join(h.text))[:1_200],
        }
        for h in page.headings
    ]


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def build(folder: Path) -> int:
    """Write the site below a folder; return the number of its pages."""
    return Site().build(folder)

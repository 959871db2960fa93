"""One page: Markdown in, HTML out, with headings that can be linked to and links that lead to built pages."""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.token import Token
from pygments import highlight  # type: ignore[import-untyped]
from pygments.formatters import HtmlFormatter  # type: ignore[import-untyped]
from pygments.lexers import get_lexer_by_name  # type: ignore[import-untyped]
from pygments.util import ClassNotFound  # type: ignore[import-untyped]

__all__ = ["Heading", "Rendered", "coloured", "render", "slug"]

_FORMAT = HtmlFormatter(nowrap=True)
_TAG = re.compile(r"<[^>]+>")


class Heading:
    """A heading and the plain text below it, for tables of contents and the search."""

    __slots__ = ("id", "level", "text", "title")

    def __init__(self, level: int, title: str, anchor: str) -> None:
        self.level = level
        self.title = title
        self.id = anchor
        self.text: list[str] = []


class Rendered:
    """A page: its title, its headings, its HTML."""

    __slots__ = ("headings", "html", "title")

    def __init__(self, title: str, headings: list[Heading], body: str) -> None:
        self.title = title
        self.headings = headings
        self.html = body


def slug(title: str) -> str:
    """Return a heading's anchor."""
    return re.sub(r"[^a-z0-9]+", "-", html.unescape(title).lower()).strip("-") or "section"


def coloured(code: str, language: str) -> str:
    """Return code as HTML with classes; plain where the language is not known."""
    try:
        lexer = get_lexer_by_name(language or "text", stripnl=False)
    except ClassNotFound:
        return html.escape(code)
    return str(highlight(code, lexer, _FORMAT))


def render(text: str, link: Callable[[str], str]) -> Rendered:
    """Return a page's HTML. `link` turns each target as it is written into one of the site."""
    markdown = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])
    tokens = markdown.parse(text)
    headings = _mark_headings(tokens)
    for token in tokens:
        for child in token.children or ():
            if child.type == "link_open":
                child.attrs["href"] = link(str(child.attrs["href"]))
    markdown.renderer.rules["fence"] = _fence  # type: ignore[attr-defined]
    markdown.renderer.rules["table_open"] = lambda *_: '<div class="table"><table>\n'  # type: ignore[attr-defined]
    markdown.renderer.rules["table_close"] = lambda *_: "</table></div>\n"  # type: ignore[attr-defined]
    body = markdown.renderer.render(tokens, markdown.options, {})
    return Rendered(headings[0].title if headings else "", headings, body)


def _fence(tokens: list[Token], at: int, _options: Any, _env: Any) -> str:
    token = tokens[at]
    language, *words = token.info.split() or [""]
    title = next((w.partition("=")[2] for w in words if w.startswith("title=")), "")
    head = f"<figcaption>{html.escape(title)}</figcaption>" if title else ""
    code = coloured(token.content, language)
    kind = html.escape(language or "text")
    figure = f'<figure class="code" data-language="{kind}">{head}<pre tabindex="0"><code>{code}</code></pre></figure>'
    if "compile" in words and at + 1 < len(tokens) and tokens[at + 1].type == "fence":
        return f'<div class="pair">{figure}'  # another framework's code, and ours beside it
    if at and tokens[at - 1].type == "fence" and "compile" in tokens[at - 1].info.split():
        return f"{figure}</div>\n"
    return f"{figure}\n"


def _mark_headings(tokens: list[Token]) -> list[Heading]:
    """Give every heading an anchor, and collect the words below it."""
    headings: list[Heading] = []
    used: dict[str, int] = {}
    for at, token in enumerate(tokens):
        if token.type == "heading_open":
            title = _words(tokens[at + 1])
            anchor = slug(title)
            used[anchor] = used.get(anchor, 0) + 1
            if used[anchor] > 1:
                anchor += f"-{used[anchor]}"
            token.attrs["id"] = anchor
            headings.append(Heading(int(token.tag[1]), title, anchor))
        elif headings and token.type == "inline" and tokens[at - 1].type != "heading_open":
            headings[-1].text.append(_words(token))
        elif headings and token.type in ("fence", "code_block"):
            headings[-1].text.append(token.content)
    return headings


def _words(token: Token) -> str:
    return "".join(c.content if c.type in ("text", "code_inline") else " " for c in token.children or ()).strip()

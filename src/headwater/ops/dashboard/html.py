"""HTML that is escaped by construction: text becomes markup here or nowhere."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

__all__ = ["Html", "Part", "breakable", "el", "join", "void"]


class Html(str):
    """Markup that was made here. Any other text is escaped before it becomes a part of some."""

    __slots__ = ()


Part = str | int | float | None | Iterable["Part"]
_VOID = ("input", "meta", "link", "br", "path", "rect", "line", "circle")


def el(name: str, /, *parts: Part, **attributes: str | float | bool | None) -> Html:
    """Return an element.

    parts: markup, or text that is escaped, or several of them; None is nothing. attributes: `class_` for class,
    _ for -, True for one without a value, None and False for none.
    """
    said = "".join(_attribute(key, value) for key, value in attributes.items())
    if name in _VOID and not parts:
        return Html(f"<{name}{said}/>")
    return Html(f"<{name}{said}>{join(parts)}</{name}>")


def breakable(name: str) -> Html:
    """Return a dotted name that may go on in the next line after its marks."""
    return Html("".join(c + "<wbr>" if c in "._/@:" else escape(c) for c in _printable(name)))


def void(name: str, /, **attributes: str | float | bool | None) -> Html:
    """Return an element that has no content, as HTML writes it."""
    return Html(f"<{name}{''.join(_attribute(key, value) for key, value in attributes.items())}>")


def join(parts: Part) -> Html:
    """Return parts, one after the other."""
    if parts is None:
        return Html()
    if isinstance(parts, Html):
        return parts
    if isinstance(parts, str):
        return Html(escape(_printable(parts)))
    if isinstance(parts, int | float):
        return Html(f"{parts:g}" if isinstance(parts, float) else str(parts))
    return Html("".join(join(part) for part in parts))


def _attribute(key: str, value: str | float | bool | None) -> str:
    if value is None or value is False:
        return ""
    name = key.rstrip("_").replace("_", "-") if key != "viewBox" else key
    if value is True:
        return f" {name}"
    text = f"{value:.1f}".removesuffix(".0") if isinstance(value, float) else str(value)
    return f' {name}="{escape(_printable(text))}"'


def _printable(text: str) -> str:
    """Make visible what a document may not hold or a terminal would obey."""
    return "".join(c if c.isprintable() or c in "\n\t" else "\N{REPLACEMENT CHARACTER}" for c in text)

"""Python source laid out so that a formatter would leave it as it is, whatever its length of lines."""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Sequence

__all__ = ["WIDTH", "constant", "docstring", "identifier", "listed", "snake"]

WIDTH = 88
"""What formatters keep to when nobody tells them otherwise."""


def listed(before: str, items: Sequence[str], after: str, *, indent: int = 0, exploded: bool = False) -> list[str]:
    """Return `before item, item after`, on one line where that fits, else one item a line with a last comma."""
    margin = " " * indent
    line = f"{margin}{before}{', '.join(items)}{after}"
    if not items or (not exploded and len(line) <= WIDTH):
        return [line]
    return [f"{margin}{before}", *(f"{margin}    {item}," for item in items), f"{margin}{after}"]


def docstring(text: str | None, *, indent: int, instead: str) -> list[str]:
    """Return a docstring of somebody's words."""
    margin = " " * indent
    said = inspect.cleandoc(text or instead).replace('"""', "'''")
    lines: list[str] = []
    for paragraph in re.split(r"\n\s*\n", said):
        lines += textwrap.wrap(" ".join(paragraph.split()), WIDTH - indent - 8, break_long_words=False)
        lines.append("")
    lines = lines[:-1]
    opened = 'r"""' if "\\" in said else '"""'
    if len(lines) == 1:
        apart = " " if lines[0].endswith(('"', "\\")) else ""
        return [f'{margin}{opened}{lines[0]}{apart}"""']
    return [f"{margin}{opened}{lines[0]}", *(f"{margin}{line}" if line else "" for line in lines[1:]), f'{margin}"""']


def snake(name: str) -> str:
    """Return a class's name as a method would be called."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


def constant(name: str) -> str:
    """Return a class's name as a private constant would be called."""
    return f"_{snake(name).upper()}"


def identifier(name: str, prefix: str) -> str:
    """Return some name as a module could be called."""
    plain = re.sub(r"\W+", "_", name).strip("_").lower()
    return plain if plain[:1].isalpha() else f"{prefix}_{plain}"

"""Tables with a caption, headings that say what they head, and columns that can be sorted by a link."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

from headwater.ops.dashboard.html import Html, Part, el

__all__ = ["Column", "Order", "badge", "nothing", "table"]

R = TypeVar("R")


class Column(Generic[R]):
    """One column. head: it names the row. sort: by what rows are ordered; None: not. bad: what is marked."""

    __slots__ = ("bad", "cell", "head", "key", "number", "sort", "title")

    def __init__(
        self, key: str, title: str, cell: Callable[[R], Part], *, head: bool = False, number: bool = False,
        sort: Callable[[R], Any] | None = None, bad: Callable[[R], bool] | None = None,
    ) -> None:
        self.key = key
        self.title = title
        self.cell = cell
        self.head = head
        self.number = number
        self.sort = sort
        self.bad = bad


class Order:
    """By which column a table is ordered: what a query string says, if it names one."""

    __slots__ = ("down", "key")

    def __init__(self, key: str = "", *, down: bool = True) -> None:
        self.key = key
        self.down = down

    @classmethod
    def of(cls, text: str) -> Order:
        """Read `p99` (most first) or `p99.up` (least first)."""
        key, _, way = text.partition(".")
        return cls(key, down=way != "up")

    def link(self, key: str) -> str:
        """Return the query string that orders by a column, or turns the order around."""
        return f"?sort={key}.up" if key == self.key and self.down else f"?sort={key}"


def table(
    name: str, caption: str, columns: Sequence[Column[R]], rows: Sequence[R], order: Order | None = None
) -> Html:
    """Return a table in a box that scrolls sideways by itself, also with the keyboard."""
    by = next((c for c in columns if order is not None and c.key == order.key and c.sort is not None), None)
    if by is not None and by.sort is not None and order is not None:
        rows = sorted(rows, key=by.sort, reverse=order.down)
    head = el("tr", [_heading(name, column, order, by) for column in columns])
    body = [el("tr", [_cell(column, row) for column in columns]) for row in rows]
    return el(
        "div",
        el("table", el("caption", caption, class_="unseen"), el("thead", head), el("tbody", body)),
        class_="wide", role="region", aria_label=caption, tabindex=0, id=f"{name}-table",
    )


def _heading(name: str, column: Column[R], order: Order | None, by: Column[R] | None) -> Html:
    number = "number" if column.number else None
    if order is None or column.sort is None:
        return el("th", column.title, scope="col", class_=number)
    here = column is by
    arrow = el("span", " ▼" if order.down else " ▲", aria_hidden="true") if here else None
    link = el("a", column.title, arrow, href=order.link(column.key), id=f"{name}-by-{column.key}", data_sort=True)
    return el(
        "th", link, scope="col", class_=number,
        aria_sort=("descending" if order.down else "ascending") if here else None,
    )


def _cell(column: Column[R], row: R) -> Html:
    classes = [c for c, so in (("number", column.number), ("bad", column.bad is not None and column.bad(row))) if so]
    said = " ".join(classes) or None
    if column.head:
        return el("th", column.cell(row), scope="row", class_=said)
    return el("td", column.cell(row), class_=said)


def badge(text: str, look: str) -> Html:
    """Return a word with a colour; the word says all."""
    return el("span", text, class_=f"badge {look}")


def nothing(text: str) -> Html:
    """Return what is said where there is nothing to list."""
    return el("p", text, class_="nothing")

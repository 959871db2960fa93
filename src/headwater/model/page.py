"""Results a page at a time, by keyset: stable while rows come and go, and as quick on the last page as on the first.

A cursor is opaque to its holder. It says behind which key the next page begins, and carries a check that it fits the
statement, its parameters and its order. It is no secret and grants nothing: whoever forged one would see the rows
that the statement shows anyway, from another place on.
"""

from __future__ import annotations

import hashlib
import re
from base64 import b64decode, urlsafe_b64encode
from functools import lru_cache
from operator import attrgetter
from typing import Annotated, Any, Generic, TypeVar, cast

import msgspec
from msgspec import Meta
from msgspec import inspect as shape

from headwater.errors import FieldError, InvalidMessage, QueryError
from headwater.model.codec import to_json
from headwater.model.message import Value
from headwater.model.scope import Tx, View

__all__ = ["CURSOR_MOST", "PAGE_MOST", "Cursor", "Page", "page"]

PAGE_MOST = 1_000
CURSOR_MOST = 1_024
CHECK_BYTES = 9
_NAME = re.compile(r"-?[A-Za-z_][A-Za-z0-9_]*")
_KINDS = (shape.StrType, shape.IntType, shape.FloatType, shape.DateType, shape.DateTimeType, shape.UUIDType)

T = TypeVar("T")
Cursor = Annotated[str, Meta(max_length=CURSOR_MOST, extra={"cursor": True}, description="From the page before.")]
"""Where a page begins: what `Page.next` gave out."""


class Page(Value, Generic[T]):
    """Some of the results, in order. `next` leads to those behind them; None when there are no more."""

    items: tuple[T, ...]
    next: str | None = None


async def page(
    view: View | Tx, kind: type[T], sql: str, /, *, order: tuple[str, ...], after: str | None, limit: int,
    field: str = "after", **params: object,
) -> Page[T]:
    """Return the rows of a statement behind a cursor, at most `limit`.

    sql: a select without `order by` and `limit`, with named parameters.
    order: fields of `kind`, "-" before those that descend. Together they are unique and never null.
    after: the cursor, None for the first page. field: what the caller calls it.
    Raises InvalidMessage naming `field` for a cursor that is damaged, or belongs to another statement, order or
    other parameters; QueryError for an order that leaves open which of two rows comes first.
    """
    if not 1 <= limit <= PAGE_MOST:
        raise QueryError(f"page(limit={limit}): use 1 to {PAGE_MOST}; cap the field with Meta(ge=1, le=100)")
    plan = _plan(cast("Any", kind), sql, order)
    check = plan.check(params)
    text, keys = plan.first, {}
    if after is not None:
        text, keys = plan.rest, plan.opened(after, check, field)
    rows = await view.fetch_all(kind, text, **params, **keys, page_limit=limit + 1)
    if len(rows) > 1:
        plan.refuse_ties(rows)
    more = len(rows) > limit
    items = tuple(rows[:limit])
    return Page(items=items, next=plan.closed(items[-1], check) if more else None)


class _Plan:
    """One statement and order, prepared once."""

    __slots__ = ("_key", "_kinds", "_name", "_said", "_single", "first", "rest")

    def __init__(self, kind: type[Any], sql: str, order: tuple[str, ...]) -> None:
        names = [name.removeprefix("-") for name in order]
        self._name = f"page of {kind.__name__}"
        self._kinds = _kinds_of(kind, order, self._name)
        self._key = attrgetter(*names)
        self._single = len(names) == 1
        self._said = to_json([kind.__qualname__, " ".join(sql.split()), order])
        pairs = zip(_quoted(names), order, strict=True)
        ordered = ", ".join(f"{name} desc" if one[0] == "-" else name for name, one in pairs)
        inner = sql.strip().rstrip(";")
        end = f"order by {ordered} limit :page_limit"
        self.first = f"select * from ({inner}\n) {end}"  # noqa: S608 - the statement is its author's, the names are fields
        self.rest = f"select * from ({inner}\n) where {_behind(names, order)} {end}"  # noqa: S608

    def check(self, params: dict[str, object]) -> bytes:
        """Return what a cursor of this statement with these parameters is recognised by."""
        return self._said + to_json(params) if params else self._said

    def values(self, row: Any) -> tuple[Any, ...]:
        """Return a row's key."""
        key = self._key(row)
        return (key,) if self._single else key

    def closed(self, row: Any, check: bytes) -> str:
        """Return the cursor behind a row. Raises QueryError when its key is too long for one."""
        body = msgspec.msgpack.encode(self.values(row))
        cursor = urlsafe_b64encode(_digest(check, body) + body).rstrip(b"=").decode()
        if len(cursor) > CURSOR_MOST:
            raise QueryError(f"{self._name}: a key of {len(body)} bytes is too long; order by shorter fields")
        return cursor

    def opened(self, cursor: str, check: bytes, field: str) -> dict[str, object]:
        """Return a cursor's key as parameters. Raises InvalidMessage."""
        try:
            raw = b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
            body = raw[CHECK_BYTES:]
            if raw[:CHECK_BYTES] != _digest(check, body) or urlsafe_b64encode(raw).rstrip(b"=").decode() != cursor:
                raise ValueError
            values = msgspec.msgpack.decode(body, type=self._kinds)
            if any(type(value) is int and not -(2**63) <= value < 2**63 for value in values):
                raise ValueError
        except (ValueError, msgspec.MsgspecError):
            said = "is not a cursor of this list: pass on what a page of it gave out, with the same other parameters"
            raise InvalidMessage(self._name, (FieldError(f"/{field}", said),)) from None
        return {f"page_key_{number}": value for number, value in enumerate(values)}

    def refuse_ties(self, rows: list[Any]) -> None:
        """Raise QueryError when the order is not total: rows would be left out between two pages."""
        before = None
        for row in rows:
            key = self._key(row)
            if key == before:
                raise QueryError(f"{self._name}: two rows have the key {key!r}; add a unique field to order=")
            before = key


@lru_cache(maxsize=1024)
def _plan(kind: type[Any], sql: str, order: tuple[str, ...]) -> _Plan:
    return _Plan(kind, sql, order)


def _digest(check: bytes, body: bytes) -> bytes:
    return hashlib.blake2b(body, key=hashlib.blake2b(check, digest_size=32).digest(), digest_size=CHECK_BYTES).digest()


def _kinds_of(kind: type[Any], order: tuple[str, ...], told: str) -> Any:
    if not issubclass(kind, msgspec.Struct):
        raise QueryError(f"{told}: pages are of Values, whose fields are the key")
    if not order:
        raise QueryError(f"{told}: order= names at least one field")
    hints = {f.encode_name: f.type for f in msgspec.structs.fields(kind)}
    found: list[Any] = []
    for one in order:
        name = one.removeprefix("-")
        if not _NAME.fullmatch(one) or name not in hints:
            raise QueryError(f"{told}: order={one!r} is not one of its fields: {', '.join(hints)}")
        if not isinstance(shape.type_info(hints[name]), _KINDS):
            raise QueryError(
                f"{told}: order={one!r} is a {hints[name]}; a key is a text, a number, a date, a time or a UUID, and "
                "never null"
            )
        found.append(hints[name])
    return tuple[tuple(found)]  # type: ignore[misc]


def _behind(names: list[str], order: tuple[str, ...]) -> str:
    """Return the condition for rows behind a key; row values where all fields go one way, so that an index helps."""
    signs = ["<" if one[0] == "-" else ">" for one in order]
    keys = [f":page_key_{number}" for number in range(len(names))]
    if len(set(signs)) == 1:
        return f"({', '.join(_quoted(names))}) {signs[0]} ({', '.join(keys)})"
    said = ""
    for name, sign, key in reversed(list(zip(_quoted(names), signs, keys, strict=True))):
        said = f"({name} {sign}= {key} and ({name} {sign} {key} or {said}))" if said else f"{name} {sign} {key}"
    return said


def _quoted(names: list[str]) -> list[str]:
    return [f'"{name}"' for name in names]

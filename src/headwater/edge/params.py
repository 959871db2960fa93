"""Fields that come from the path and the query string: text, read strictly as their type."""

from __future__ import annotations

from collections.abc import Callable
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin
from urllib.parse import unquote_to_bytes

import msgspec

from headwater.edge.problems import Rejected
from headwater.model.message import annotated_base

PAIRS_MOST = 1_000
__all__ = ["Param", "decode_text", "parse_query"]


class Param:
    """A field that is read from text. many: a query key that may come several times. plain: the text is the value."""

    __slots__ = ("many", "name", "plain", "read")

    def __init__(self, name: str, hint: Any) -> None:
        self.name = name
        bare = annotated_base(hint)
        self.many = get_origin(bare) in (tuple, list, frozenset, set)
        inner = next(a for a in get_args(bare) if a is not ...) if self.many else bare
        read = _reader(inner)
        if read is None:
            raise TypeError(f"a {inner} cannot be written in a path or a query string")
        self.read = read
        self.plain = read is _same


def _reader(hint: Any) -> Callable[[str], Any] | None:
    """Return what turns text into the JSON value of a field; the type itself is checked later."""
    kinds = _kinds(hint)
    if any(get_origin(k) not in (None, Literal) for k in kinds):
        return None
    if any(isinstance(k, type) and issubclass(k, (msgspec.Struct, dict, list, tuple, set)) for k in kinds):
        return None
    if bool in kinds:
        return lambda text: {"true": True, "false": False}.get(text, text)
    literals = [v for k in kinds if get_origin(k) is Literal for v in get_args(k)]
    if int in kinds or any(isinstance(v, int) for v in literals):
        return _whole
    if float in kinds:
        return _number
    return _same


def _same(text: str) -> Any:
    return text


def _kinds(hint: Any) -> list[Any]:
    bare = annotated_base(hint)
    options = get_args(bare) if get_origin(bare) in (Union, UnionType) else (bare,)
    return [annotated_base(o) for o in options if o is not NoneType]


def _whole(text: str) -> Any:
    if text.isdecimal() and text.isascii() and len(text) < 19 and text[0] != "0":
        return int(text)
    digits = text.removeprefix("-")
    plain = digits.isascii() and digits.isdigit() and len(digits) <= 19 and (digits == "0" or digits[0] != "0")
    return int(text) if plain and -(2**63) <= int(text) < 2**63 else text


def _number(text: str) -> Any:
    try:
        return msgspec.json.decode(text, type=float)
    except msgspec.MsgspecError:
        return text


def decode_text(raw: bytes, what: str) -> str:
    """Decode percent-encoding, once. Raises Rejected for bad escapes, bad UTF-8 and NUL."""
    if b"%" in raw:
        parts = raw.split(b"%")
        if any(len(p) < 2 or not all(c in b"0123456789abcdefABCDEF" for c in p[:2]) for p in parts[1:]):
            raise Rejected(400, "bad-encoding", f"{what} has a % that is not followed by two hex digits")
        raw = unquote_to_bytes(raw)
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        raise Rejected(400, "bad-encoding", f"{what} is not UTF-8") from None
    if "\0" in text:
        raise Rejected(400, "bad-encoding", f"{what} contains a NUL character")
    return text


def parse_query(raw: bytes) -> list[tuple[str, str]]:
    """Return the pairs of a query string. Raises Rejected."""
    if b"%" not in raw and b"+" not in raw and raw.count(b"&") < PAIRS_MOST and raw.isascii():
        halves = [part.partition("=") for part in raw.decode("ascii").split("&") if part]
        return [(name, value) for name, _, value in halves]
    pairs: list[tuple[str, str]] = []
    for part in raw.split(b"&"):
        if not part:
            continue
        name, _, value = part.partition(b"=")
        pairs.append(
            (
                decode_text(name.replace(b"+", b" "), "the query string"),
                decode_text(value.replace(b"+", b" "), "the query string"),
            )
        )
        if len(pairs) > PAIRS_MOST:
            raise Rejected(400, "too-many-parameters", f"more than {PAIRS_MOST} query parameters")
    return pairs

"""Routes, prepared: a message to a request, an answer to a value.

Path parameters and fields without a body are written as text, all others as JSON.
"""

from __future__ import annotations

import typing
import uuid
from collections.abc import Mapping, Sequence
from typing import Any, Generic, TypeVar, cast
from urllib.parse import quote, urlencode

import msgspec

from .outcomes import Failure, NotExecuted

__all__ = ["Route", "new_key"]

R = TypeVar("R")


def new_key() -> str:
    """Return a new idempotency key."""
    return uuid.uuid4().hex


class Route(Generic[R]):
    """One route, prepared: where it is, what it answers, how it may refuse.

    within: seconds that a call may take. key: the field that makes repeats of a command
    harmless; a command without one gets an Idempotency-Key header.
    """

    def __init__(
        self,
        *,
        method: str,
        path: str,
        result: Any,
        within: float,
        fails: Sequence[type[Failure]] = (),
        key: str | None = None,
    ) -> None:
        self.method = method
        self.path = path
        self.within = within
        self.key = key
        self.fails = {failure.__failure_name__: failure for failure in fails}
        self.is_query = method == "GET"
        self.is_optional = result is None or type(None) in typing.get_args(result)
        kind = type(None) if result is None else result
        self._decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(kind)
        self._parts = [part for part in path.split("/") if part.startswith("{")]

    def request(self, message: msgspec.Struct) -> tuple[str, bytes | None]:
        """Return the target and the body of a request."""
        fields: dict[str, Any] = msgspec.to_builtins(message)
        path = self.path
        for part in self._parts:
            value = _text(fields.pop(part[1:-1]))
            if value in ("", ".", ".."):  # would lead to another route
                raise NotExecuted(
                    f"{self.method} {self.path}: {part} is {value!r}, which no path can hold",
                    code="bad-path",
                )
            path = path.replace(part, quote(value, safe=""), 1)
        if self.method not in ("GET", "DELETE"):
            return path, msgspec.json.encode(fields)
        query = urlencode(_pairs(fields), quote_via=quote)
        return f"{path}?{query}" if query else path, None

    def value(self, body: bytes) -> R:
        """Return the answer that a body holds. Raises msgspec.MsgspecError."""
        result: R = self._decoder.decode(body)
        return result

    def refusal(self, code: str, facts: Any) -> Failure | None:
        """Return the declared failure that a problem is, None for any other problem."""
        failure = self.fails.get(code)
        if failure is None or facts is None:
            return None
        data = msgspec.convert(facts, failure.__failure_fields__)
        return failure(**{name: getattr(data, name) for name in data.__struct_fields__})


def _pairs(fields: Mapping[str, Any]) -> list[tuple[str, str]]:
    pairs: list[tuple[str, str]] = []
    for name, value in fields.items():
        is_many = isinstance(value, (list, tuple))
        several = cast("Sequence[Any]", value) if is_many else [value]
        pairs += [(name, _text(one)) for one in several if one is not None]
    return pairs


def _text(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()

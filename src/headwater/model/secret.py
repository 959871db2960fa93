"""Values that are shown only when asked for, and the list of those that no output may contain.

A `Secret` may be a field of a command or a query. In memory and between modules it is itself; wherever
JSON is written (logs, kept answers, digests, problem documents) it is `"***"`. Nothing that is stored
or answered may contain one: a masked value that is read back is refused.
"""

from __future__ import annotations

import base64
import hmac
import json
import re
from typing import Any, Generic, Never, Self, TypeVar, get_args
from urllib.parse import quote

__all__ = ["MASK", "Secret", "masked", "masked_bytes", "register_secret"]

T_co = TypeVar("T_co", bound=str | bytes, covariant=True)

MASK = "***"
SHORTEST = 6
"""A registered value that is shorter is not searched for: it would hide half of every line."""


class Secret(Generic[T_co]):
    """A value that is shown only when asked for: `reveal()`. Text, repr and format are masked; pickling is refused."""

    __slots__ = ("_value",)

    def __init__(self, value: T_co) -> None:
        if value in (MASK, MASK.encode()):
            raise ValueError("this is a masked value, not a secret")
        self._value = value

    def reveal(self) -> T_co:
        """Return the secret itself."""
        return self._value

    def __repr__(self) -> str:
        return f"Secret('{MASK}')"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return repr(self)

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Secret)
            and type(self._value) is type(other._value)
            and hmac.compare_digest(_raw(self._value), _raw(other._value))
        )

    def __hash__(self) -> int:
        return hash(self._value)

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: Any) -> Self:
        return self

    def __reduce_ex__(self, protocol: Any) -> Never:
        raise TypeError("a Secret is not pickled; reveal() it where it is needed")


def _raw(value: str | bytes) -> bytes:
    return value.encode("utf-8", "surrogatepass") if isinstance(value, str) else value


def load(kind: Any, data: Any) -> Secret[Any]:
    """Return what stands in a message as a Secret of `kind`. Raises ValueError, without saying the value."""
    wanted = (get_args(kind) or (str,))[0]
    if wanted is bytes and isinstance(data, str):
        try:
            data = base64.b64decode(data, validate=True)
        except ValueError:
            raise ValueError("a secret in bytes is written in base64") from None
    if not isinstance(data, wanted):
        raise ValueError(f"a secret is {'text' if wanted is str else 'bytes'}")  # noqa: TRY004 - decoders tell of ValueErrors
    return Secret(data)


class _Registry:
    """The registered values, and one pattern that finds them as they are and as JSON, URLs and base64 write them."""

    def __init__(self) -> None:
        self.forms: set[str] = set()
        self.text: re.Pattern[str] | None = None
        self.raw: re.Pattern[bytes] | None = None

    def add(self, value: bytes) -> None:
        text = value.decode("utf-8", "replace")
        lines = [line for line in text.splitlines() if len(line) >= SHORTEST] if "\n" in text else []
        found = {text, *lines, quote(text, safe=""), repr(text)[1:-1], repr(value)[2:-1]}
        found |= {json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1]}
        found |= {base64.b64encode(value).decode().rstrip("="), base64.urlsafe_b64encode(value).decode().rstrip("=")}
        found |= {value.hex()}
        if len(text) < SHORTEST or found <= self.forms:
            return
        self.forms |= {form for form in found if len(form) >= SHORTEST}
        ordered = "|".join(re.escape(form) for form in sorted(self.forms, key=len, reverse=True))
        self.text = re.compile(ordered)
        self.raw = re.compile(ordered.encode())


_registry = _Registry()


def register_secret(secret: Secret[Any]) -> None:
    """Keep a value of six characters or more out of all this process says: logs, spans, problem documents."""
    _registry.add(_raw(secret.reveal()))


def masked(text: str) -> str:
    """Return the text with every registered secret replaced by `***`."""
    pattern = _registry.text
    return text if pattern is None else pattern.sub(MASK, text)


def masked_bytes(data: bytes) -> bytes:
    """Return the bytes with every registered secret replaced by `***`."""
    pattern = _registry.raw
    return data if pattern is None else pattern.sub(MASK.encode(), data)

"""Messages to bytes and back: the one parser for calls, events and storage.

Reading is tolerant over time (unknown fields are ignored) and strict about kinds (no coercion).
The edge is stricter still: see `headwater.model.strict`. Values from Pydantic are accepted inside
messages and as results: anything with `model_dump` and `model_validate` is.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from headwater.errors import DecodeError, FieldError

__all__ = ["Codec", "field_error", "from_json", "to_json", "to_msgpack"]

_PLACE = re.compile(r" - at `\$(.*)`$")
_STEP = re.compile(r"\.([^.\[]+)|\[([^\]]*)\]")


def _dump_foreign(value: Any) -> Any:
    dump = getattr(value, "model_dump", None)
    if dump is None:
        raise NotImplementedError(f"{type(value).__name__} is not a type that messages can carry")
    return dump(mode="json")


def _load_foreign(kind: Any, data: Any) -> Any:
    load = getattr(kind, "model_validate", None)
    if load is None:
        raise NotImplementedError(f"{kind!r} is not a type that messages can carry")
    return load(data)


_json = msgspec.json.Encoder(enc_hook=_dump_foreign)
_packed = msgspec.msgpack.Encoder(enc_hook=_dump_foreign)

to_json = _json.encode
"""Encode any message, value or answer as JSON."""
to_msgpack = _packed.encode
"""Encode any message, value or answer as MessagePack."""


class Codec:
    """Both ways for one type, made once. `pack`/`unpack` are MessagePack, the others JSON."""

    __slots__ = ("_json", "_packed", "kind", "name")

    def __init__(self, kind: Any, name: str) -> None:
        self.kind = kind
        self.name = name
        self._json = msgspec.json.Decoder(kind, dec_hook=_load_foreign)
        self._packed = msgspec.msgpack.Decoder(kind, dec_hook=_load_foreign)

    def to_json(self, value: Any) -> bytes:
        """Encode as JSON."""
        return _json.encode(value)

    def from_json(self, data: bytes) -> Any:
        """Decode JSON. Raises DecodeError naming the contract and the field."""
        try:
            return self._json.decode(data)
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            raise DecodeError(f"{self.name}: {error}") from error

    def pack(self, value: Any) -> bytes:
        """Encode as MessagePack."""
        return _packed.encode(value)

    def unpack(self, data: bytes) -> Any:
        """Decode MessagePack. Raises DecodeError naming the contract and the field."""
        try:
            return self._packed.decode(data)
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            raise DecodeError(f"{self.name}: {error}") from error


def from_json(kind: Any, data: bytes | str) -> Any:
    """Decode JSON into a type, for cold paths. Raises DecodeError."""
    try:
        return msgspec.json.decode(data, type=kind, dec_hook=_load_foreign)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise DecodeError(f"{getattr(kind, '__name__', kind)}: {error}") from error


def field_error(error: BaseException) -> FieldError:
    """Return what a decoder found as one field error, its place as a JSON pointer."""
    text = str(error.__cause__ or error)
    place = _PLACE.search(text)
    if place is None:
        return FieldError("", text)
    return FieldError("".join(f"/{name or index}" for name, index in _STEP.findall(place[1])), text[: place.start()])

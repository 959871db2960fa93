"""Reading JSON from strangers: everything that is doubtful is refused, and all of it is said at once.

msgspec is the one parser. It ignores unknown fields, keeps the last of doubled keys, and stops at the
first error. So a message is decoded once, and a cheap, sound test then tells whether anything was
hidden: each key in JSON has one colon, so when there are exactly as many colons in the text as keys
that the message must have come from, no key was unknown or doubled. Where that proves nothing (a field that
was sent with its default, say), and wherever decoding failed, the exact way is taken: the untyped data
is walked beside the type, and every error is collected with its place.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

import msgspec

from headwater.errors import FieldError, InvalidMessage
from headwater.model.codec import field_error, load_foreign
from headwater.model.contract import contract_of
from headwater.model.message import Message, annotated_base
from headwater.model.packed import check_packed

__all__ = ["COLLECTION_MOST", "DEPTH_MOST", "NotJson", "StrictReader"]

DEPTH_MOST = 64
COLLECTION_MOST = 10_000
ERRORS_MOST = 100

_TO_ZEROS = bytes(48 if 48 <= byte <= 57 else 32 for byte in range(256))
_LONG_DIGITS = b"0" * 19
_LOOSE_COLON = re.compile(rb"[ \t\r\n]:")
_INT_MOST = 2**63
_FLOAT_EXACT = 2**53
Count = Callable[[Any], int]


class NotJson(InvalidMessage):
    """The bytes are not one JSON object in UTF-8."""

    code = "not-json"


class StrictReader:
    """Reads one message type. Thread-safe, made once."""

    __slots__ = ("_count", "_decode", "_fields", "_kind", "_name")

    def __init__(self, message: type[Message]) -> None:
        self._kind = message
        self._name = contract_of(message).wire_name
        self._decode = msgspec.json.Decoder(message, dec_hook=load_foreign).decode
        self._count = _counter(message, ())
        self._fields = {f.encode_name: f.type for f in msgspec.structs.fields(message)}

    def read(self, data: bytes) -> Any:
        """Return the message. Raises NotJson, or InvalidMessage with every field error."""
        message = self.read_proven(data)
        return self._exact(data) if message is None else message

    def read_proven(self, data: bytes) -> Any:
        """Return the message, or None where only the exact way can tell whether it is one."""
        if self._count is None or _suspicious(data):
            return None
        try:
            message = self._decode(data)
        except Exception:
            return None
        keys = self._count(message)
        if keys == data.count(b":") or (keys == data.count(b'":') and not _LOOSE_COLON.search(data)):
            return message
        return None

    def build(self, fields: Mapping[str, Any]) -> Any:
        """Build the message from values whose names are its own and which came from checked text."""
        try:
            return msgspec.convert(fields, self._kind, dec_hook=load_foreign)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            return self.convert(fields)

    def convert(self, fields: Mapping[str, Any], errors: Sequence[FieldError] = ()) -> Any:
        """Build the message from decoded JSON values by field. Raises InvalidMessage."""
        found = [*errors]
        _walk_struct(self._kind, fields, "", found, 0)
        if not found:
            try:
                return msgspec.convert(fields, self._kind, dec_hook=load_foreign)
            except (msgspec.MsgspecError, ValueError, RecursionError) as error:
                found.append(field_error(error))
        raise InvalidMessage(self._name, tuple(found[:ERRORS_MOST]))

    def parse(self, data: bytes) -> tuple[dict[str, Any], list[FieldError]]:
        """Return the fields of a JSON object and what is wrong with its form. Raises NotJson."""
        try:
            value = msgspec.json.decode(data)
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            raise NotJson(self._name, (FieldError("", f"the body is not JSON: {error}"),)) from None
        if not isinstance(value, dict):
            raise NotJson(self._name, (FieldError("", f"the body is a JSON {_json_kind(value)}, not an object"),))
        errors: list[FieldError] = []
        if _depth(data) > DEPTH_MOST:
            raise NotJson(self._name, (FieldError("", f"the body is nested deeper than {DEPTH_MOST}"),))
        _doubled(data, errors)
        return _with_integers(value), errors

    def parse_packed(self, data: bytes) -> dict[str, Any]:
        """Return the fields of a MessagePack map, judged as JSON is. Raises NotJson."""
        try:
            check_packed(data, depth=DEPTH_MOST, items=COLLECTION_MOST)
            value = msgspec.msgpack.decode(data)
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            raise NotJson(self._name, (FieldError("", f"the body is not MessagePack: {error}"),)) from None
        if not isinstance(value, dict):
            raise NotJson(self._name, (FieldError("", "the body is MessagePack, but not a map"),))
        if _has_foreign(value):
            raise NotJson(self._name, (FieldError("", "the body has binary data or a number that JSON has not"),))
        plain: dict[str, Any] = _with_integers(value)
        return plain

    def _exact(self, data: bytes) -> Any:
        fields, errors = self.parse(data)
        return self.convert(fields, errors)


def _with_integers(value: Any) -> Any:
    """Return decoded JSON in which 5.0 is 5: one number (RFC 8259, 6), and an integer by JSON Schema.

    A value of type float becomes the same float again.
    """
    if isinstance(value, float):
        plain = value.is_integer() and abs(value) <= _FLOAT_EXACT and (value or math.copysign(1.0, value) > 0)
        return int(value) if plain else value
    if isinstance(value, dict):
        return {name: _with_integers(item) for name, item in value.items()}
    return [_with_integers(item) for item in value] if isinstance(value, list) else value


def _has_foreign(value: Any) -> bool:
    """Whether decoded MessagePack holds what JSON cannot say: bytes, NaN, infinity."""
    if isinstance(value, dict):
        return any(map(_has_foreign, value.values()))
    if isinstance(value, list):
        return any(map(_has_foreign, value))
    return isinstance(value, bytes) or (isinstance(value, float) and not math.isfinite(value))


def _suspicious(data: bytes) -> bool:
    """Whether the text may hold what only the exact way can judge.

    Depth is no matter: where the proof holds there is nothing in it but declared fields, and none of them nests itself.
    """
    return (
        b"\\u0000" in data
        or _LONG_DIGITS in data.translate(_TO_ZEROS)  # five times as fast as a regular expression
    )


# --- the cheap proof --------------------------------------------------------------------------


def _counter(hint: Any, above: tuple[Any, ...]) -> Count | None:
    """Return a function that counts the JSON keys that a decoded value must have come from; None if none can."""
    bare = annotated_base(hint)
    if get_origin(bare) in (Union, UnionType):
        options = [annotated_base(option) for option in get_args(bare)]
        counts = [_counter(option, above) for option in options if option is not NoneType]
        if all(count is _none for count in counts):
            return _none
        one = counts[0] if len(counts) == 1 else None
        if one is not None:
            return lambda value: 0 if value is None else one(value)
        return None
    if get_origin(bare) is Literal:
        return _none
    if isinstance(bare, type) and issubclass(bare, msgspec.Struct):
        return _struct_counter(bare, above)
    origin, arguments = get_origin(bare), get_args(bare)
    if origin in (tuple, list) and arguments:
        items = [a for a in arguments if a is not ...]
        inner = _counter(items[0], above)
        if inner is None or len(items) > 1:
            return None
        always = getattr(inner, "always", None)
        if always is not None:
            return lambda value: len(value) * always if len(value) <= COLLECTION_MOST else -1
        return lambda value: sum(map(inner, value)) if len(value) <= COLLECTION_MOST else -1
    if isinstance(bare, type) and (bare in (int, float, str, bool, NoneType) or issubclass(bare, Enum)):
        return _none
    return None


def _none(_value: Any) -> int:
    return 0


class _Always:
    """Counts the same for every value."""

    def __init__(self, always: int) -> None:
        self.always = always

    def __call__(self, _value: Any) -> int:
        return self.always


def _struct_counter(kind: type[msgspec.Struct], above: tuple[Any, ...]) -> Count | None:
    fields = msgspec.structs.fields(kind)
    if kind in above or kind.__struct_config__.tag:
        return None
    own, optional, inner = 0, [], []
    for field in fields:
        count = _counter(field.type, (*above, kind))
        if count is None:
            return None
        if count is not _none:
            inner.append((field.name, count))
        if field.required:
            own += 1
        elif field.default is msgspec.NODEFAULT:
            return None
        else:
            optional.append((field.name, field.default))
    if not inner and not optional:
        return _Always(own)
    if len(inner) == 1 and not optional:
        name, one = inner[0]
        return lambda value: own + one(getattr(value, name))

    def keys(value: Any) -> int:
        # a field that has its default may have been sent or not: it counts as not sent, which is the safe side
        sent: int = sum([getattr(value, name) != default for name, default in optional])
        return own + sent + sum([count(getattr(value, name)) for name, count in inner])

    return keys


# --- the exact way ----------------------------------------------------------------------------


def _depth(data: bytes) -> int:
    """Return how deep arrays and objects are nested in valid JSON."""
    depth = deepest = 0
    for token in re.finditer(rb'"(?:[^"\\]|\\.)*"|[\[{]|[\]}]', data, re.DOTALL):
        first = token[0][:1]
        if first in b"[{":
            depth += 1
            deepest = max(deepest, depth)
        elif first in b"]}":
            depth -= 1
    return deepest


class _Doubled(dict[str, Any]):
    """An object as the second reading sees it, with the keys that stood in it twice."""

    def __init__(self, items: list[tuple[str, Any]], twice: tuple[str, ...]) -> None:
        super().__init__(items)
        self.twice = twice


def _doubled(data: bytes, errors: list[FieldError]) -> None:
    """Find doubled keys, with their place. msgspec has accepted the text, so this reading only counts."""

    def pairs(items: list[tuple[str, Any]]) -> _Doubled:
        names = [name for name, _ in items]
        once = dict.fromkeys(names)
        twice = () if len(once) == len(names) else tuple(name for name in once if names.count(name) > 1)
        return _Doubled(items, twice)

    _find_doubled(json.loads(data, object_pairs_hook=pairs, parse_int=len), "", errors)


def _find_doubled(value: Any, path: str, errors: list[FieldError]) -> None:
    if isinstance(value, _Doubled):
        errors += [FieldError(f"{path}/{_escape(name)}", "the key stands twice in its object") for name in value.twice]
        for name, item in value.items():
            _find_doubled(item, f"{path}/{_escape(name)}", errors)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            _find_doubled(item, f"{path}/{index}", errors)


def _walk(hint: Any, value: Any, path: str, errors: list[FieldError], depth: int) -> None:
    """Collect what is wrong with one value."""
    if len(errors) > ERRORS_MOST or _plainly_wrong(value, path, errors):
        return
    for kind in _kinds(hint):
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct) and isinstance(value, dict):
            if not _is_tagged(kind, value):
                continue
            _walk_struct(kind, value, path, errors, depth + 1)
            return
        origin, arguments = get_origin(kind), [a for a in get_args(kind) if a is not ...]
        if origin in (tuple, list, set, frozenset) and len(arguments) == 1 and isinstance(value, list):
            before = len(errors)
            for index, item in enumerate(value):
                _walk(arguments[0], item, f"{path}/{index}", errors, depth + 1)
            if len(errors) == before:
                _convert(hint, value, path, errors)
            return
    before = len(errors)
    _walk_untyped(value, path, errors)
    if len(errors) == before:
        _convert(hint, value, path, errors)


def _is_tagged(kind: type[msgspec.Struct], value: Mapping[str, Any]) -> bool:
    """Whether an object says that it is of a kind, where kinds are told apart by what objects say."""
    config = kind.__struct_config__
    return config.tag is None or value.get(config.tag_field or "") == config.tag


def _walk_untyped(value: Any, path: str, errors: list[FieldError]) -> None:
    """Collect what is wrong whatever the type, below a value that was looked at."""
    if isinstance(value, list):
        inner = [(str(index), item) for index, item in enumerate(value)]
    elif isinstance(value, dict):
        inner = list(value.items())
    else:
        return
    for name, item in inner:
        place = f"{path}/{_escape(name)}"
        if not _plainly_wrong(name, place, errors) and not _plainly_wrong(item, place, errors):
            _walk_untyped(item, place, errors)
        if len(errors) > ERRORS_MOST:
            return


def _walk_struct(
    kind: type[msgspec.Struct], value: Mapping[str, Any], path: str, errors: list[FieldError], depth: int
) -> None:
    fields = {f.encode_name: f for f in msgspec.structs.fields(kind)}
    before = len(errors)
    known = ", ".join(fields)
    tag = kind.__struct_config__.tag_field
    errors += [
        FieldError(f"{path}/{_escape(name)}", f"there is no such field; known: {known}")
        for name in value
        if name not in fields and name != tag
    ]
    for name, field in fields.items():
        if name in value:
            _walk(field.type, value[name], f"{path}/{name}", errors, depth)
        elif field.required:
            errors.append(FieldError(f"{path}/{name}", "the field is missing"))
    if len(errors) == before and depth:
        _convert(kind, value, path, errors)


def _plainly_wrong(value: Any, path: str, errors: list[FieldError]) -> bool:
    if isinstance(value, int) and not -_INT_MOST <= value < _INT_MOST:
        errors.append(FieldError(path, "the number does not fit 64 bits"))
    elif isinstance(value, str) and "\0" in value:
        errors.append(FieldError(path, "the text contains a NUL character"))
    elif isinstance(value, (list, dict)) and len(value) > COLLECTION_MOST:
        errors.append(FieldError(path, f"more than {COLLECTION_MOST} items"))
    else:
        return False
    return True


def _kinds(hint: Any) -> list[Any]:
    bare = annotated_base(hint)
    if get_origin(bare) in (Union, UnionType):
        return [annotated_base(option) for option in get_args(bare) if option is not NoneType]
    return [] if get_origin(bare) is Literal else [bare]


def _convert(hint: Any, value: Any, path: str, errors: list[FieldError]) -> None:
    try:
        msgspec.convert(value, hint, dec_hook=load_foreign)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        found = field_error(error)
        errors.append(FieldError(path + found.path, found.message))


def _escape(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")


def _json_kind(value: Any) -> str:
    kinds = {list: "array", str: "string", bool: "boolean", NoneType: "null"}
    return kinds.get(type(value), "number")

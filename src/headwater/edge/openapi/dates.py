"""Points in time in what is sent: a zone may be left out, and still they are not any text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from msgspec import inspect as shape

__all__ = ["mark_dates"]

_FORMATS = {shape.DateTimeType: "date-time", shape.TimeType: "time"}


def mark_dates(kinds: Iterable[Any], parts: Mapping[str, dict[str, Any]]) -> None:
    """Say of every field of these types, and of those inside them, whether it is a point in time. `parts` change."""
    by_fields = {(part.get("title"), *part.get("properties", ())): part for part in parts.values()}
    seen: set[Any] = set()
    for kind in kinds:
        for struct in _structs(shape.type_info(kind), seen):
            names = [field.encode_name for field in struct.fields]
            tag = () if struct.tag_field is None else (struct.tag_field,)
            part = by_fields.get((struct.cls.__name__, *tag, *names), {})
            for field in struct.fields:
                _mark(part.get("properties", {}).get(field.encode_name, {}), field.type)


def _structs(info: Any, seen: set[Any]) -> Iterator[shape.StructType]:
    if isinstance(info, shape.StructType):
        if info.cls in seen:
            return
        seen.add(info.cls)
        yield info
        inner: Iterable[Any] = [field.type for field in info.fields]
    else:
        inner = [getattr(info, name) for name in ("type", "item_type", "value_type") if hasattr(info, name)]
        inner = [*inner, *getattr(info, "types", ()), *getattr(info, "item_types", ())]
    for one in inner:
        yield from _structs(one, seen)


def _mark(schema: dict[str, Any], info: Any) -> None:
    while isinstance(info, shape.Metadata):
        info = info.type
    format_ = _FORMATS.get(type(info))
    if format_ is not None:
        schema.setdefault("format", format_)
    elif isinstance(info, shape.UnionType):
        for option, inner in zip(schema.get("anyOf", ()), info.types, strict=False):
            if option == {"type": "string"}:
                _mark(option, inner)
    elif isinstance(schema.get("items"), dict) and hasattr(info, "item_type"):
        _mark(schema["items"], info.item_type)
    elif isinstance(schema.get("additionalProperties"), dict) and hasattr(info, "value_type"):
        _mark(schema["additionalProperties"], info.value_type)

"""Examples that are made from a schema, the same every time, and valid by it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from headwater.edge.openapi.tight import NO_NUL

__all__ = ["MISSING", "sample"]

MISSING: Final = object()
"""There is no telling what a good value is."""
_FORMATS = {
    "date": "2026-01-31", "date-time": "2026-01-31T12:00:00Z", "time": "12:00:00", "duration": "P1D", "decimal": "9.99",
    "uuid": "018e0c6b-5b1e-7cc2-9d2f-2f6f0f4f8a11",
}
_DEPTH_MOST = 8


def sample(schema: Mapping[str, Any], known: Mapping[str, Any], name: str = "", depth: int = 0) -> Any:
    """Return a value for a schema whose references are `known`, MISSING where none can be told. name: of its field."""
    if depth > _DEPTH_MOST:
        return MISSING
    if "$ref" in schema:
        return sample(known[schema["$ref"].rpartition("/")[2]], known, name, depth + 1)
    if schema.get("examples"):
        return schema["examples"][0]
    if schema.get("default") is not None:
        return schema["default"]
    for key in ("enum", "anyOf"):
        if key in schema:
            options = [option for option in schema[key] if option not in (None, {"type": "null"})]
            chosen = options[0] if options else None
            return sample(chosen, known, name, depth + 1) if key == "anyOf" and chosen is not None else chosen
    made = _MAKERS.get(str(schema.get("type")), _none)
    return made(schema, known, name, depth)


def _none(_schema: Mapping[str, Any], _known: Mapping[str, Any], _name: str, _depth: int) -> Any:
    return MISSING


def _object(schema: Mapping[str, Any], known: Mapping[str, Any], _name: str, depth: int) -> Any:
    required = schema.get("required", ())
    made: dict[str, Any] = {}
    for name, inner in schema.get("properties", {}).items():
        value = sample(inner, known, name, depth + 1)
        if value is not MISSING:
            made[name] = value
        elif name in required:
            return MISSING
    return made


def _array(schema: Mapping[str, Any], known: Mapping[str, Any], name: str, depth: int) -> Any:
    if "prefixItems" in schema:
        items = [sample(inner, known, name, depth + 1) for inner in schema["prefixItems"]]
        return MISSING if MISSING in items else items
    if schema.get("minItems", 0) > 1:
        return MISSING
    one = sample(schema.get("items", {}), known, name.removesuffix("s"), depth + 1)
    if one is MISSING:
        return MISSING if schema.get("minItems") else []
    return [one] if schema.get("maxItems", 1) else []


def _string(schema: Mapping[str, Any], _known: Mapping[str, Any], name: str, _depth: int) -> Any:
    if "contentEncoding" in schema:
        return "aGVsbG8="
    if schema.get("format") in _FORMATS:
        return _FORMATS[schema["format"]]
    if schema.get("pattern", NO_NUL) != NO_NUL or schema.get("format", "password") != "password":
        return MISSING
    text = (name.removesuffix("_id") or "text") + ("-1" if name.endswith("_id") else "")
    text = text.ljust(schema.get("minLength", 0), "x")
    return text[: schema.get("maxLength", len(text))]


def _number(schema: Mapping[str, Any], _known: Mapping[str, Any], _name: str, _depth: int) -> Any:
    step = schema.get("multipleOf")
    least = schema.get("minimum", schema.get("exclusiveMinimum", 0) + (1 if "exclusiveMinimum" in schema else 0))
    most = schema.get("maximum", schema.get("exclusiveMaximum", least + 1) - (1 if "exclusiveMaximum" in schema else 0))
    if step is not None:
        return step if least <= step <= most else MISSING
    value = 1 if least <= 1 <= most else max(least, 0)
    return value if least <= value <= most else MISSING


def _bool(_schema: Mapping[str, Any], _known: Mapping[str, Any], _name: str, _depth: int) -> Any:
    return True


_MAKERS = {
    "object": _object, "array": _array, "string": _string, "['string', 'number']": _string, "integer": _number,
    "number": _number, "boolean": _bool,
}

"""JSON Schema as the strict reader judges: what it refuses besides what the types say is said here too."""

from __future__ import annotations

from typing import Any

from headwater.model.strict import COLLECTION_MOST

__all__ = ["NO_NUL", "SEGMENT", "closed", "tightened", "widened"]

NO_NUL = "^[^\\u0000]*$"
SEGMENT = "^(\\.*[^\\u0000/\\\\.][^\\u0000/\\\\]*|\\.{3,})$"
"""One segment of a path: not empty, no slashes of either kind, not `.` or `..`."""
_BASE64 = "^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$"
_DECIMAL = "^[+-]?([0-9]+(\\.[0-9]*)?|\\.[0-9]+)([eE][+-]?[0-9]{1,4})?$"
_INT_LEAST, _INT_MOST = -(2**63), 2**63 - 1
_LEASTS = ("minimum", "exclusiveMinimum")
_MOSTS = ("maximum", "exclusiveMaximum")


def closed(component: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of an object that takes no fields but its own."""
    if component.get("type") != "object" or "properties" not in component:
        return component
    return {**component, "additionalProperties": False}


def tightened(schema: Any) -> Any:
    """Return a schema of what is read from strangers: no NUL, numbers of 64 bits, bounded collections."""
    if isinstance(schema, list):
        return [tightened(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    made = {
        key: {name: tightened(inner) for name, inner in value.items()} if key == "properties"
        else value if key in ("default", "examples", "enum", "const") else tightened(value)
        for key, value in schema.items()
    }
    narrow = _NARROWER.get(str(made.get("type")))
    return made if narrow is None or "enum" in made or "const" in made else narrow(made)


def widened(schema: Any) -> Any:
    """Return a schema of what is answered: it may have more fields one day, and says how wide numbers are."""
    if isinstance(schema, list):
        return [widened(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    made = {
        key: value if key in ("default", "examples", "enum", "const") else widened(value)
        for key, value in schema.items()
    }
    if made.get("type") == "integer" and "enum" not in made:
        made.setdefault("format", "int64")
    return made


def _text(schema: dict[str, Any]) -> dict[str, Any]:
    if schema.get("contentEncoding") == "base64":
        return {**schema, "pattern": _BASE64}
    if schema.get("format") == "decimal":
        return {**schema, "type": ["string", "number"], "pattern": _DECIMAL}
    if "format" in schema and schema["format"] != "password":
        return schema
    if "pattern" in schema:
        return {**schema, "allOf": [{"pattern": NO_NUL}]}
    return {**schema, "pattern": NO_NUL}


def _whole(schema: dict[str, Any]) -> dict[str, Any]:
    made = {**schema, "format": "int64"}
    if not any(key in made for key in _LEASTS):
        made["minimum"] = _INT_LEAST
    if not any(key in made for key in _MOSTS):
        made["maximum"] = _INT_MOST
    return made


def _list(schema: dict[str, Any]) -> dict[str, Any]:
    return {"maxItems": COLLECTION_MOST, **schema}


def _object(schema: dict[str, Any]) -> dict[str, Any]:
    if "properties" in schema:
        return schema
    return {"maxProperties": COLLECTION_MOST, "propertyNames": {"pattern": NO_NUL}, **schema}


_NARROWER = {"string": _text, "integer": _whole, "array": _list, "object": _object}

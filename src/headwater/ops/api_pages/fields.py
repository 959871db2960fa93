"""Schemas in words: what a field is, and the list of the fields of an object."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from headwater.edge.openapi.components import SCHEMAS
from headwater.edge.openapi.tight import NO_NUL, SEGMENT
from headwater.ops.dashboard.html import Html, Part, breakable, el, join

__all__ = ["anchor", "field_list", "inline", "kind_of", "object_of", "row", "said"]

Schema = Mapping[str, Any]
_INT_ENDS = (-(2**63), 2**63 - 1)
_COUNTED = {"string": "characters", "array": "items", "object": "entries"}
_QUIET = ("password", "int64", "cursor")
_COLLECTION_MOST = 10_000


def anchor(name: str) -> str:
    """Return the id of a schema's place in the page."""
    return f"schema-{name}"


def object_of(schema: Schema, schemas: Mapping[str, Schema]) -> Schema:
    """Return what a reference leads to; any other schema itself."""
    return schemas[schema["$ref"].removeprefix(SCHEMAS)] if "$ref" in schema else schema


def said(text: str | None) -> Html | None:
    """Return a text in paragraphs, with `code` as such."""
    if not text:
        return None
    return join(el("p", *inline(" ".join(part.split()))) for part in re.split(r"\n\s*\n", text.strip()))


def inline(text: str) -> Iterable[Part]:
    """Return a text with `code` as such."""
    for number, part in enumerate(text.split("`")):
        yield el("code", breakable(part)) if number % 2 else part


def kind_of(schema: Schema) -> Html:
    """Return what a value is, in a few words, with links to the schemas that it names."""
    if "$ref" in schema:
        name = schema["$ref"].removeprefix(SCHEMAS)
        return el("a", name, href=f"#{anchor(name)}")
    for key, between in (("anyOf", " or "), ("oneOf", " or "), ("prefixItems", ", ")):
        if key in schema:
            return _listed([kind_of(one) for one in schema[key]], between)
    if "const" in schema or "enum" in schema:
        values = [schema["const"]] if "const" in schema else schema["enum"]
        return _listed([el("code", _json(value)) for value in values], " or ")
    kind = schema.get("type", "anything")
    if isinstance(kind, list):
        return join(" or ".join(kind))
    if kind == "array" and "prefixItems" not in schema:
        return join(["list of ", kind_of(schema.get("items", {}))])
    if kind == "object" and isinstance(schema.get("additionalProperties"), dict):
        return join(["object of ", kind_of(schema["additionalProperties"])])
    format_ = schema.get("format")
    return join(kind if format_ is None or format_ in _QUIET else f"{kind}, {format_}")


def _listed(parts: list[Html], between: str) -> Html:
    return join([(between if number else "", part) for number, part in enumerate(parts)])


def _limits(schema: Schema) -> list[str]:
    """Return what else a value keeps to, in words."""
    for option in schema.get("anyOf", ()):
        if option != {"type": "null"} and len(schema["anyOf"]) == 2:
            return _limits({**option, **{key: value for key, value in schema.items() if key != "anyOf"}})
    made = [*_size(schema), *_range(schema)]
    if schema.get("multipleOf") is not None:
        made.append(f"a multiple of {schema['multipleOf']}")
    pattern = schema.get("pattern")
    if pattern is not None and pattern not in (NO_NUL, SEGMENT):
        made.append(f"matches `{pattern}`")
    if schema.get("uniqueItems"):
        made.append("no item twice")
    if schema.get("default") is not None:
        made.append(f"by default `{_json(schema['default'])}`")
    return made


def _size(schema: Schema) -> list[str]:
    kind = str(schema.get("type"))
    names = {"string": "Length", "array": "Items", "object": "Properties"}
    if kind not in names:
        return []
    least, most = schema.get(f"min{names[kind]}"), schema.get(f"max{names[kind]}")
    if kind != "string" and most == _COLLECTION_MOST:
        most = None
    if kind == "string" and least is None and schema.get("pattern") == SEGMENT:
        least = 1
    return _between(least, most, f" {_COUNTED[kind]}")


def _range(schema: Schema) -> list[str]:
    least, most = schema.get("minimum"), schema.get("maximum")
    made = _between(None if least == _INT_ENDS[0] else least, None if most == _INT_ENDS[1] else most, "")
    made += [f"more than {schema['exclusiveMinimum']}"] if "exclusiveMinimum" in schema else []
    return made + ([f"less than {schema['exclusiveMaximum']}"] if "exclusiveMaximum" in schema else [])


def _between(least: float | None, most: float | None, unit: str) -> list[str]:
    if least is not None and most is not None:
        return [f"{_number(least)} to {_number(most)}{unit}"]
    if least is not None:
        return [f"{_number(least)}{unit} or more"]
    return [] if most is None else [f"up to {_number(most)}{unit}"]


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def row(
    name: str, schema: Schema, *, required: bool, about: str | None = None, place: str = "", mark: str | None = None
) -> Html:
    """Return one line of a list: a field's name, what it is, and what it means. mark: its id."""
    description = about or schema.get("description")
    limits = "; ".join(_limits(schema))
    return el(
        "li",
        el(
            "div", el("code", breakable(name), class_="name"), " ", el("span", kind_of(schema), class_="kind"),
            el("span", " ", place, class_="place") if place else None,
            el("strong", " required", class_="required") if required else None,
            class_="head",
        ),
        el("div", *inline(limits), class_="limits") if limits else None,
        el("div", *inline(description), class_="about") if description else None,
        id=mark,
    )


def field_list(schema: Schema, *, label: str) -> Html:
    """Return the fields of an object, or what else the schema is."""
    properties: Mapping[str, Schema] = schema.get("properties", {})
    if schema.get("type") == "object" and "properties" in schema:
        if not properties:
            return el("p", "An object without fields, or nothing.", class_="nothing")
        required = schema.get("required", ())
        rows = [row(name, inner, required=name in required) for name, inner in properties.items()]
        return el("ul", *rows, class_="fields", aria_label=label)
    limits = "; ".join(_limits(schema))
    return el("p", kind_of(schema), f" ({limits})" if limits else None)

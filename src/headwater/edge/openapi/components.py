"""What several operations of a document share, each under one name."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from headwater.edge.openapi.dates import mark_dates
from headwater.edge.openapi.tight import closed, tightened, widened
from headwater.model.schema import schema_parts

__all__ = ["SCHEMAS", "Components"]

SCHEMAS = "#/components/schemas/"


class Components:
    """Collects. A type that is both sent and answered has two schemas: what is sent takes no unknown fields.

    sent: messages as they come in. answered: what is answered, by the message or failure that it belongs to.
    """

    def __init__(self, sent: Iterable[Any], answered: Mapping[Any, Any]) -> None:
        self.schemas: dict[str, dict[str, Any]] = {}
        self.responses: dict[str, dict[str, Any]] = {}
        messages = list(sent)
        out, out_parts = schema_parts(list(answered.values()), SCHEMAS)
        came, came_parts = schema_parts(messages, SCHEMAS)
        mark_dates(messages, came_parts)
        plain = {name: _readable(name, schema) for name, schema in {**out_parts, **came_parts}.items()}
        names = {name: plain[name] + ("Input" if name in out_parts else "") for name in came_parts}
        self._answered = {
            owner: _renamed(widened(schema), plain) for owner, schema in zip(answered, out, strict=True)
        }
        self._answered_parts = {plain[name]: _renamed(widened(schema), plain) for name, schema in out_parts.items()}
        self._sent_parts: dict[str, dict[str, Any]] = {}
        for name, schema in came_parts.items():
            strict = tightened(schema if "." in name else closed(schema))
            self._sent_parts[names[name]] = _renamed(strict, names)
        self._sent = {
            message: _renamed(schema, names)["$ref"].removeprefix(SCHEMAS)
            for message, schema in zip(messages, came, strict=True)
        }

    def message(self, message: Any) -> dict[str, Any]:
        """Return the schema of a message, as an object of its own that may be changed."""
        return {**self._sent_parts[self._sent[message]]}

    def answer(self, owner: Any) -> dict[str, Any]:
        """Return the schema of a message's result, or of a failure's fields, with all that it refers to kept."""
        schema: dict[str, Any] = self._answered[owner]
        self._keep(schema, self._answered_parts)
        return schema

    def body(self, name: str, schema: dict[str, Any]) -> dict[str, Any]:
        """Return a reference to what a request's body is."""
        self._keep(schema, self._sent_parts)
        return self.schema(name, schema)

    def inline(self, schema: dict[str, Any]) -> dict[str, Any]:
        """Return a schema of something that is sent, with all that it refers to kept."""
        self._keep(schema, self._sent_parts)
        return schema

    def schema(self, name: str, schema: dict[str, Any]) -> dict[str, Any]:
        """Return a reference to a schema; under the next free name when another one has this one."""
        return {"$ref": SCHEMAS + _put(self.schemas, name, schema)}

    def response(self, name: str, response: dict[str, Any]) -> dict[str, Any]:
        """Return a reference to a response."""
        return {"$ref": "#/components/responses/" + _put(self.responses, name, response)}

    def _keep(self, schema: Any, parts: dict[str, dict[str, Any]]) -> None:
        for name in _named(schema):
            if name in parts and name not in self.schemas:
                self.schemas[name] = parts[name]
                self._keep(parts[name], parts)


def _readable(name: str, schema: dict[str, Any]) -> str:
    """Return a name that people would give: `Page[Product]` is PageOfProduct."""
    title = str(schema.get("title", ""))
    return "Of".join(re.findall(r"\w+", title)) if re.fullmatch(r"\w+(\[[\w\[\]]+\])", title) else name


def _put(place: dict[str, dict[str, Any]], name: str, made: dict[str, Any]) -> str:
    free, number = name, 1
    while free in place and place[free] != made:
        number += 1
        free = f"{name}{number}"
    place[free] = made
    return free


def _named(schema: Any) -> list[str]:
    """Return the names of the components that a schema refers to."""
    if isinstance(schema, list):
        return [name for item in schema for name in _named(item)]
    if isinstance(schema, dict):
        return [name for item in schema.values() for name in _named(item)]
    return [schema.removeprefix(SCHEMAS)] if isinstance(schema, str) and schema.startswith(SCHEMAS) else []


def _renamed(schema: Any, names: dict[str, str]) -> Any:
    if isinstance(schema, list):
        return [_renamed(item, names) for item in schema]
    if isinstance(schema, dict):
        return {key: _renamed(item, names) for key, item in schema.items()}
    if isinstance(schema, str) and schema.startswith(SCHEMAS):
        name = schema.removeprefix(SCHEMAS)
        return SCHEMAS + names.get(name, name)
    return schema

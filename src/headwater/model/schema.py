"""Messages as JSON Schema (draft 2020-12), and a hash that changes when a contract's shape does."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, get_origin

import msgspec

from headwater.model.contract import Contract
from headwater.model.message import Failure
from headwater.model.secret import Secret

__all__ = ["contract_schema", "json_schema", "schema_hash", "schema_parts"]

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def json_schema(kind: Any) -> dict[str, Any]:
    """Return a type's JSON Schema, self-contained: what it refers to stands under `$defs`."""
    (schema,), components = schema_parts([kind], "#/$defs/")
    whole: dict[str, Any] = {"$schema": DIALECT, **schema}
    if components:
        whole["$defs"] = components
    return whole


def schema_parts(kinds: Sequence[Any], place: str) -> tuple[list[dict[str, Any]], dict[str, dict[str, Any]]]:
    """Return the JSON Schemas of several types, and by name those that they share; references begin with `place`."""

    def foreign(kind: Any) -> dict[str, Any]:
        return _foreign(kind, place)

    schemas, components = msgspec.json.schema_components(
        [
            kind.__failure_fields__ if isinstance(kind, type) and issubclass(kind, Failure) else kind for kind in kinds
        ],
        schema_hook=foreign, ref_template=place + "{name}",
    )
    lifted: dict[str, Any] = {}
    for schema in schemas:
        _lift(schema, lifted)
    _lift(components, lifted)
    return list(schemas), {**components, **lifted}


def contract_schema(contract: Contract) -> dict[str, Any]:
    """Return everything two sides agree on in one document."""
    return {
        "name": contract.name,
        "version": contract.version,
        "kind": contract.kind,
        "within_seconds": contract.within,
        "idempotent": contract.idempotent,
        "key": contract.key,
        "message": json_schema(contract.message),
        "result": None if contract.kind == "event" else json_schema(contract.result),
        "fails": {
            failure.__failure_name__: {"status": failure.__failure_status__, "fields": json_schema(failure)}
            for failure in contract.fails
        },
    }


def schema_hash(contract: Contract) -> str:
    """Return 16 hex digits over the contract's shape; descriptions and order do not count."""
    text = msgspec.json.encode(_shape(contract_schema(contract)), order="sorted")
    return hashlib.sha256(text).hexdigest()[:16]


def _shape(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _shape(item) for key, item in value.items() if key not in ("description", "title")}
    return [_shape(item) for item in value] if isinstance(value, list) else value


def _foreign(kind: Any, place: str) -> dict[str, Any]:
    """Return the schema that a Pydantic model has of itself; what it refers to is named after the model."""
    if kind is Secret or get_origin(kind) is Secret:
        return {"type": "string", "format": "password", "writeOnly": True}
    schema = getattr(kind, "model_json_schema", None)
    if schema is None:
        raise NotImplementedError(f"{kind!r} has no JSON Schema")
    made: dict[str, Any] = schema(ref_template=f"{place}{kind.__name__}.{{model}}")
    if "$defs" in made:
        made["$defs"] = {f"{kind.__name__}.{name}": inner for name, inner in made["$defs"].items()}
    return made


def _lift(value: Any, lifted: dict[str, Any]) -> None:
    """Move every inner `$defs` out: references count from the top of the document."""
    if isinstance(value, dict):
        if isinstance(value.get("$defs"), dict):
            lifted.update(value.pop("$defs"))
        for item in value.values():
            _lift(item, lifted)
    elif isinstance(value, list):
        for item in value:
            _lift(item, lifted)

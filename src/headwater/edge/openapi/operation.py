"""One route as an OpenAPI operation."""

from __future__ import annotations

import inspect
from types import NoneType
from typing import Any

from headwater.edge.openapi.components import SCHEMAS, Components
from headwater.edge.openapi.headers import answer_headers, understood
from headwater.edge.openapi.refusals import responses_of
from headwater.edge.openapi.samples import MISSING, sample
from headwater.edge.openapi.shape import Shape
from headwater.edge.openapi.tight import NO_NUL, SEGMENT
from headwater.model.api import Auth
from headwater.model.strict import COLLECTION_MOST

__all__ = ["operation_of"]


def operation_of(shape: Shape, components: Components, *, name: str, schemes: tuple[str, ...]) -> dict[str, Any]:
    """Return the operation. name: its id. schemes: the kinds of credential that are believed."""
    route, contract = shape.route, shape.route.contract
    summary, description = _told(shape)
    made: dict[str, Any] = {"operationId": name, "tags": [contract.module], "summary": summary}
    if description:
        made["description"] = description
    if route.deprecated is not None:
        made["deprecated"] = True
    parameters = _parameters(shape, components)
    if parameters:
        made["parameters"] = parameters
    if shape.has_body:
        made["requestBody"] = _body(shape, components)
    elif route.upload is not None:
        made["requestBody"] = {
            "description": "The file, as it is.", "required": False,
            "content": {"application/octet-stream": {}, "*/*": {}},
        }
    made["responses"] = {**_values(shape, components), **responses_of(shape, components)}
    made["security"] = _security(route.auth, schemes)
    made["x-headwater"] = {
        "contract": contract.wire_name, "within_seconds": contract.within, "priority": contract.priority,
        "idempotent": contract.idempotent, "headers": understood(shape),
    }
    return made


def _told(shape: Shape) -> tuple[str, str]:
    """Return one line, and what there is to say besides."""
    route, contract = shape.route, shape.route.contract
    first, _, rest = (inspect.cleandoc(contract.message.__doc__ or "")).partition("\n")
    summary = route.summary or first or contract.name
    said = [first] if first and first != summary else []
    said += [rest.strip()] if rest.strip() else []
    if contract.idempotent is not None:
        said.append(
            f"Sent again with the same `{contract.idempotent}` it is done once. The header `Idempotency-Key` may carry "
            "the value in place of the field; when both are there, they are the same."
        )
    if route.deprecated is not None:
        instead = "" if route.successor is None else f" Use `/{route.successor}` instead."
        ends = "" if route.sunset is None else f" From {route.sunset} on (UTC) it answers 410."
        said.append(f"Deprecated from {route.deprecated} on.{ends}{instead}")
    if route.auth is not None and route.auth.kind != "public":
        said.append(f"For {_who(route.auth)}.")
    said += [f"At most {limit.rate} for each {limit.per}, {limit.burst} at once." for limit in route.limits]
    return summary, "\n\n".join(said)


def _who(auth: Auth) -> str:
    roles = " or ".join(f"`{name}`" for name in auth.roles)
    scopes = " and ".join(f"`{name}`" for name in auth.scopes)
    parts = [f"the role {roles}"] if roles else []
    parts += [f"the scope {scopes}"] if scopes else []
    return f"callers with {' and '.join(parts)}" if parts else "whoever has signed in"


def _security(auth: Auth | None, schemes: tuple[str, ...]) -> list[dict[str, list[str]]]:
    """Return the ways to be let in: one of several roles, with all of several scopes."""
    if auth is None or auth.kind == "public":
        return [{}, *[dict[str, list[str]]({scheme: []}) for scheme in schemes]]
    return [{scheme: [*role, *auth.scopes]} for scheme in schemes for role in ([[r] for r in auth.roles] or [[]])]


# --- what comes in ------------------------------------------------------------------------------


def _parameters(shape: Shape, components: Components) -> list[dict[str, Any]]:
    message = components.message(shape.route.contract.message)
    made = [_path(name, message["properties"][name], components) for name in shape.path]
    made += [_query(shape, name, message, components) for name in shape.query]
    if shape.route.contract.kind == "command" and shape.route.contract.idempotent is None:
        made.append({"$ref": "#/components/parameters/Idempotency-Key"})
    return made


def _path(name: str, schema: dict[str, Any], components: Components) -> dict[str, Any]:
    kept = components.inline(_text(schema))
    if kept.get("pattern") == NO_NUL:
        kept = {**kept, "pattern": SEGMENT}
        if kept.get("minLength") == 1:
            del kept["minLength"]
    elif kept.get("type") == "string" and "format" not in kept:
        kept = {**kept, "allOf": [{"pattern": SEGMENT}]}
    return _described({"name": name, "in": "path", "required": True}, kept)


def _query(shape: Shape, name: str, message: dict[str, Any], components: Components) -> dict[str, Any]:
    schema = components.inline(_text(message["properties"][name]))
    required = name in message.get("required", ())
    if name == shape.cursor:  # nobody can make one up
        schema = {key: value for key, value in schema.items() if key != "pattern"} | {"format": "cursor"}
    if shape.param(name).many:
        if schema.get("maxItems") == COLLECTION_MOST:  # what a request line holds ends before that
            schema = {key: value for key, value in schema.items() if key != "maxItems"}
        if required:
            schema = {**schema, "minItems": max(1, schema.get("minItems", 0))}
    return _described({"name": name, "in": "query", "required": required}, schema)


def _text(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a value that stands as text: it cannot be null."""
    options = [option for option in schema.get("anyOf", ()) if option != {"type": "null"}]
    if not options:
        return schema
    rest = {key: value for key, value in schema.items() if key != "anyOf"}
    if rest.get("default", "") is None:
        del rest["default"]
    return {**rest, **options[0]} if len(options) == 1 else {**rest, "anyOf": options}


def _described(parameter: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    description = schema.get("description")
    said = {"description": description} if description else {}
    rest = {key: value for key, value in schema.items() if key not in ("description", "examples")}
    examples = schema.get("examples")
    example = {"example": examples[0]} if examples else {}
    return {**parameter, **said, "schema": rest, **example}


def _body(shape: Shape, components: Components) -> dict[str, Any]:
    message = components.message(shape.route.contract.message)
    properties = {name: message["properties"][name] for name in shape.body}
    required = [name for name in message.get("required", ()) if name in properties]
    schema = {**message, "properties": properties}
    schema.pop("required", None)
    if required:
        schema["required"] = required
    kind = shape.route.contract.message.__name__
    reference = components.body(kind if len(properties) == len(message["properties"]) else f"{kind}Body", schema)
    example = sample(schema, components.schemas)
    content: dict[str, Any] = {"schema": reference}
    if example is not MISSING:
        content["example"] = example
    return {"required": bool(required), "content": dict.fromkeys(components.formats, content)}


# --- what goes out ------------------------------------------------------------------------------


def _values(shape: Shape, components: Components) -> dict[str, Any]:
    route = shape.route
    headers = answer_headers(shape)
    made: dict[str, Any] = {}
    if shape.download:
        part = {**headers, "Content-Range": {"$ref": "#/components/headers/Content-Range"}}
        made["200"] = {"description": "The file.", "headers": headers, "content": {"*/*": {}}}
        made["206"] = {"description": "The part that was asked for.", "headers": part, "content": {"*/*": {}}}
    elif shape.value is not NoneType:
        schema = components.answer(route.contract.message)
        made[str(route.status)] = {
            "description": _result(schema, components), "headers": headers,
            "content": {kind: {"schema": schema} for kind in components.formats},
        }
    if shape.may_be_nothing and route.contract.kind == "command":
        made["204"] = {"description": "Done; there is nothing to say.", "headers": headers}
    if shape.download or (route.http_cache is not None and shape.value is not NoneType):
        made["304"] = {"description": "The caller has this answer already.", "headers": headers}
    return made


def _result(schema: dict[str, Any], components: Components) -> str:
    """Return what an answer is, in a line."""
    named = components.schemas.get(str(schema.get("$ref")).removeprefix(SCHEMAS), schema)
    return str(named.get("description", "The answer.")).partition("\n")[0]

"""What a route may answer besides a value: which status, which codes."""

from __future__ import annotations

from typing import Any

from headwater.edge.openapi.components import SCHEMAS, Components
from headwater.edge.openapi.shape import Shape

__all__ = ["PROBLEM_JSON", "PROBLEM_SCHEMAS", "refusals", "responses_of"]

PROBLEM_JSON = "application/problem+json"
_TEXT = {"type": "string"}
PROBLEM_SCHEMAS: dict[str, dict[str, Any]] = {
    "Problem": {
        "title": "Problem", "description": "Why there is no value (RFC 9457). `code` is stable and may be matched on.",
        "type": "object",
        "properties": {
            "type": {"type": "string", "format": "uri", "description": "What kind of problem it is."},
            "title": {**_TEXT, "description": "The status in words."},
            "status": {"type": "integer", "minimum": 400, "maximum": 599},
            "code": {**_TEXT, "description": "A stable name."},
            "detail": {**_TEXT, "description": "What happened, for people."},
            "instance": {"type": "string", "format": "uri", "description": "The request, with its X-Request-Id."},
        },
        "required": ["type", "title", "status", "code", "detail", "instance"],
    },
    "FieldError": {
        "title": "FieldError", "type": "object",
        "properties": {
            "pointer": {**_TEXT, "description": "A JSON pointer to the field; empty for the whole message."},
            "detail": {**_TEXT, "description": "What is wrong with it."},
        },
        "required": ["pointer", "detail"],
    },
}
_ERRORS = {
    "type": "array", "items": {"$ref": SCHEMAS + "FieldError"},
    "description": "Everything that is wrong with the message, not only the first thing.",
}
_RETRY_AFTER = {"Retry-After": {"$ref": "#/components/headers/Retry-After"}}
_SAID = {
    400: ("BadRequest", "The request is malformed."),
    401: ("Unauthorized", "A credential is missing or not believed."),
    403: ("Forbidden", "The caller may not do this."),
    404: ("NotFound", "There is no such thing."),
    406: ("NotAcceptable", "Answers are JSON or MessagePack, and the caller accepts neither."),
    409: ("Conflict", "It contradicts what is there."),
    410: ("Gone", "This version of the API has ended."),
    413: ("TooLarge", "The body is too long."),
    414: ("TargetTooLong", "The request line is too long."),
    415: ("UnsupportedMediaType", "The body is in a format or coding that is not read here."),
    416: ("RangeNotSatisfiable", "The range lies outside the file."),
    422: ("InvalidMessage", "The message breaks its rules."),
    429: ("TooManyRequests", "Asked too often."),
    431: ("HeadersTooLong", "The headers are too long."),
    500: ("InternalError", "Something went wrong; it may have been done in part."),
    503: ("Unavailable", "Certainly not done; asking again is safe."),
    504: ("TimedOut", "The time ran out; it may have been done."),
    507: ("StorageFull", "Certainly not done: the disk is full."),
}
_OPEN_ENDED = 500
"""From this status on, parts of an application may have codes of their own."""


def refusals(shape: Shape) -> dict[int, tuple[str, ...]]:
    """Return the codes of the framework's own problems, by status."""
    contract, route = shape.route.contract, shape.route
    command = contract.kind == "command"
    found: dict[int, tuple[str, ...]] = {
        400: _malformed(shape), 401: ("unauthenticated",), 406: ("not-acceptable",),
        431: ("head-too-long", "header-too-long", "too-many-headers"),
        500: ("handler-crashed", "internal", "outcome-unknown", *(("commit-unknown",) if command else ())),
        503: ("auth-unavailable", "deadline-expired", "draining", "overloaded", "store-unavailable"),
        504: ("deadline-exceeded",),
    }
    if route.auth is None or route.auth.roles or route.auth.scopes or shape.ruled:
        found[403] = ("denied",)
    if shape.may_be_missing or shape.ruled:
        found[404] = ("not-found",)
    if command:
        found[409] = ("idempotency-conflict",)
        found[507] = ("store-full",)
    if route.sunset is not None:
        found[410] = ("version-ended",)
    if shape.has_body or route.upload is not None:
        found[413] = ("body-too-large",)
        found[415] = ("unsupported-encoding", "unsupported-media-type")
    if shape.path or shape.query:
        found[414] = ("target-too-long",)
    if shape.fields or shape.has_body:
        found[422] = ("invalid-message",)
    if route.limits:
        found[429] = ("rate-limited",)
    return dict(sorted(found.items()))


def _malformed(shape: Shape) -> tuple[str, ...]:
    codes = {"bad-session-token", "bad-timeout"}
    if shape.route.contract.kind == "command":
        codes.add("bad-idempotency-key")
        if shape.route.contract.idempotent is not None:
            codes.add("two-keys")
    if shape.path:
        codes |= {"bad-encoding", "bad-path"}
    if shape.has_body:
        codes |= {"not-json", "unexpected-query"} | ({"doubled-field"} if shape.path else set[str]())
    else:
        codes |= {"bad-encoding", "doubled-parameter", "too-many-parameters", "unknown-parameter"}
        if shape.route.upload is None:
            codes.add("unexpected-body")
    return tuple(sorted(codes))


def responses_of(shape: Shape, components: Components) -> dict[str, Any]:
    """Return all answers that are not a value, declared failures among them."""
    codes = refusals(shape)
    by_status: dict[int, list[type[Any]]] = {}
    for failure in shape.route.contract.fails:
        by_status.setdefault(failure.__failure_status__, []).append(failure)
    made: dict[str, Any] = {}
    for status in sorted({*codes, *by_status}):
        declared = [_declared(failure, components) for failure in by_status.get(status, ())]
        made[str(status)] = _response(status, codes.get(status, ()), declared, components)
    if shape.download:
        headers = {"Content-Range": {"$ref": "#/components/headers/Content-Range"}}
        made["416"] = {"description": _SAID[416][1], "headers": headers}
    return dict(sorted(made.items()))


def _response(
    status: int, codes: tuple[str, ...], declared: list[dict[str, Any]], components: Components
) -> dict[str, Any]:
    schemas = [*declared, *([_problem(status, codes)] if codes else [])]
    schema = schemas[0] if len(schemas) == 1 else {"anyOf": schemas}
    headers = {"X-Request-Id": {"$ref": "#/components/headers/X-Request-Id"}}
    if status == 401:
        headers["WWW-Authenticate"] = {"$ref": "#/components/headers/WWW-Authenticate"}
    if status in (429, 503, 507):
        headers |= _RETRY_AFTER
    if status == 429:
        headers |= {name: {"$ref": f"#/components/headers/{name}"} for name in ("RateLimit", "RateLimit-Policy")}
    if status == 410:
        headers |= {name: {"$ref": f"#/components/headers/{name}"} for name in ("Deprecation", "Sunset", "Link")}
    response = {
        "description": _SAID.get(status, ("", "It is refused."))[1], "headers": headers,
        "content": {PROBLEM_JSON: {"schema": schema}},
    }
    return response if declared else components.response(_SAID[status][0], response)


def _problem(status: int, codes: tuple[str, ...]) -> dict[str, Any]:
    code = {"examples": list(codes)} if status >= _OPEN_ENDED else {"enum": list(codes)}
    properties: dict[str, Any] = {"status": {"const": status}, "code": {"type": "string", **code}}
    if status == 422 or "not-json" in codes:
        properties["errors"] = _ERRORS
    own: dict[str, Any] = {"type": "object", "properties": properties}
    if status == 422:
        own["required"] = ["errors"]
    return {"allOf": [{"$ref": SCHEMAS + "Problem"}, own]}


def _declared(failure: type[Any], components: Components) -> dict[str, Any]:
    name, status = failure.__failure_name__, failure.__failure_status__
    own = {
        "type": "object",
        "properties": {
            "type": {"const": f"urn:headwater:problem:{name}"}, "status": {"const": status},
            "code": {"const": name}, "failure": components.answer(failure),
        },
        "required": ["failure"],
    }
    said = {} if not failure.__doc__ else {"description": failure.__doc__.strip()}
    return components.schema(
        f"{name}Problem", {"title": name, **said, "allOf": [{"$ref": SCHEMAS + "Problem"}, own]}
    )

"""The table of routes, compiled once: a look-up, and one function for each route.

Nothing is decided at request time that could be decided at start, and there is no chain to walk: a
route's function does authorisation, reading, the call and the answer in that order.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence
from types import NoneType
from typing import Any, get_args

import msgspec

from headwater.edge.auth import Guard, NoVerifier, Verifier, guard
from headwater.edge.http import Request, Response
from headwater.edge.params import Param, decode_text, parse_query
from headwater.edge.problems import Rejected, problem, problem_of
from headwater.edge.surroundings import Surroundings, token_header
from headwater.errors import ConfigurationError, FieldError
from headwater.model.api import Api, Route
from headwater.model.codec import to_json
from headwater.model.strict import StrictReader
from headwater.runtime.node import Node

__all__ = ["Endpoint", "Router"]

Endpoint = Callable[[Request], Awaitable[Response]]
JSON = (b"content-type", b"application/json")
_PARAM = re.compile(r"\{([a-z_][a-z0-9_]*)\}")
_FORBIDDEN = (b"%2f", b"%5c")
_BODIES = ("POST", "PUT", "PATCH")


class _Place:
    """One point of the path trie: where the next segment leads, and what answers here."""

    __slots__ = ("any", "methods", "static", "where")

    def __init__(self) -> None:
        self.static: dict[str, _Place] = {}
        self.any: _Place | None = None
        self.methods: dict[str, Endpoint] = {}
        self.where: dict[str, str] = {}


class Router:
    """All routes of an application over one node.

    Raises ConfigurationError at once for a route without authorisation, a parameter that is no field,
    two routes that are one, or a contract that nobody handles.
    """

    def __init__(self, apis: Sequence[Api], node: Node, *, verifier: Verifier | None = None) -> None:
        self.node = node
        self.routes: list[Route] = []
        self._root = _Place()
        self._verifier = verifier or NoVerifier()
        for api in apis:
            for route in api.routes:
                self._add(route)
                self.routes.append(route)

    async def respond(self, request: Request) -> Response:
        """Answer a request. Never raises but when cancelled."""
        try:
            endpoint = self._find(request)
        except Rejected as error:
            return problem_of(error, "")
        return await endpoint(request)

    # --- finding ------------------------------------------------------------------------------

    def _find(self, request: Request) -> Endpoint:
        place, params = self._root, []
        path = request.path
        lowered = path.lower()
        if any(mark in lowered for mark in _FORBIDDEN):
            raise Rejected(400, "bad-path", "the path contains an encoded slash")
        for raw in path[1:].split(b"/"):
            segment = decode_text(raw, "the path")
            if segment in (".", ".."):
                raise Rejected(400, "bad-path", "the path contains dot segments")
            found = place.static.get(segment)
            if found is None:
                found = place.any if segment else None
                if found is None:
                    return self._health(path)
                params.append(segment)
            place = found
        if not place.methods:
            return self._health(path)
        request.params = tuple(params)
        method = request.method
        endpoint = place.methods.get("GET" if method == "HEAD" else method)
        return endpoint or self._other_method(method, place)

    def _health(self, path: bytes) -> Endpoint:
        if path == b"/livez":
            return self._alive
        if path == b"/readyz":
            return self._ready
        raise Rejected(404, "not-found", "there is nothing here")

    async def _alive(self, _request: Request) -> Response:
        return Response(200, b'{"status":"alive"}', (JSON,))

    async def _ready(self, _request: Request) -> Response:
        if self.node.ready:
            return Response(200, b'{"status":"ready"}', (JSON,))
        return problem(503, "not-ready", "this process is starting or shutting down", "")

    def _other_method(self, method: str, place: _Place) -> Endpoint:
        allowed = {*place.methods, "OPTIONS"} | ({"HEAD"} if "GET" in place.methods else set())
        allow = (b"allow", ", ".join(sorted(allowed)).encode())
        if method != "OPTIONS":
            raise Rejected(405, "method-not-allowed", f"{method} is not possible here", (allow,))

        async def options(_request: Request) -> Response:
            return Response(204, b"", (allow,))

        return options

    # --- compiling ----------------------------------------------------------------------------

    def _add(self, route: Route) -> None:
        told = f"{route.method} {route.path}"
        if route.auth is None:
            raise ConfigurationError(
                f"{told} does not say who may use it: give the route or Api({route.api!r}) auth=public, authenticated "
                "or role(...)",
                where=route.where,
            )
        if route.contract.message not in self.node.table:
            raise ConfigurationError(
                f"{told}: nobody handles {route.contract.wire_name}; add its module to App(modules=[...])",
                where=route.where,
            )
        place, names = self._root, []
        for segment in route.path[1:].split("/"):
            param = _PARAM.fullmatch(segment)
            if param is not None:
                names.append(param[1])
                place.any = place.any or _Place()
                place = place.any
            elif "{" in segment or "}" in segment or segment in (".", ".."):
                raise ConfigurationError(
                    f"{told}: {segment!r}: a parameter is a whole segment, {{name}}", where=route.where
                )
            else:
                place = place.static.setdefault(segment, _Place())
        if route.method in place.methods:
            raise ConfigurationError(
                f"{told} is the same as the route at {place.where[route.method]}", where=route.where
            )
        guarded = guard(route.auth, self._verifier)
        place.methods[route.method] = _Compiled(route, tuple(names), guarded, self.node, told).respond
        place.where[route.method] = route.where


class _Compiled:
    """One route's function and what it needs, looked up once."""

    def __init__(self, route: Route, names: tuple[str, ...], guarded: Guard, node: Node, told: str) -> None:
        contract = route.contract
        self._node = node
        self._guard = guarded
        self._status = route.status
        self._query = contract.kind == "query"
        self._reader = StrictReader(contract.message)
        self._surroundings = Surroundings(contract, node)
        self._idempotent = contract.idempotent
        self._optional = contract.result is NoneType or NoneType in get_args(contract.result)
        self._body = route.method in _BODIES
        fields = {f.encode_name: f for f in msgspec.structs.fields(contract.message)}
        for name in names:
            if name not in fields:
                raise ConfigurationError(
                    f"{told}: {{{name}}} is not a field of {contract.message.__name__}: {', '.join(fields)}",
                    where=route.where,
                )
        try:
            self._path = tuple(Param(name, fields[name].type) for name in names)
            rest = {} if self._body else {n: Param(n, f.type) for n, f in fields.items() if n not in names}
        except TypeError as error:
            raise ConfigurationError(f"{told}: {error}; take it from a POST body instead", where=route.where) from None
        if any(param.many for param in self._path):
            raise ConfigurationError(f"{told}: a path parameter is one value", where=route.where)
        self._rest = rest
        self._needs_body = self._body and any(
            f.required and n not in names and n != self._idempotent for n, f in fields.items()
        )

    async def respond(self, request: Request) -> Response:
        """Answer one request. Never raises but when cancelled."""
        request_id = self._surroundings.request_id(request)
        try:
            identity = self._guard(request)
            context = self._surroundings.context(request, request_id, identity)
            message = self._read(request, context.idempotency_key)
            result = await self._node.dispatch(message, context)
            response = self._answer(result, request_id)
            if context.token and not self._query:
                response.headers += (token_header(context.token),)
        except Exception as error:
            response = problem_of(error, request_id)
        response.headers += ((b"x-request-id", request_id.encode()),)
        return response

    def _answer(self, result: Any, request_id: str) -> Response:
        if result is None and self._optional:
            return Response(204) if not self._query else problem(404, "not-found", "there is no such thing", request_id)
        return Response(self._status, to_json(result), (JSON,))

    # --- reading ------------------------------------------------------------------------------

    def _read(self, request: Request, key: str | None) -> Any:
        if self._body and not self._path and key is None and request.body and not request.query:
            _check_content_type(request)
            return self._reader.read(request.body)
        fields, errors = self._fields(request)
        self._fill_key(fields, key)
        return self._reader.convert(fields, errors)

    def _fields(self, request: Request) -> tuple[dict[str, Any], list[FieldError]]:
        fields: dict[str, Any] = {}
        errors: list[FieldError] = []
        if self._body:
            if request.query:
                raise Rejected(400, "unexpected-query", "this takes no query string; put the fields into the body")
            if request.body or self._needs_body:
                _check_content_type(request)
                fields, errors = self._reader.parse(request.body)
        else:
            if request.body:
                raise Rejected(400, "unexpected-body", f"{request.method} takes no body here")
            fields = self._query_fields(request.query)
        for param, text in zip(self._path, request.params, strict=True):
            if param.name in fields:
                raise Rejected(400, "doubled-field", f"{param.name} stands in the path and again in the body")
            fields[param.name] = param.read(text)
        return fields, errors

    def _query_fields(self, raw: bytes) -> dict[str, Any]:
        fields: dict[str, Any] = {}
        for name, text in parse_query(raw):
            param = self._rest.get(name)
            if param is None:
                known = ", ".join(self._rest) or "none"
                raise Rejected(400, "unknown-parameter", f"there is no query parameter {name!r}; known: {known}")
            if param.many:
                fields.setdefault(name, []).append(param.read(text))
            elif name in fields:
                raise Rejected(400, "doubled-parameter", f"query parameter {name!r} stands there twice")
            else:
                fields[name] = param.read(text)
        return fields

    def _fill_key(self, fields: dict[str, Any], key: str | None) -> None:
        if key is None or self._idempotent is None:
            return
        mine = fields.setdefault(self._idempotent, key)
        if mine != key:
            raise Rejected(
                400, "two-keys", f"the Idempotency-Key header and the field {self._idempotent!r} differ; send one"
            )


def _check_content_type(request: Request) -> None:
    value = request.header(b"content-type")
    kind, _, options = (value or b"").partition(b";")
    charset = options.replace(b" ", b"").lower()
    if kind.strip().lower() != b"application/json" or charset not in (b"", b"charset=utf-8", b'charset="utf-8"'):
        raise Rejected(415, "unsupported-media-type", "the body is application/json in UTF-8")
    if request.header(b"content-encoding") is not None:
        raise Rejected(415, "unsupported-encoding", "the body is not compressed")

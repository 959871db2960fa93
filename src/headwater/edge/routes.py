"""The table of routes, compiled once: a look-up, and one function for each route.

Nothing is decided at request time that could be decided at start, and there is no chain to walk: a
route's function does authorisation, reading, the call and the answer in that order.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Coroutine, Mapping, Sequence
from collections.abc import Set as AbstractSet
from types import MappingProxyType
from typing import Any

from headwater.edge.auth import Guard, NoVerifier, Verifier, guard
from headwater.edge.blobs import DownloadRoute, UploadRoute, is_blob
from headwater.edge.gates import Gatekeeper
from headwater.edge.http import Request, Response
from headwater.edge.params import decode_text
from headwater.edge.problems import Rejected, problem, problem_of
from headwater.edge.reading import names_in
from headwater.edge.refusals import refusals
from headwater.edge.representation import Packers
from headwater.edge.responder import Answers
from headwater.edge.responder import Route as Answering
from headwater.edge.route import CompiledRoute, TimedRoute
from headwater.edge.surroundings import RequestIds
from headwater.errors import ConfigurationError
from headwater.model.api import Api, Route
from headwater.model.web import Cors
from headwater.runtime.audit import Audit
from headwater.runtime.node import Node

__all__ = ["Router"]

JSON = (b"content-type", b"application/json")
_PLAIN_SEGMENT = re.compile(rb"(?!\.\.?$)[\x21-\x24\x26-\x2e\x30-\x7e]+")
_FORBIDDEN = re.compile(rb"%2f|%5c", re.IGNORECASE)


class _Place:
    """One point of the path trie: where the next segment leads, and what answers here."""

    __slots__ = ("any", "cors", "methods", "static", "where")

    def __init__(self) -> None:
        self.static: dict[str, _Place] = {}
        self.any: _Place | None = None
        self.methods: dict[str, Answering] = {}
        self.where: dict[str, str] = {}
        self.cors: dict[str, Cors] = {}


class Router:
    """All routes of an application over one node.

    upload_most: bytes of a body that goes to the file store. packers: content codings besides gzip. pages: what
    answers GET at paths besides the routes. audit: takes note of refusals. timed: answers say how long they took.
    Raises ConfigurationError at once for a route without authorisation, a parameter that is no field,
    two routes that are one, or a contract that nobody handles.
    """

    def __init__(
        self, apis: Sequence[Api], node: Node, *, verifier: Verifier | None = None,
        upload_most: int = 1024**3,
        packers: Packers | None = None,
        pages: Mapping[bytes, Answering] = MappingProxyType({}),
        audit: Audit | None = None,
        timed: bool = False,
    ) -> None:
        self.node = node
        self.routes: list[Route] = []
        self.compiled: list[CompiledRoute] = []
        self._ids = RequestIds(node.parts.ids)
        self._root = _Place()
        self.lines: dict[bytes, tuple[str, bytes, Answering]] = {}
        self._whole: dict[bytes, _Place] = {}
        self._above: dict[bytes, _Place] = {}  # places whose next segment may be a parameter, by their path
        self._verifier = verifier or NoVerifier()
        self.audit = audit
        self._kind = TimedRoute if timed else CompiledRoute
        self._gates = Gatekeeper(node.parts.clock)
        self._upload_most = upload_most
        self._packers = packers or {}
        self._add_fixed("GET", b"/livez", self._alive)
        self._add_fixed("GET", b"/readyz", self._ready)
        for api in apis:
            for route in api.routes:
                self._add(route)
                self.routes.append(route)
        for path, page in pages.items():
            self._add_page(path, page)

    async def respond(self, request: Request) -> Response:
        """Answer a request whose body is complete. Never raises but when cancelled."""
        try:
            route = self.route(request)
            return await route.respond(request)
        except Rejected as error:
            return problem_of(error, "")

    # --- finding ------------------------------------------------------------------------------

    @property
    def known(self) -> AbstractSet[bytes]:
        """The paths without parameters."""
        return self._whole.keys()

    def route(self, request: Request) -> Answering:
        """Return what answers. Raises Rejected."""
        place = self._whole.get(request.path)
        if place is None:
            place = self._walk(request)
        found = place.methods.get(request.method)
        return self._other_method(request.method, place) if found is None else found

    def _walk(self, request: Request) -> _Place:
        above, _, last = request.path.rpartition(b"/")
        place = self._above.get(above)
        if place is not None and place.any is not None and _PLAIN_SEGMENT.fullmatch(last):
            text = last.decode("ascii")
            if text not in place.static and place.any.methods:  # a parameter at the end, as most are
                request.params = (text,)
                return place.any
        return self._walk_all(request)

    def _walk_all(self, request: Request) -> _Place:
        place, params = self._root, []
        for segment in _segments(request.path):
            found = place.static.get(segment)
            if found is None:
                found = place.any if segment else None
                if found is None:
                    raise Rejected(404, "not-found", "there is nothing here")
                params.append(segment)
            place = found
        if not place.methods:
            raise Rejected(404, "not-found", "there is nothing here")
        request.params = tuple(params)
        return place

    def _other_method(self, method: str, place: _Place) -> Answering:
        if method == "HEAD" and "GET" in place.methods:
            return place.methods["GET"]
        allowed = {*place.methods, "OPTIONS"} | ({"HEAD"} if "GET" in place.methods else set())
        allow = (b"allow", ", ".join(sorted(allowed)).encode())
        if method != "OPTIONS":
            raise Rejected(405, "method-not-allowed", f"{method} is not possible here", (allow,))

        async def options(request: Request) -> Response:
            return Response(204, b"", (allow, *self._gates.preflight(request, place.cors)))

        return Answers(options)

    # --- what answers always ------------------------------------------------------------------

    async def _alive(self, _request: Request) -> Response:
        return Response(200, b'{"status":"alive"}', (JSON,))

    async def _ready(self, _request: Request) -> Response:
        if self.node.ready:
            return Response(200, b'{"status":"ready"}', (JSON,))
        return problem(503, "not-ready", "this process is starting or shutting down", "")

    def _add_fixed(self, method: str, path: bytes, answer: Callable[[Request], Coroutine[Any, Any, Response]]) -> None:
        place = self._whole[path] = _Place()
        place.methods[method] = Answers(answer)

    def _add_page(self, path: bytes, page: Answering) -> None:
        try:
            _ = self._whole.get(path) or self._walk(Request("GET", path, b"", {}))
        except Rejected:
            place = self._whole[path] = _Place()
            place.methods["GET"] = page
        else:
            raise ConfigurationError(f"the page {path.decode()} hides a route; give the page or the route another path")

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
        place = self._place(route, told)
        if route.method in place.methods:
            raise ConfigurationError(
                f"{told} is the same as the route at {place.where[route.method]}", where=route.where
            )
        guarded = guard(route.auth, self._verifier)
        compiled = self._compile(route, guarded, told)
        self.compiled.append(compiled)
        place.methods[route.method] = compiled
        place.where[route.method] = route.where
        if route.cors is not None:
            place.cors[route.method] = route.cors
        if "{" not in route.path and route.path.isascii():
            path = route.path.encode()
            self._whole[path] = place
            self.lines[b"%b %b HTTP/1.1" % (route.method.encode(), path)] = (route.method, path, compiled)

    def _compile(self, route: Route, guarded: Guard, told: str) -> CompiledRoute:
        refused = None if self.audit is None else refusals(self.audit, route)
        given = (route, guarded, self.node, self._ids, self._gates.of(route), self._packers, refused)
        if route.upload is None and not is_blob(route.contract.result):
            return self._kind(*given)
        files = self.node.parts.files
        if files is None:
            raise ConfigurationError(f"{told} needs a file store, and this node has none", where=route.where)
        if route.upload is not None:
            upload = UploadRoute(*given)
            upload.prepare(files, self._upload_most)
            return upload
        download = DownloadRoute(*given)
        download.prepare(files)
        return download

    def _place(self, route: Route, told: str) -> _Place:
        place, path = self._root, ""
        for segment in route.path[1:].split("/"):
            if names_in(segment) and segment == f"{{{names_in(segment)[0]}}}":
                if "{" not in path and path.isascii():
                    self._above[path.encode()] = place
                place.any = place.any or _Place()
                place = place.any
            elif "{" in segment or "}" in segment or segment in (".", ".."):
                raise ConfigurationError(
                    f"{told}: {segment!r}: a parameter is a whole segment, {{name}}", where=route.where
                )
            else:
                place = place.static.setdefault(segment, _Place())
            path = f"{path}/{segment}"
        return place


def _segments(path: bytes) -> list[str]:
    """Return a path's segments, decoded once. Raises Rejected."""
    if b"%" in path:
        if _FORBIDDEN.search(path):
            raise Rejected(400, "bad-path", "the path contains an encoded slash")
        found = [decode_text(raw, "the path") for raw in path[1:].split(b"/")]
    else:
        found = path[1:].decode("ascii").split("/")
    if "." in found or ".." in found:
        raise Rejected(400, "bad-path", "the path contains dot segments")
    return found

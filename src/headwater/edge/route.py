"""One route, compiled: admission, reading, the call and the answer in one function, with nothing left to decide."""

from __future__ import annotations

from collections.abc import Callable, Generator
from types import NoneType
from typing import Any, get_args

from headwater.edge.auth import Guard
from headwater.edge.http import Request, Response
from headwater.edge.paging import NextLink
from headwater.edge.problems import problem, problem_of
from headwater.edge.reading import Reading
from headwater.edge.refusals import Refused
from headwater.edge.representation import COMPRESSED_LEAST, JSON, Packers, Representation, accepted
from headwater.edge.security import api_headers
from headwater.edge.surroundings import RequestIds, Surroundings, token_header
from headwater.errors import Draining, Overloaded
from headwater.model.api import Route, public
from headwater.model.codec import to_json
from headwater.model.context import Context
from headwater.model.contract import PRIORITIES
from headwater.runtime.node import Node
from headwater.runtime.waiting import Waiting

__all__ = ["CompiledRoute", "Gate", "Gates", "TimedRoute"]

Gate = Callable[[Request], tuple[tuple[bytes, bytes], ...]]
"""Asked of every request before its body is read; returns headers for the answer, raises to refuse."""
Gates = tuple[tuple[Gate, ...], tuple[Gate, ...]]
"""What is asked before it is known who asks, and after."""


class CompiledRoute:
    """Answers one route. `counts` is how many answers there were of each hundred of status codes."""

    streams = False
    body_most: int | None = None

    def __init__(
        self, route: Route, guarded: Guard, node: Node, ids: RequestIds, gates: Gates, packers: Packers,
        refused: Refused | None = None,
    ) -> None:
        contract = route.contract
        self.declared = route
        self.counts = [0] * 6
        self._node = node
        self._ids = ids
        self._new_id = ids.new
        self._guard = guarded
        self._before, self._after = gates
        self._refused = refused
        self._rank = PRIORITIES.index(contract.priority)
        self._open = route.auth is public
        # whether a plain request can begin without being admitted one question at a time
        self._free = type(self) is CompiledRoute and self._open and not self._before and not self._after
        self._read = Reading(route).read
        self._context = Surroundings(contract, node).context
        self._monotonic = node.parts.clock.monotonic
        self._call = node.table[contract.message].start
        self._query = contract.kind == "query"
        self._status = route.status
        self._usual = route.status == 200
        self._optional = contract.result is NoneType or NoneType in get_args(contract.result)
        kept = b"no-store" if route.http_cache is None else route.http_cache.control.encode()
        self._plain_fixed = b"cache-control: " + kept + b"\r\n" + api_headers(cors=route.cors is not None)
        self._fixed = b"content-type: application/json\r\n" + self._plain_fixed
        tagged = route.http_cache is not None
        self._represented = Representation(route.status, fixed=self._plain_fixed, tagged=tagged, packers=packers)
        self._next = NextLink.of(contract)
        self._simple = not tagged and self._next is None  # whether a plain request gets just its JSON

    def admit(self, request: Request) -> Response | None:
        """Return a refusal, decided from the head alone."""
        request.id = self._new_id() if request.plain else self._ids.of(request)
        try:
            if self._rank > self._node.lowest:
                self._refuse()
            for gate in self._before:
                request.more += gate(request)
            request.identity = self._guard(request)
            if not request.plain:
                accept = request.headers.get(b"accept")
                request.packed = accept is not None and accepted(accept) is not JSON
            for gate in self._after:
                request.more += gate(request)
        except Exception as error:
            return self._told(error, request)
        return None

    def _told(self, error: Exception, request: Request) -> Response:
        if self._refused is not None:
            self._refused(error, request)
        return self._finished(problem_of(error, request.id), request)

    def _refuse(self) -> None:
        if not self._node.taking:
            raise Draining("this process is starting or shutting down")
        raise Overloaded("there is more to do than this process can; what is less urgent is refused first")

    def start(self, request: Request) -> Response | Waiting:
        """Answer one request, as far as that goes without waiting."""
        if not request.id:
            if (
                request.plain and self._free and self._rank <= self._node.lowest
                and b"authorization" not in request.headers
            ):
                request.id = self._new_id()
            else:
                refused = self.admit(request)
                if refused is not None:
                    return refused
        try:
            context = self._context(request)
            result = self._call(self._read(request, context.idempotency_key), context)
            if isinstance(result, Waiting):
                return Waiting(self._rest(result.rest, request, context))
            return self._answer(result, request, context)
        except Exception as error:
            return self._told(error, request)

    def _rest(
        self, work: Generator[Any, Any, Any], request: Request, context: Context
    ) -> Generator[Any, Any, Response]:
        node = self._node
        node.enter()
        try:
            return self._answer((yield from work), request, context)
        except Exception as error:
            return self._told(error, request)
        finally:
            node.leave()

    async def respond(self, request: Request) -> Response:
        """Answer one request. Never raises but when cancelled."""
        begun = self.start(request)
        return await begun if isinstance(begun, Waiting) else begun

    def _answer(self, result: Any, request: Request, context: Context) -> Response:
        if (result is None and self._optional) or request.more or context.token or not self._simple:
            return self._unusual(result, request, context)
        body = to_json(result)
        if request.packed or (len(body) >= COMPRESSED_LEAST and not request.plain):
            return self._unusual(result, request, context)
        self.counts[2] += 1
        return Response(self._status, body, (), self._fixed, None, None, request.id, self._usual)

    def _unusual(self, result: Any, request: Request, context: Context) -> Response:
        if result is None and self._optional:
            response = self._nothing(request)
        else:
            response = self._represented.of(result, request)
            if self._next is not None:
                response.headers += self._next.headers(result, request)
        if context.token and not self._query:
            response.headers += (token_header(context.token),)
        return self._finished(response, request)

    def _nothing(self, request: Request) -> Response:
        return problem(404, "not-found", "there is no such thing", request.id) if self._query else Response(204)

    def _finished(self, response: Response, request: Request) -> Response:
        response.id = request.id
        if request.more:
            response.headers += request.more
        self.counts[response.status // 100] += 1
        return response


class TimedRoute(CompiledRoute):
    """Says with every answer how long it took, for whoever develops (`Server-Timing`, W3C)."""

    def admit(self, request: Request) -> Response | None:
        """Return a refusal, decided from the head alone; the time counts from here."""
        request.begun = self._monotonic()
        return super().admit(request)

    def _answer(self, result: Any, request: Request, context: Context) -> Response:
        return self._unusual(result, request, context)

    def _finished(self, response: Response, request: Request) -> Response:
        milliseconds = (self._monotonic() - request.begun) * 1e3 if request.begun else 0.0
        response.headers += ((b"server-timing", b"total;dur=%.3f" % milliseconds),)
        return super()._finished(response, request)

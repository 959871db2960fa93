"""One route, compiled: admission, reading, the call and the answer in one function, with nothing left to decide."""

from __future__ import annotations

from collections.abc import Callable
from types import NoneType
from typing import Any, get_args

from headwater.edge.auth import Guard
from headwater.edge.http import SECURITY, Request, Response
from headwater.edge.problems import problem, problem_of
from headwater.edge.reading import Reading
from headwater.edge.surroundings import RequestIds, Surroundings, token_header
from headwater.errors import Draining, Overloaded
from headwater.model.api import Route
from headwater.model.codec import to_json
from headwater.model.contract import PRIORITIES
from headwater.runtime.node import Node

__all__ = ["CompiledRoute", "Gate"]

Gate = Callable[[Request], tuple[tuple[bytes, bytes], ...]]
"""Asked of every request before its body is read; returns headers for the answer, raises to refuse."""


class CompiledRoute:
    """Answers one route. `counts` is how many answers there were of each hundred of status codes."""

    streams = False
    body_most: int | None = None

    def __init__(self, route: Route, guarded: Guard, node: Node, ids: RequestIds, gates: tuple[Gate, ...] = ()) -> None:
        contract = route.contract
        self.declared = route
        self.counts = [0] * 6
        self._node = node
        self._ids = ids
        self._guard = guarded
        self._gates = gates
        self._rank = PRIORITIES.index(contract.priority)
        self._reading = Reading(route)
        self._surroundings = Surroundings(contract, node)
        self._invoke = node.table[contract.message].invoke
        self._query = contract.kind == "query"
        self._status = route.status
        self._optional = contract.result is NoneType or NoneType in get_args(contract.result)
        kept = b"no-store" if route.http_cache is None else route.http_cache.control.encode()
        self._fixed = b"content-type: application/json\r\ncache-control: " + kept + b"\r\n" + SECURITY

    def admit(self, request: Request) -> Response | None:
        """Return a refusal, decided from the head alone."""
        request.id = self._ids.of(request)
        try:
            node = self._node
            if self._rank > node.lowest or node.in_flight >= node.parts.in_flight_most or not node.ready:
                self._refuse()
            request.identity = self._guard(request)
            for gate in self._gates:
                request.more += gate(request)
        except Exception as error:
            return self._finished(problem_of(error, request.id), request)
        return None

    def _refuse(self) -> None:
        if not self._node.ready:
            raise Draining("this process is starting or shutting down")
        raise Overloaded("there is more to do than this process can; what is less urgent is refused first")

    async def respond(self, request: Request) -> Response:
        """Answer one admitted request. Never raises but when cancelled."""
        node = self._node
        node.in_flight += 1
        try:
            context = self._surroundings.context(request)
            message = self._reading.read(request, context.idempotency_key)
            result = await self._invoke(message, context)
            if result is None and self._optional:
                response = self._nothing(request)
            else:
                response = Response(self._status, to_json(result), (), self._fixed)
            if context.token and not self._query:
                response.headers = (token_header(context.token),)
        except Exception as error:
            response = problem_of(error, request.id)
        finally:
            node.in_flight -= 1
            if not node.ready:
                node.left()
        return self._finished(response, request)

    def _nothing(self, request: Request) -> Response:
        return problem(404, "not-found", "there is no such thing", request.id) if self._query else Response(204)

    def _finished(self, response: Response, request: Request) -> Response:
        response.fixed += b"x-request-id: %b\r\n" % request.id.encode()
        if request.more:
            response.headers += request.more
        self.counts[response.status // 100] += 1
        return response


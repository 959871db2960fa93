"""What a server needs to know of whoever answers: which route, may it, and the answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Mapping
from collections.abc import Set as AbstractSet
from typing import Any, Protocol

from headwater.edge.http import Request, Response
from headwater.edge.problems import problem_of
from headwater.runtime.waiting import Waiting

__all__ = ["Answers", "Responder", "Route"]


class Route(Protocol):
    """Answers the requests of one place.

    streams: the body is handed on as it comes, in `Request.stream`. body_most: bytes of a body, where it is not the
    server's own limit.
    """

    @property
    def streams(self) -> bool:
        """Whether the body is handed on as it comes."""
        ...

    @property
    def body_most(self) -> int | None:
        """The longest body, in bytes."""
        ...

    def admit(self, request: Request) -> Response | None:
        """Return a refusal, decided from the head alone; None to go on. Never raises but Rejected."""
        ...

    def start(self, request: Request) -> Response | Waiting:
        """Answer as far as that goes without waiting; admit the request first if nobody has. Never raises."""
        ...

    def respond(self, request: Request) -> Coroutine[Any, Any, Response]:
        """Answer. Never raises but when cancelled."""
        ...


class Responder(Protocol):
    """Finds routes."""

    @property
    def known(self) -> AbstractSet[bytes]:
        """Paths that are known to be well-formed."""
        ...

    @property
    def lines(self) -> Mapping[bytes, tuple[str, bytes, Route]]:
        """Whole request lines, with the method and path they hold and the route they lead to."""
        ...

    def route(self, request: Request) -> Route:
        """Return what answers. Raises Rejected where nothing does."""
        ...


class Answers:
    """A responder made of one asynchronous function."""

    streams = False
    body_most: int | None = None

    def __init__(self, function: Callable[[Request], Awaitable[Response]]) -> None:
        self.known: frozenset[bytes] = frozenset()
        self.lines: dict[bytes, tuple[str, bytes, Route]] = {}
        self._function = function

    def route(self, request: Request) -> Answers:
        """Return itself: it answers everything."""
        return self

    def admit(self, request: Request) -> Response | None:
        """Let everything in."""
        return None

    def start(self, request: Request) -> Response | Waiting:
        """Ask the function, as far as that goes."""
        return Waiting(self.respond(request).__await__())

    async def respond(self, request: Request) -> Response:
        """Ask the function. A mistake in it is an internal error to the caller."""
        try:
            return await self._function(request)
        except Exception as error:
            return problem_of(error, "")

"""A listening socket, its connections, their limits, and an orderly end."""

from __future__ import annotations

import asyncio
import socket
from datetime import datetime

from headwater.edge.http import Request, Response
from headwater.edge.problems import problem
from headwater.edge.protocol import Connection
from headwater.edge.routes import Router
from headwater.errors import ConfigurationError
from headwater.ports import Timer

__all__ = ["Limits", "Server"]

SWEEP_SECONDS = 1.0
LINGER_SECONDS = 2.0
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


class Limits:
    """What one client, and all of them, may use.

    body_bytes: of one request. connections: at one time; more are closed at once. head_seconds: to send
    a head, or to say anything at all. idle_seconds: between requests. body_rate: bytes a second that a
    body arrives with, averaged over at least ten seconds.
    """

    __slots__ = ("body_bytes", "body_rate", "connections", "head_seconds", "idle_seconds")

    def __init__(
        self, *, body_bytes: int = 1024 * 1024, connections: int = 10_000, head_seconds: float = 10.0,
        idle_seconds: float = 75.0, body_rate: float = 240.0,
    ) -> None:
        self.body_bytes = body_bytes
        self.connections = connections
        self.head_seconds = head_seconds
        self.idle_seconds = idle_seconds
        self.body_rate = body_rate


class Server:
    """Serves a router on one listening socket."""

    def __init__(self, router: Router, *, limits: Limits | None = None) -> None:
        parts = router.node.parts
        self.limits = limits or Limits()
        self.now = parts.clock.monotonic
        self.draining = False
        self._router = router
        self._clock = parts.clock
        self._points = parts.points
        self._connections: dict[Connection, None] = {}
        self._server: asyncio.Server | None = None
        self._sweeper: Timer | None = None
        self._date = (0, b"")

    # --- life ---------------------------------------------------------------------------------

    async def start(self, listener: socket.socket | None = None, *, host: str = "127.0.0.1", port: int = 0) -> None:
        """Listen on a bound socket, or bind one. Raises ConfigurationError when that cannot be."""
        loop = asyncio.get_running_loop()
        try:
            if listener is not None:
                self._server = await loop.create_server(lambda: Connection(self), sock=listener, backlog=2048)
            else:
                self._server = await loop.create_server(lambda: Connection(self), host, port, backlog=2048)
        except OSError as error:
            raise ConfigurationError(
                f"cannot serve at {host}:{port}: {error.strerror or error}; choose another host or port"
            ) from None
        self._sweep()

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens."""
        assert self._server is not None
        host, port = self._server.sockets[0].getsockname()[:2]
        return str(host), int(port)

    async def stop(self, *, within: float = 10.0) -> None:
        """Accept no more, finish what is being answered (at most `within` seconds), close everything."""
        self.draining = True
        if self._server is not None:
            self._server.close()
        for connection in list(self._connections):
            connection.close_if_idle()
        deadline = self.now() + within
        while self._connections and self.now() < deadline:
            await self._clock.sleep(0.01)
        for connection in list(self._connections):
            connection.abort()
        if self._sweeper is not None:
            self._sweeper.cancel()

    # --- connections --------------------------------------------------------------------------

    def opened(self, connection: Connection) -> None:
        """A client has come."""
        self._connections[connection] = None
        if len(self._connections) > self.limits.connections or self.draining:
            connection.abort()

    def closed(self, connection: Connection) -> None:
        """A client has gone."""
        self._connections.pop(connection, None)

    async def respond(self, request: Request) -> Response:
        """Answer a request. Never raises but when cancelled."""
        try:
            return await self._router.respond(request)
        except Exception:  # the last resort: a bug here must not end the connection's task without an answer
            return problem(500, "internal", "something went wrong here", "")

    def before_answer(self) -> None:
        """Pass the crash point between an outcome and its answer."""
        self._points.hit("edge.before_answer")

    def date(self) -> bytes:
        """Return the Date header's value, made once a second."""
        second = int(self._clock.wall())
        if self._date[0] != second:
            self._date = (second, _http_date(self._clock.now()))
        return self._date[1]

    def _sweep(self) -> None:
        """Close who is too slow. Once a second for all: a timer each would cost more than it saves."""
        now = self.now()
        for connection in list(self._connections):
            if not connection.busy and self._too_slow(connection, now - connection.since):
                connection.abort()
        self._sweeper = self._clock.call_at(now + SWEEP_SECONDS, self._sweep)

    def _too_slow(self, connection: Connection, seconds: float) -> bool:
        limits = self.limits
        if connection.state == "lingering":
            return seconds > LINGER_SECONDS
        if connection.state == "body":
            return seconds > 10.0 and connection.body_bytes < limits.body_rate * seconds
        if connection.state == "head" or not connection.answered:
            return seconds > limits.head_seconds
        return seconds > limits.idle_seconds


def _http_date(now: datetime) -> bytes:
    """Return the form of RFC 9110, 5.6.7, whatever the locale."""
    day, month = _DAYS[now.weekday()], _MONTHS[now.month - 1]
    return f"{day}, {now.day:02d} {month} {now.year:04d} {now:%H:%M:%S} GMT".encode()

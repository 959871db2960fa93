"""A listening socket, its connections, their limits, and an orderly end."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import ssl
import stat
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from headwater.edge.hosting import Hosts
from headwater.edge.problems import Rejected
from headwater.edge.protocol import Connection, ProxiedConnection
from headwater.edge.proxies import Proxies
from headwater.edge.responder import Responder
from headwater.edge.tls import Certificates
from headwater.errors import ConfigurationError
from headwater.ports import Clock, CrashPoints, Timer

__all__ = ["Limits", "Server"]

SWEEP_SECONDS = 0.5
LINGER_SECONDS = 2.0
BACKLOG = 2048
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


class Limits:
    """What one client, and all of them, may use.

    body_bytes: of one request. connections: at one time; more are closed at once. head_seconds: to send
    a head, or to say anything at all. idle_seconds: between requests. body_rate: bytes a second that a
    body arrives with, averaged over at least ten seconds. write_seconds: that a client may leave an answer unread.
    """

    __slots__ = ("body_bytes", "body_rate", "connections", "head_seconds", "idle_seconds", "write_seconds")

    def __init__(
        self, *, body_bytes: int = 1024 * 1024, connections: int = 10_000, head_seconds: float = 10.0,
        idle_seconds: float = 75.0, body_rate: float = 240.0, write_seconds: float = 30.0,
    ) -> None:
        self.body_bytes = body_bytes
        self.connections = connections
        self.head_seconds = head_seconds
        self.idle_seconds = idle_seconds
        self.body_rate = body_rate
        self.write_seconds = write_seconds


class Server:
    """Serves a responder on listening sockets.

    tick: monotonic seconds at the last sweep, for what need not be exact. names: hosts that requests may name, all if
    None. proxies: whose word about the client counts. certificates: speak TLS with these. strict_transport: a line
    that every answer carries then. hosts: where requests run, once it is started.
    """

    hosts: Hosts

    def __init__(
        self, responder: Responder, *, clock: Clock, limits: Limits | None = None, points: CrashPoints | None = None,
        names: frozenset[bytes] | None = None, proxies: Proxies | None = None,
        certificates: Certificates | None = None, strict_transport: bytes = b"",
    ) -> None:
        self.limits = limits or Limits()
        self.draining = False
        self.tick = clock.monotonic()
        self.date = self.ok = b""
        self.names = names
        self.proxies = proxies
        self.known = responder.known
        self.lines = responder.lines
        self.points = points or CrashPoints()
        self.route = responder.route
        self._certificates = certificates
        self._always = b"\r\n" + strict_transport if certificates is not None else b"\r\n"
        self._clock = clock
        self._connections: dict[Connection, None] = {}
        self._servers: list[asyncio.Server] = []
        self._sweeper: Timer | None = None

    # --- life ---------------------------------------------------------------------------------

    async def start(
        self, listener: socket.socket | None = None, *, host: str = "127.0.0.1", port: int = 0,
        path: str | None = None, succeed: bool = False,
    ) -> None:
        """Listen on a bound socket, at a host and port, or on a Unix socket at `path`. May be called several times.

        succeed: whoever listens at the path now may be followed; its clients stay with it, new ones come here.
        Raises ConfigurationError when that cannot be.
        """
        loop = asyncio.get_running_loop()
        if self._sweeper is None:
            self.hosts = Hosts(loop)
            self._sweep()
        context = None if self._certificates is None or path is not None else self._certificates.context
        try:
            self._servers.append(await self._listen(loop, listener, host, port, path, context, succeed))
        except OSError as error:
            place = path or f"{host}:{port}"
            raise ConfigurationError(
                f"cannot serve at {place}: {error.strerror or error}; choose another host, port or path"
            ) from None

    async def _listen(
        self, loop: asyncio.AbstractEventLoop, listener: socket.socket | None, host: str, port: int, path: str | None,
        context: ssl.SSLContext | None, succeed: bool,
    ) -> asyncio.Server:
        kind = ProxiedConnection if self.proxies is not None and self.proxies.protocol else Connection

        def make() -> Any:  # a protocol in all but its base: native classes have no other parents
            return kind(self)

        if path is not None:
            if not succeed:
                _refuse_taken(path)
            return await loop.create_unix_server(make, sock=_bound(path), backlog=BACKLOG)
        if listener is not None:
            return await loop.create_server(make, sock=listener, backlog=BACKLOG, ssl=context)
        return await loop.create_server(make, host, port, backlog=BACKLOG, ssl=context)

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens."""
        host, port = self._servers[0].sockets[0].getsockname()[:2]
        return str(host), int(port)

    @property
    def connected(self) -> int:
        """How many clients there are."""
        return len(self._connections)

    async def stop(self, *, within: float = 10.0, quiet: float = 0.0) -> None:
        """Accept no more, finish what is being answered (at most `within` seconds), close everything.

        quiet: seconds for which a client must have asked nothing before its connection is closed unasked, as its next
        request might be on its way. Whoever asks until then is answered, and told that the connection ends.
        """
        self.draining = True
        for server in self._servers:
            server.close()
        now = self._clock.monotonic()
        deadline = now + within
        while self._connections and now < deadline:
            for connection in list(self._connections):
                if not quiet or now - connection.since >= quiet + SWEEP_SECONDS:  # `since` is as old as the last sweep
                    connection.close_if_idle()
            await self._clock.sleep(0.01)
            now = self._clock.monotonic()
        for connection in list(self._connections):
            connection.abort()
        if self._sweeper is not None:
            self._sweeper.cancel()
            self.hosts.close()

    # --- connections --------------------------------------------------------------------------

    def check_name(self, headers: Mapping[bytes, bytes]) -> None:
        """Raise Rejected for a request to another host than ours."""
        host = headers.get(b"host", b"").lower()
        name = host if host.endswith(b"]") else host.rpartition(b":")[0] if b":" in host else host
        if self.names is not None and name not in self.names:
            raise Rejected(421, "wrong-host", "this server is not responsible for the host that was asked for")

    def opened(self, connection: Connection) -> None:
        """A client has come."""
        self._connections[connection] = None
        if len(self._connections) > self.limits.connections:
            connection.abort()

    def closed(self, connection: Connection) -> None:
        """A client has gone."""
        self._connections.pop(connection, None)

    def _sweep(self) -> None:
        """Close who is too slow. One timer for all: a timer each would cost more than it saves."""
        now = self.tick = self._clock.monotonic()
        self.date = _http_date(self._clock.now()) + self._always
        self.ok = b"HTTP/1.1 200 OK\r\ndate: %bcontent-length: " % self.date
        for connection in list(self._connections):
            if self._too_slow(connection, now - connection.since, now):
                connection.abort()
        if self._certificates is not None:
            self._certificates.look()
        self._sweeper = self._clock.call_at(now + SWEEP_SECONDS, self._sweep)

    def _too_slow(self, connection: Connection, seconds: float, now: float) -> bool:
        limits = self.limits
        if connection.stuck_since and now - connection.stuck_since > limits.write_seconds:
            return True
        if connection.state == "busy":
            return False
        if connection.state == "lingering":
            return seconds > LINGER_SECONDS
        if connection.state == "body":
            return connection.reading and seconds > 10.0 and connection.body_bytes < limits.body_rate * seconds
        if connection.state == "head" or not connection.answered:
            return seconds > limits.head_seconds
        return seconds > limits.idle_seconds


def _refuse_taken(path: str) -> None:
    """Raise OSError where somebody listens already; a killed process may have left the file, which is nobody."""
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(path)
        except (ConnectionRefusedError, FileNotFoundError):
            return
    raise OSError(errno.EADDRINUSE, "somebody listens there already")


def _bound(path: str) -> socket.socket:
    """Return a socket at a path, in place of the one that is there."""
    if os.path.lexists(path) and not stat.S_ISSOCK(os.lstat(path).st_mode):
        raise OSError(errno.EEXIST, "there is a file that is not a socket")
    beside = f"{path}.{os.getpid()}"
    listener = socket.socket(socket.AF_UNIX)
    old = os.umask(0o177)  # whoever may connect may ask: the owner alone, until somebody widens it
    try:
        listener.bind(beside)
        os.rename(beside, path)  # noqa: PTH104
    except OSError:
        listener.close()
        raise
    finally:
        os.umask(old)
    listener.setblocking(False)
    return listener


def _http_date(now: datetime) -> bytes:
    """Return the form of RFC 9110, 5.6.7, whatever the locale."""
    day, month = _DAYS[now.weekday()], _MONTHS[now.month - 1]
    return f"{day}, {now.day:02d} {month} {now.year:04d} {now:%H:%M:%S} GMT".encode()

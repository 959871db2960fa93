"""HTTP/1.1 on one connection: bytes in, requests in order, answers in order, limits everywhere.

A request is taken when the one before it has been answered; what a client sends ahead is held as bytes, and
when much is held, reading stops. A request that does not wait for anything is read, handled and
answered within one callback of the loop.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from headwater.edge.framing import ByLength, Chunked, Framing
from headwater.edge.head import (
    LINE,
    MATTERING,
    METHODS,
    TARGET_BYTES_MOST,
    Headers,
    check_target,
    check_unfinished,
    framing_of,
    read_headers,
    read_line,
)
from headwater.edge.http import REASONS, Request, Response
from headwater.edge.problems import Rejected, problem_of
from headwater.edge.proxies import read_proxy_line
from headwater.edge.sending import send
from headwater.edge.stream import BodyStream

if TYPE_CHECKING:
    from headwater.edge.responder import Route
    from headwater.edge.server import Server

__all__ = ["Connection", "ProxiedConnection"]

HELD_MOST = 64 * 1024
SHORT_HEAD = 2048
_LINES = {status: f"HTTP/1.1 {status} {said}\r\ndate: ".encode() for status, said in REASONS.items()}
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_EXPECTED = b"100-continue"
_CLOSE = b"connection: close\r\n"
_KEEP = b"connection: keep-alive\r\n"
_BODILESS = (204, 304)
_HEAD_END = b"\r\n\r\n"
_NONE = b"\n"  # never stands where a line ends
LENGTHS_MOST = 4096
LENGTHS = [b"%d\r\n" % size for size in range(LENGTHS_MOST)]


class Connection:
    """One client. Ends by `close` of either side, a broken rule, or a limit.

    `since` is when the client last owed us something, in monotonic seconds, a sweep's time exact; `state` says
    what: "idle" the next request, "head" or "body" the rest of one, "lingering" the end of what it was refused for,
    "busy" nothing: it is our turn.
    """

    __slots__ = (
        "_again", "_body", "_can_write", "_framing", "_headers", "_held", "_keep_alive", "_length", "_newer", "_parts",
        "_peer", "_plain", "_reading", "_request", "_rest", "_route", "_server", "_task", "_transport", "_usual",
        "answered", "body_bytes", "secure", "since", "state", "stuck_since",
    )

    def __init__(self, server: Server) -> None:
        self._server = server
        self._transport: asyncio.Transport | None = None
        self._held = b""  # received, not yet taken
        self._rest = _NONE  # what followed the last request line, to the end of the head, and what it said
        self._headers: Headers = {}
        self._plain = False  # whether none of them matters to routes
        self._length = 0  # of the body that they tell of, -1 for chunks
        self._usual = False  # whether the version is 1.1 and the connection stays
        self._request: Request | None = None
        self._route: Route | None = None
        self._framing: Framing | None = None
        self._body: BodyStream | None = None
        self._parts: list[bytes] = []
        self._keep_alive = True
        self._newer = True
        self._task: asyncio.Task[None] | None = None
        self._reading = True
        self._again = False
        self._can_write: asyncio.Future[None] | None = None
        self._peer = ""
        self.secure = False
        self.state = "idle"
        self.since = server.tick
        self.stuck_since = 0.0
        self.body_bytes = 0
        self.answered = False

    # --- the transport's side -----------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = transport  # type: ignore[assignment]
        peer = transport.get_extra_info("peername")
        self._peer = str(peer[0]) if isinstance(peer, tuple) else ""
        self.secure = transport.get_extra_info("ssl_object") is not None
        self._server.opened(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone: what runs for it is cancelled and rolls back."""
        self._transport = None
        self._held = b""
        if self._can_write is not None and not self._can_write.done():
            self._can_write.set_result(None)
        if self._body is not None:
            self._body.broken(Rejected(400, "disconnected", "the client went away"))
        if self._task is not None:
            self._task.cancel()
        self._server.closed(self)

    def pause_writing(self) -> None:
        """The client reads slowly."""
        self._can_write = asyncio.get_running_loop().create_future()
        self.stuck_since = self._server.tick

    def resume_writing(self) -> None:
        """It has caught up."""
        waiting, self._can_write, self.stuck_since = self._can_write, None, 0.0
        if waiting is not None and not waiting.done():
            waiting.set_result(None)

    def eof_received(self) -> None:
        """The client has closed its half. Hardly any but one that has gone does so, and it counts as gone."""

    def data_received(self, data: bytes) -> None:
        """Take requests off the bytes; whatever is wrong with them ends the connection, after the answers before it."""
        if self.state == "idle":
            self.since = self._server.tick
        if self._held:
            data = self._held + data
            self._held = b""
        at, size = 0, len(data)
        try:
            while at < size:
                if self._framing is not None:
                    at = self._framing.feed(data, at, self._part)
                    if self._framing.done:
                        self._whole()
                elif self.state == "busy":
                    self._hold(data[at:])
                    return
                elif self.state == "lingering" or self._transport is None:
                    return
                else:
                    line_end = data.find(b"\r\n", at)
                    if line_end > 0 and data.startswith(self._rest, line_end):  # most clients say the same again
                        at = self._begin(data, data[at:line_end], line_end + len(self._rest))
                        continue
                    end = data.find(_HEAD_END, at) + 4
                    if end < 4:
                        self._held = data[at:] if at else data
                        self.state = "head"
                        check_unfinished(self._held)
                        return
                    self._read_block(data[at:line_end], data[line_end:end])
                    at = self._begin(data, data[at:line_end], end)
        except Rejected as rejected:
            self._refuse(rejected)

    def _hold(self, data: bytes) -> None:
        """Keep what came before its turn; when it is much, read no more."""
        self._held = data
        if len(data) > HELD_MOST and self._reading and self._transport is not None:
            self._reading = False
            self._transport.pause_reading()

    def _begin(self, data: bytes, line: bytes, at: int) -> int:
        """Begin the request of a line and the headers that were read last; return where to go on in `data`.

        at: where the head ends. Raises Rejected.
        """
        server = self._server
        known = server.lines.get(line)
        match = None if known is not None or len(line) > TARGET_BYTES_MOST else LINE.fullmatch(line)
        if known is not None:
            method, path, route = known
            request = Request(method, path, b"", self._headers, b"", self._peer, self.secure, (), None, self._plain)
        else:
            method, path, query = self._odd(line) if match is None else (METHODS[match[1]], match[2], match[3] or b"")
            request = Request(method, path, query, self._headers, b"", self._peer, self.secure, (), None, self._plain)
            try:
                route = server.route(request)
            except Rejected as rejected:
                if self._length:
                    raise
                self._begun(request)  # nothing here, but well-formed: the connection stays
                self._answer(problem_of(rejected, ""))
                return at
        if server.proxies is not None:
            server.proxies.look_through(request)
        if self._length:
            return self._expect_body(route, request, data, at)
        self.state = "busy"  # as `_start` does
        self._request = request
        outcome = server.hosts.run(route.start, request, self._answer)
        if isinstance(outcome, Response):
            self._answer(outcome)
        else:
            self._task = outcome
        return at

    def _odd(self, line: bytes) -> tuple[str, bytes, bytes]:
        """Read a request line that is not what most are. Raises Rejected."""
        method, target, newer = read_line(line)
        check_target(method, target)
        if newer is not self._newer:  # the same headers as before, but they mean something else now
            self._read_block(line, self._rest)
        path, _, query = target.partition(b"?")
        return method, path, query

    def _read_block(self, line: bytes, rest: bytes) -> None:
        """Read the rest of a head, and what it says of the body and the connection. Raises Rejected."""
        block = rest[2:-4] if len(rest) > 4 else b""  # compiled, a slice must not end before it begins
        if len(line) + len(block) > SHORT_HEAD:
            check_unfinished(line + block)
        newer = read_line(line)[2]
        headers = read_headers(block.split(b"\r\n") if block else [])
        self._length = framing_of(headers, newer=newer)
        if self._server.names is not None:
            self._server.check_name(headers)
        if headers.get(b"expect", _EXPECTED).lower() != _EXPECTED:
            raise Rejected(417, "bad-expectation", "only 100-continue can be expected")
        connection = headers.get(b"connection", b"").lower()
        self._keep_alive = b"close" not in connection and (newer or b"keep-alive" in connection)
        self._plain = headers.keys().isdisjoint(MATTERING)
        self._usual = self._keep_alive and newer
        self._headers, self._newer = headers, newer
        self._rest = rest if newer else _NONE

    def _begun(self, request: Request) -> None:
        self.state = "busy"
        self._request = request

    def _start(self, route: Route, request: Request) -> None:
        """Run a request that has all it needs."""
        self.state = "busy"
        self._request = request
        outcome = self._server.hosts.run(route.start, request, self._answer)
        if isinstance(outcome, Response):
            self._answer(outcome)
        else:
            self._task = outcome

    def _expect_body(self, route: Route, request: Request, data: bytes, at: int) -> int:
        """Take the body if all of it is there; else decide first whether it is wanted at all. Raises Rejected."""
        length = self._length
        most = self._server.limits.body_bytes if route.body_most is None else route.body_most
        if length > most:
            raise _too_large(most)
        if 0 < length <= len(data) - at and not route.streams:
            request.body = data[at : at + length]
            self._start(route, request)
            return at + length
        self._request = request
        refused = route.admit(request)
        if refused is not None:
            self._last_answer(refused)
            return len(data)
        self._route = route
        self._framing = Chunked() if length < 0 else ByLength(length)
        self.body_bytes = 0
        self.state = "body"
        self.since = self._server.tick
        if b"expect" in request.headers and self._newer and self._transport is not None:
            self._transport.write(_CONTINUE)
        if route.streams:
            request.stream = self._body = BodyStream(self._flow)
            self._start(route, request)
            self._also_body()
        return at

    def _also_body(self) -> None:
        """While a stream is read it is the client's turn as well as ours."""
        if self._framing is not None and self.state == "busy":
            self.state = "body"

    def _part(self, data: bytes) -> None:
        """Take a part of the body. Raises Rejected at the limit, keeping nothing beyond it."""
        route = self._route
        self.body_bytes += len(data)
        most = self._server.limits.body_bytes if route is None or route.body_most is None else route.body_most
        if self.body_bytes > most:
            raise _too_large(most)
        if self._body is not None:
            self._body.feed(data)
        else:
            self._parts.append(data)

    def _flow(self, *, go: bool) -> None:
        """Read on, or stop reading, as the body's reader keeps up."""
        if self._transport is None or self._reading == go:
            return
        self._reading = go
        self.since = self._server.tick
        if go:
            self._transport.resume_reading()
        else:
            self._transport.pause_reading()

    def _whole(self) -> None:
        """The body is complete: run the request, unless it runs already."""
        self._framing = None
        if self._body is not None:
            stream, self._body = self._body, None
            if self.state == "body":
                self.state = "busy"
            stream.end()
            return
        request, route = self._request, self._route
        assert request is not None
        assert route is not None
        parts = self._parts
        request.body = parts[0] if len(parts) == 1 else b"".join(parts)
        if parts:
            self._parts = []
        self._route = None
        self._start(route, request)

    # --- answering ----------------------------------------------------------------------------

    def _answer(self, response: Response) -> None:
        """Write an answer; called when it is ready, in the request's task if it has one."""
        self._task = None
        transport, server, request = self._transport, self._server, self._request
        if (
            self._usual and response.usual and transport is not None and self._framing is None
            and not server.draining and server.points.strike is None and self.state == "busy"
        ):
            # what nearly every answer is: written in one piece, and the connection stays
            body = response.body
            size = len(body)
            transport.write(
                b"".join(
                    (
                        server.ok, LENGTHS[size] if size < LENGTHS_MOST else b"%d\r\n" % size, response.fixed,
                        b"x-request-id: ", response.id.encode(), _HEAD_END,
                        body if request is None or request.method != "HEAD" else b"",
                    )
                )
            )
            self._request = None
            self.answered = True
            self.state = "idle"
            self.since = server.tick
            if self._held or not self._reading:
                self._go_on()
            return
        if transport is None or transport.is_closing():
            return
        if self._framing is not None or self.state == "lingering":  # answered before all of the body was there
            self._last_answer(response)
            return
        keep = self._keep_alive and not server.draining
        if response.stream is not None:
            self._task = asyncio.get_running_loop().create_task(self._stream(response, keep=keep))
            return
        self._write(response, keep=keep, bodiless=request is not None and request.method == "HEAD")
        if keep:
            self._next()
        else:
            transport.close()

    def _next(self) -> None:
        """Be ready for the next request."""
        self._request = None
        self.state = "idle"
        self.since = self._server.tick
        if self._held or not self._reading:
            self._go_on()

    def _go_on(self) -> None:
        """Take what has been waiting, in the loop's next turn; read on if nothing has."""
        if self._held:
            if not self._again:
                self._again = True
                asyncio.get_running_loop().call_soon(self._take_held)
        elif self._transport is not None:
            self._reading = True
            self._transport.resume_reading()

    def _take_held(self) -> None:
        self._again = False
        held, self._held = self._held, b""
        if held and self._transport is not None and self.state == "idle":
            self.state = "head"
            self.data_received(held)
            if not self._reading and len(self._held) <= HELD_MOST and self._transport is not None:
                self._reading = True
                self._transport.resume_reading()
        else:
            self._held = held

    def _refuse(self, rejected: Rejected) -> None:
        """Answer a broken rule and read no further request."""
        if self._body is not None:
            self._body.broken(rejected)
            self._body = None
        if self._task is not None:
            self._task.cancel()
            self._task = None
        self._last_answer(problem_of(rejected, ""))

    def _last_answer(self, response: Response) -> None:
        """Answer and end, though the client may still be sending.

        Closing now would make the kernel reset the connection, and the answer could be lost with it; so only our
        half is closed, and the rest is read and thrown away.
        """
        transport = self._transport
        self._framing = self._route = self._body = None
        self._parts = []
        self._held = b""
        if transport is None or transport.is_closing() or self.state == "lingering":
            return
        method = self._request.method if self._request is not None else "GET"
        self._write(response, keep=False, bodiless=method == "HEAD")
        self._flow(go=True)
        self.state = "lingering"
        self.since = self._server.tick
        if transport.can_write_eof():
            transport.write_eof()
        else:
            transport.close()

    def _write(self, response: Response, *, keep: bool, bodiless: bool) -> None:
        """Write one answer at once."""
        status, body = response.status, response.body
        server = self._server
        if server.points.strike is not None:
            server.points.hit("edge.before_answer")
        more = _lines(response)
        if not keep:
            more += _CLOSE
        elif not self._newer:
            more += _KEEP
        if status in _BODILESS:
            head = b"%b%b%b\r\n" % (_LINES[status], server.date, more)
            body = b""
        else:
            head = b"%b%bcontent-length: %d\r\n%b\r\n" % (_LINES[status], server.date, len(body), more)
        self.answered = True
        self._transport.write(head if bodiless else head + body)  # type: ignore[union-attr]

    async def _stream(self, response: Response, *, keep: bool) -> None:
        """Write an answer in pieces, at the client's pace. If its source fails, the connection is cut."""
        transport, request = self._transport, self._request
        assert transport is not None
        assert request is not None
        if response.length is None and not self._newer:
            keep = False  # HTTP/1.0 knows no chunks: the end of the connection is the end of the body
        more = _lines(response)
        more += b"" if keep and self._newer else _KEEP if keep else _CLOSE
        if response.length is not None:
            more += b"content-length: %d\r\n" % response.length
        elif self._newer:
            more += b"transfer-encoding: chunked\r\n"
        transport.write(b"%b%b%b\r\n" % (_LINES[response.status], self._server.date, more))
        self.answered = True
        chunked = response.length is None and self._newer
        whole = await send(response, transport, self, chunked=chunked, skip=request.method == "HEAD")
        self._task = None
        if self._transport is None:
            return
        if not whole:
            transport.abort()
        elif keep and not self._server.draining:
            self._next()
        else:
            transport.close()

    async def writable(self) -> None:
        """Return when the client has taken most of what was written."""
        while self._can_write is not None:
            await self._can_write

    # --- the server's side --------------------------------------------------------------------

    @property
    def reading(self) -> bool:
        """Whether the client may send."""
        return self._reading

    def close_if_idle(self) -> None:
        """Close unless something is being asked or answered; then the answer says that it is the last."""
        if self.state == "idle" and not self._held and self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Close at once."""
        if self._transport is not None:
            self._transport.abort()


class ProxiedConnection(Connection):
    """A connection that, when it comes from a named proxy, begins with the PROXY protocol."""

    __slots__ = ("_told",)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        super().connection_made(transport)
        proxies = self._server.proxies
        self._told = proxies is None or not proxies.trusts(self._peer)

    def data_received(self, data: bytes) -> None:
        """Take the first line, then bytes as any connection does."""
        if self._told:
            super().data_received(data)
            return
        data = self._held + data
        self._held = b""
        self.state = "head"
        try:
            found = read_proxy_line(data)
        except Rejected:  # whoever speaks here speaks no HTTP, so there is nobody to answer
            self.abort()
            return
        if found is None:
            self._held = data
            return
        address, at = found
        self._told = True
        if address is not None:
            self._peer = address
        if at < len(data):
            super().data_received(data[at:])


def _lines(response: Response) -> bytes:
    """Return a response's own headers as they stand on the wire."""
    mine = b"x-request-id: %b\r\n" % response.id.encode() if response.id else b""
    return response.fixed + b"".join([b"%b: %b\r\n" % pair for pair in response.headers]) + mine


def _too_large(most: int) -> Rejected:
    return Rejected(413, "body-too-large", f"the body is longer than {most} bytes")

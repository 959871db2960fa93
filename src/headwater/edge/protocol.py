"""HTTP/1.1 on one connection: bytes in, requests in order, answers in order, limits everywhere.

A request is taken when the one before it has been answered; what a client sends ahead is held as bytes, and
when much is held, reading stops. A request that does not wait for anything is read, handled and
answered within one callback of the loop.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import TYPE_CHECKING

from headwater.edge.framing import ByLength, Chunked, Framing
from headwater.edge.head import Headers, check_target, check_unfinished, framing_of, read_headers, read_line
from headwater.edge.http import Request, Response
from headwater.edge.problems import Rejected, problem_of
from headwater.edge.sending import send
from headwater.edge.stream import BodyStream

if TYPE_CHECKING:
    from headwater.edge.responder import Route
    from headwater.edge.server import Server

__all__ = ["Connection"]

HELD_MOST = 64 * 1024
_LINES = {s.value: f"HTTP/1.1 {s.value} {s.phrase}\r\ndate: ".encode() for s in HTTPStatus}
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_CLOSE = b"connection: close\r\n"
_KEEP = b"connection: keep-alive\r\n"
_BODILESS = (204, 304)
_HEAD_END = b"\r\n\r\n"


class Connection(asyncio.Protocol):
    """One client. Ends by `close` of either side, a broken rule, or a limit.

    `since` is when the client last owed us something, in monotonic seconds, a sweep's time exact; `state` says
    what: "idle" the next request, "head" or "body" the rest of one, "lingering" the end of what it was refused for,
    "busy" nothing: it is our turn.
    """

    __slots__ = (
        "_again", "_block", "_body", "_can_write", "_framing", "_headers", "_held", "_keep_alive", "_newer", "_parts",
        "_peer", "_reading", "_request", "_route", "_server", "_task", "_transport", "answered", "body_bytes",
        "secure", "since", "state", "stuck_since",
    )

    def __init__(self, server: Server) -> None:
        self._server = server
        self._transport: asyncio.Transport | None = None
        self._held = b""  # received, not yet taken
        self._block = b""  # the headers of the last request, as bytes and read
        self._headers: Headers = {}
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
        """Take bytes; whatever is wrong with them ends the connection, after the answers before it."""
        if self._held:
            data = self._held + data
            self._held = b""
        if self.state == "idle":
            self.state = "head"
            self.since = self._server.tick
        self._take(data)

    # --- taking requests off the bytes --------------------------------------------------------

    def _take(self, data: bytes) -> None:
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
                    end = data.find(_HEAD_END, at)
                    if end < 0:
                        self._held = data[at:] if at else data
                        self.state = "head"
                        check_unfinished(self._held)
                        return
                    self._begin(data, at, end)
                    at = end + 4
        except Rejected as rejected:
            self._refuse(rejected)

    def _hold(self, data: bytes) -> None:
        """Keep what came before its turn; when it is much, read no more."""
        self._held = data
        if len(data) > HELD_MOST and self._reading and self._transport is not None:
            self._reading = False
            self._transport.pause_reading()

    def _begin(self, data: bytes, at: int, end: int) -> None:
        """Begin the request whose head lies between `at` and `end`. Raises Rejected."""
        if end - at > 2048:
            check_unfinished(data[at:end])
        line_end = data.find(b"\r\n", at, end)
        if line_end < 0:
            line_end = end
        server = self._server
        method, target, newer = read_line(data[at:line_end])
        block = data[line_end + 2 : end]
        headers = self._headers
        if block != self._block:  # most clients say the same again
            headers = read_headers(block.split(b"\r\n"))
            self._block, self._headers = block, headers
        length = framing_of(headers, newer=newer)
        connection = headers.get(b"connection")
        self._newer = newer
        if connection is None:
            self._keep_alive = newer
        else:
            asked = connection.lower()
            self._keep_alive = b"close" not in asked and (newer or b"keep-alive" in asked)
        path, mark, query = target.partition(b"?")
        if mark or path not in server.known:
            check_target(method, target)
        request = Request(method, path, query, headers, b"", self._peer, self.secure)
        if server.proxies is not None:
            server.proxies.look_through(request)
        if length == 0:
            self.state = "busy"
            try:
                route = server.route(request)
                refused = route.admit(request)
            except Rejected as rejected:
                refused = problem_of(rejected, "")
                route = None
            if refused is not None or route is None:
                self._answer(refused)  # type: ignore[arg-type]
                return
            self._request = request
            self._run(route, request)
        else:
            self._expect_body(request, length)

    def _expect_body(self, request: Request, length: int) -> None:
        """Decide, before any of it is looked at, whether the body is wanted at all. Raises Rejected."""
        route = self._server.route(request)
        most = self._server.limits.body_bytes if route.body_most is None else route.body_most
        if length > most:
            raise _too_large(most)
        expected = request.headers.get(b"expect")
        if expected is not None and expected.lower() != b"100-continue":
            raise Rejected(417, "bad-expectation", "only 100-continue can be expected")
        refused = route.admit(request)
        if refused is not None:
            self._request = request
            self._last_answer(refused)
            return
        self._request, self._route = request, route
        self._framing = Chunked() if length < 0 else ByLength(length)
        self.body_bytes = 0
        self.state = "body"
        self.since = self._server.tick
        if expected is not None and self._newer and self._transport is not None:
            self._transport.write(_CONTINUE)
        if route.streams:
            request.stream = self._body = BodyStream(self._flow)
            self._run(route, request)

    def _run(self, route: Route, request: Request) -> None:
        task = self._server.hosts.run(route.respond(request), self._answer)
        if task is not None:
            self._task = task

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
        self.state = "busy"
        self._run(route, request)

    # --- answering ----------------------------------------------------------------------------

    def _answer(self, response: Response) -> None:
        """Write an answer; called when it is ready, in the request's task if it has one."""
        self._task = None
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        if self._framing is not None or self.state == "lingering":  # answered before all of the body was there
            self._last_answer(response)
            return
        request = self._request
        keep = self._keep_alive and not self._server.draining
        if response.stream is not None:
            self._task = asyncio.get_running_loop().create_task(self._stream(response, keep=keep))
            return
        self._write(response, keep=keep, bodiless=request is not None and request.method == "HEAD")
        if not keep:
            transport.close()
            return
        self._next()

    def _next(self) -> None:
        """Be ready for the next request; those that wait are taken by the caller, or in the loop's next turn."""
        self._request = None
        self.state = "idle"
        self.since = self._server.tick
        if self._held and not self._again:
            self._again = True
            asyncio.get_running_loop().call_soon(self._take_held)
        elif not self._reading and self._transport is not None:
            self._reading = True
            self._transport.resume_reading()

    def _take_held(self) -> None:
        self._again = False
        held, self._held = self._held, b""
        if held and self._transport is not None and self.state == "idle":
            self.state = "head"
            self._take(held)
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
        more = response.fixed
        for name, value in response.headers:
            more += b"%b: %b\r\n" % (name, value)
        if not keep:
            more += _CLOSE
        elif not self._newer:
            more += _KEEP
        if status in _BODILESS:
            head = b"%b%b\r\n%b\r\n" % (_LINES[status], server.date, more)
            body = b""
        else:
            head = b"%b%b\r\ncontent-length: %d\r\n%b\r\n" % (_LINES[status], server.date, len(body), more)
        self.answered = True
        self._transport.write(head if bodiless else head + body)  # type: ignore[union-attr]

    async def _stream(self, response: Response, *, keep: bool) -> None:
        """Write an answer in pieces, at the client's pace. If its source fails, the connection is cut."""
        transport, request = self._transport, self._request
        assert transport is not None
        assert request is not None
        if response.length is None and not self._newer:
            keep = False  # HTTP/1.0 knows no chunks: the end of the connection is the end of the body
        more = response.fixed + b"".join(b"%b: %b\r\n" % pair for pair in response.headers)
        more += b"" if keep and self._newer else _KEEP if keep else _CLOSE
        if response.length is not None:
            more += b"content-length: %d\r\n" % response.length
        elif self._newer:
            more += b"transfer-encoding: chunked\r\n"
        transport.write(b"%b%b\r\n%b\r\n" % (_LINES[response.status], self._server.date, more))
        self.answered = True
        whole = await send(response, transport, self, chunked=response.length is None and self._newer, skip=request.method == "HEAD")
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


def _too_large(most: int) -> Rejected:
    return Rejected(413, "body-too-large", f"the body is longer than {most} bytes")

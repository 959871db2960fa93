"""HTTP/1.1 on one connection: bytes in, requests in order, answers in order, limits everywhere.

The parser is llhttp through httptools; what it is lenient about is checked in `head` and `framing`.
One request is handled at a time; those that are pipelined behind it wait, and when many wait,
reading stops.
"""

from __future__ import annotations

import asyncio
from collections import deque
from http import HTTPStatus
from typing import TYPE_CHECKING

import httptools

from headwater.edge.framing import ByLength, Chunked, Cutter
from headwater.edge.head import HEAD_BYTES_MOST, check_head, check_raw
from headwater.edge.http import Request, Response
from headwater.edge.problems import Rejected, problem_of

if TYPE_CHECKING:
    from headwater.edge.server import Server

__all__ = ["Connection"]

PIPELINED_MOST = 16
_LINES = {s.value: f"HTTP/1.1 {s.value} {s.phrase}\r\n".encode() for s in HTTPStatus}
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_BODILESS = (204, 304)
_HEAD_END = b"\r\n\r\n"


class Connection(asyncio.Protocol):
    """One client. Ends by `close` of either side, a broken rule, or a limit.

    `since` is when the client last owed us something, in monotonic seconds; `state` says what:
    "idle" the next request, "head" or "body" the rest of one, "lingering" the end of what it was refused for.
    """

    def __init__(self, server: Server) -> None:
        self._server = server
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpRequestParser(self)
        self._head = bytearray()
        self._target = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._cutter: Cutter | None = None
        self._body: list[bytes] = []
        self._keep_alive = True
        self._waiting: deque[tuple[Request, bool]] = deque()
        self._task: asyncio.Task[None] | None = None
        self._rejected: Rejected | None = None
        self._reading = True
        self._can_write = asyncio.Event()
        self._can_write.set()
        self._peer = ""
        self.state = "idle"
        self.since = server.now()
        self.body_bytes = 0
        self.answered = False

    # --- the transport's side -----------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = transport  # type: ignore[assignment]
        peer = transport.get_extra_info("peername")
        self._peer = str(peer[0]) if isinstance(peer, tuple) else ""
        self._server.opened(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone: what runs for it is cancelled and rolls back."""
        self._transport = None
        self._can_write.set()
        self._waiting.clear()
        if self._task is not None:
            self._task.cancel()
        self._server.closed(self)

    def pause_writing(self) -> None:
        """The client reads slowly."""
        self._can_write.clear()

    def resume_writing(self) -> None:
        """It has caught up."""
        self._can_write.set()

    def eof_received(self) -> None:
        """The client has closed its half. Hardly any but one that has gone does so, and it counts as gone."""

    def data_received(self, data: bytes) -> None:
        """Take bytes; whatever is wrong with them ends the connection, after the answers before it."""
        if self._rejected is not None or self._transport is None:
            return
        if self.state == "idle":
            self._owe("head")
        try:
            at = 0
            while at < len(data):
                at = self._feed_head(data, at) if self._cutter is None else self._feed_body(data, at)
        except Rejected as rejected:
            self._rejected = rejected
            self._go_on()

    # --- cutting ------------------------------------------------------------------------------

    def _feed_head(self, data: bytes, at: int) -> int:
        """Collect a head and, when it is whole, begin its request. Return where it ends in `data`."""
        whole, end = self._cut_head(data, at)
        if whole is None:
            _check_unfinished(self._head)
            return end
        _check_unfinished(whole)
        check_raw(whole)
        self._headers = []
        self._target = b""
        self._body = []
        self.body_bytes = 0
        self._parse(whole)
        if self._cutter is not None and self._cutter.done:
            self._complete()
        return end

    def _cut_head(self, data: bytes, at: int) -> tuple[bytes | None, int]:
        """Return a whole head, or None while its end is missing, and where in `data` to go on."""
        head = self._head
        collected = len(head)
        if not collected:
            end = data.find(_HEAD_END, at)
            if end >= 0:  # mostly: nothing is copied but the head
                return data[at : end + 4], end + 4
        head += data[at:]
        end = head.find(_HEAD_END, max(0, collected - 3))
        if end < 0:
            return None, len(data)
        whole = bytes(head[: end + 4])
        head.clear()
        return whole, at + end + 4 - collected

    def _feed_body(self, data: bytes, at: int) -> int:
        """Feed the part of `data` that belongs to the body. Return where it ends."""
        cutter = self._cutter
        assert cutter is not None
        end = cutter.cut(data, at)
        self._parse(data[at:end])
        if cutter.done:
            self._complete()
        return end

    def _parse(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            raise Rejected(400, "no-upgrade", "this server does not change protocols") from None
        except httptools.HttpParserCallbackError as error:
            cause = error.__context__
            raise cause if isinstance(cause, Rejected) else error from None
        except httptools.HttpParserError:
            raise Rejected(400, "bad-request", "this is not a request in HTTP/1.1") from None

    # --- the parser's side --------------------------------------------------------------------

    def on_url(self, url: bytes) -> None:
        """Take a part of the target."""
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header."""
        self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """Check the head and decide how the body ends. Raises Rejected."""
        headers = self._headers
        method = self._parser.get_method().decode()
        check_head(method, self._target, self._parser.get_http_version(), headers)
        named = dict(headers)
        length = int(named.get(b"content-length", b"0"))
        if length > self._server.limits.body_bytes:
            raise _too_large(self._server.limits.body_bytes)
        self._cutter = Chunked() if b"transfer-encoding" in named else ByLength(length)
        self._keep_alive = self._keep_alive and self._parser.should_keep_alive()
        if not self._cutter.done:
            self._owe("body")
            self._expect(named.get(b"expect"))

    def _expect(self, expected: bytes | None) -> None:
        if expected is None:
            return
        if expected.lower() != b"100-continue":
            raise Rejected(417, "bad-expectation", "only 100-continue can be expected")
        if self._transport is not None and self._task is None and not self._waiting:
            self._transport.write(_CONTINUE)

    def on_body(self, data: bytes) -> None:
        """Take a part of the body. Raises Rejected at the limit, keeping nothing beyond it."""
        self.body_bytes += len(data)
        if self.body_bytes > self._server.limits.body_bytes:
            raise _too_large(self._server.limits.body_bytes)
        self._body.append(data)

    def _complete(self) -> None:
        path, _, query = self._target.partition(b"?")
        request = Request(
            self._parser.get_method().decode(), path, query, self._headers, b"".join(self._body), self._peer
        )
        self._body = []
        self._cutter = None
        self._waiting.append((request, self._keep_alive))
        self._owe("idle")
        if len(self._waiting) >= PIPELINED_MOST and self._reading and self._transport is not None:
            self._reading = False
            self._transport.pause_reading()
        self._go_on()

    # --- answering ----------------------------------------------------------------------------

    def _owe(self, state: str) -> None:
        self.state = state
        self.since = self._server.now()

    def _go_on(self) -> None:
        """Handle what waits, if nothing is being handled."""
        if self._task is None and (self._waiting or self._rejected is not None):
            self._task = asyncio.get_running_loop().create_task(self._answer_all())

    async def _answer_all(self) -> None:
        try:
            while self._waiting:
                request, keep_alive = self._waiting.popleft()
                response = await self._server.respond(request)
                await self._can_write.wait()
                if not self._write(response, request.method, keep_alive=keep_alive and not self._server.draining):
                    return
                if not self._reading and self._transport is not None:
                    self._reading = True
                    self._transport.resume_reading()
            if self._rejected is not None:
                self._write(problem_of(self._rejected, ""), "GET", keep_alive=False, linger=True)
        finally:
            self._task = None
            self._owe(self.state)
            if self._server.draining or not (self._keep_alive or self.state == "lingering"):
                self.close_if_idle()

    def _write(self, response: Response, method: str, *, keep_alive: bool, linger: bool = False) -> bool:
        """Write one answer; return whether the connection stays.

        linger: the client may still be sending. Closing now would make the kernel reset the connection, and
        the answer could be lost with it; so only our half is closed, and the rest is read and thrown away.
        """
        transport = self._transport
        if transport is None or transport.is_closing():
            return False
        status, body = response.status, response.body
        head = [_LINES[status], b"date: ", self._server.date(), b"\r\nx-content-type-options: nosniff\r\n"]
        if status not in _BODILESS:
            head.append(b"cache-control: no-store\r\ncontent-length: %d\r\n" % len(body))
        for name, value in response.headers:
            head += (name, b": ", value, b"\r\n")
        if not keep_alive:
            head.append(b"connection: close\r\n")
        head.append(b"\r\n")
        if method != "HEAD" and status not in _BODILESS:
            head.append(body)
        self._server.before_answer()
        transport.write(b"".join(head))
        self.answered = True
        if linger and transport.can_write_eof():
            transport.write_eof()
            self._owe("lingering")
        elif not keep_alive:
            transport.close()
        return keep_alive

    # --- the server's side --------------------------------------------------------------------

    @property
    def busy(self) -> bool:
        """Whether a request is being handled or waits."""
        return self._task is not None or bool(self._waiting)

    def close_if_idle(self) -> None:
        """Close unless something is being answered; then the answer says that it is the last."""
        if not self.busy and self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Close at once."""
        if self._transport is not None:
            self._transport.abort()


def _check_unfinished(head: bytes | bytearray) -> None:
    """Refuse a head that is too long, or whose lines do not end as they must, without waiting for its end."""
    if len(head) > HEAD_BYTES_MOST:
        if b"\r\n" not in head[: 9 * 1024]:
            raise Rejected(414, "target-too-long", "the request line is too long")
        raise Rejected(431, "head-too-long", f"the head is longer than {HEAD_BYTES_MOST} bytes")
    if b"\n" in head and head.count(b"\n") != head.count(b"\r\n"):
        raise Rejected(400, "bad-request", "lines end with CR LF")


def _too_large(most: int) -> Rejected:
    return Rejected(413, "body-too-large", f"the body is longer than {most} bytes")

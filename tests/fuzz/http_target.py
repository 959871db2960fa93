"""What the HTTP parser path is asked to survive, and what it is held to.

`check(data)` feeds bytes to a connection, in pieces whose sizes come from the data too, and fails when

* anything but a response or the end of the connection comes out, or an exception gets through;
* a request reached the application that llhttp reads differently: another method, target, header or body, or not at all;
* the connection keeps more than its limits allow.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any, ClassVar

import httptools

from headwater.edge.hosting import Hosts
from headwater.edge.http import Request, Response, fold
from headwater.edge.protocol import HELD_MOST, Connection
from headwater.edge.responder import Route
from headwater.edge.server import Limits, Server
from headwater.testing.clock import VirtualClock

BODY_MOST = 4096
HEAD_MOST = 32 * 1024


class Transport:
    """Takes what is written."""

    def __init__(self) -> None:
        self.written = bytearray()
        self.closed = False

    def get_extra_info(self, name: str) -> Any:
        return ("192.0.2.1", 1) if name == "peername" else None

    def write(self, data: bytes) -> None:
        assert not self.closed, "written after the end"
        self.written += data

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    abort = close

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        pass

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


class Recorder:
    """Answers at once and remembers what it was asked."""

    streams = False
    body_most: int | None = None
    known: frozenset[bytes] = frozenset()
    lines: ClassVar[dict[bytes, tuple[str, bytes, Route]]] = {}

    def __init__(self) -> None:
        self.seen: list[Request] = []

    def route(self, request: Request) -> Recorder:
        return self

    def admit(self, request: Request) -> Response | None:
        return None

    def start(self, request: Request) -> Response:
        self.seen.append(request)
        return Response(200, b"ok", id="1", usual=True)


class Reference:
    """What llhttp makes of the same bytes: all whole requests, until it refuses."""

    def __init__(self, data: bytes) -> None:
        self.requests: list[tuple[str, bytes, list[tuple[bytes, bytes]], bytes]] = []
        self._headers: list[tuple[bytes, bytes]] = []
        self._url = self._body = b""
        self._parser = httptools.HttpRequestParser(self)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self.stopped = True

    def on_message_begin(self) -> None:
        self._headers, self._url, self._body = [], b"", b""

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name, value.strip(b" \t")))

    def on_headers_complete(self) -> None:
        self._whole = list(self._headers)  # what follows the body are trailers

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        self.requests.append((self._parser.get_method().decode(), self._url, self._whole, self._body))


_loop = asyncio.new_event_loop()


def check(data: bytes) -> None:
    """Raise AssertionError when a rule is broken."""
    if len(data) < 2:
        return
    cut, data = data[0] + 1, data[1:]
    recorder, transport = Recorder(), Transport()
    server = Server(recorder, clock=VirtualClock(datetime(2026, 1, 1, tzinfo=UTC)), limits=Limits(body_bytes=BODY_MOST))
    server.ok = b"HTTP/1.1 200 OK\r\ndate: x\r\ncontent-length: "
    server.hosts = Hosts(_loop)
    connection = Connection(server)
    connection.connection_made(transport)  # type: ignore[arg-type]
    pieces = [data] if cut > 200 else [data[at : at + cut] for at in range(0, len(data), cut)]

    async def feed() -> None:
        done = asyncio.Event()

        def step() -> None:
            for piece in pieces:
                if transport.closed:
                    break
                connection.data_received(piece)
                held = len(connection._held) + sum(map(len, connection._parts))
                assert held <= HEAD_MOST + BODY_MOST + HELD_MOST + len(piece)
            done.set()

        asyncio.get_running_loop().call_soon(step)
        await done.wait()
        await asyncio.sleep(0)

    _loop.run_until_complete(feed())
    server.hosts.close()
    _loop.run_until_complete(asyncio.sleep(0))
    answers = bytes(transport.written).count(b"HTTP/1.1 ")
    assert answers >= len(recorder.seen)
    if b"upgrade" in data.lower():
        return  # llhttp stops there; we go on as if it had not been asked for
    reference = Reference(data).requests
    for number, request in enumerate(recorder.seen):
        assert number < len(reference), ("answered what llhttp refuses", request)
        method, url, headers, body = reference[number]
        assert request.method == method, (request, method)
        assert request.path + (b"?" + request.query if b"?" in url else b"") == url, (request, url)
        assert request.body == body, (request, body)
        assert fold(headers) == dict(request.headers), (request, headers)

"""The same routes as an ASGI 3 application, for any server, test client or mount.

Framing, timeouts and connection limits are then the server's; everything from the path on is the same.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import quote

from headwater.edge.head import MATTERING, METHODS, check_target
from headwater.edge.http import Request, Response, fold, lines
from headwater.edge.problems import Rejected, problem_of
from headwater.edge.routes import Router
from headwater.runtime.waiting import Waiting

__all__ = ["Asgi", "AsgiApp"]

_METHODS = frozenset(METHODS.values())
_WITHOUT_BODY = frozenset({("GET", "1.1"), ("HEAD", "1.1")})  # unless headers say so; in HTTP/2 nothing need say so
_NEAR = ("127.0.0.1", "::1")
Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
AsgiApp = Callable[[Scope, Receive, Send], Awaitable[None]]


class Asgi:
    """An ASGI application.

    `start` makes the router when the server starts (lifespan), `stop` ends what it started. near_only: clients of other
    machines, and those whose address the server does not tell, are refused.
    """

    def __init__(
        self, start: Callable[[], Awaitable[Router]], stop: Callable[[], Awaitable[None]], *,
        body_bytes: int = 1024 * 1024, near_only: bool = False,
    ) -> None:
        self._start = start
        self._stop = stop
        self._body_bytes = body_bytes
        self._near_only = near_only
        self._router: Router | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one scope."""
        if scope["type"] != "http":
            await self._besides(scope, receive, send)
            return
        response = await self._respond(scope, receive)
        if not response.usual or scope["method"] == "HEAD":
            await self._send_all(send, scope["method"], response)
            return
        headers = [
            *lines(response.fixed), (b"x-request-id", response.id.encode()),
            (b"content-length", b"%d" % len(response.body)),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": response.body})

    async def _besides(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        else:
            await send({"type": "websocket.close", "code": 1008})

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        try:
            self._router = await self._start()
        except Exception as error:
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            return
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self._stop()
        await send({"type": "lifespan.shutdown.complete"})

    async def _respond(self, scope: Scope, receive: Receive) -> Response:
        if self._router is None:
            self._router = await self._start()  # a server without lifespan
        try:
            request = self._request(scope, self._router)
            route = self._router.route(request)
            headers = request.headers
            if b"content-length" in headers or b"transfer-encoding" in headers:
                refused = route.admit(request)
                if refused is not None:
                    return refused
                with_body = True
            else:
                with_body = (request.method, scope.get("http_version")) not in _WITHOUT_BODY
            if route.streams:
                request.stream = _Pieces(receive, route.body_most or self._body_bytes)
            elif with_body:
                request.body = await _body(receive, self._body_bytes)
        except Rejected as rejected:
            return problem_of(rejected, "")
        begun = route.start(request)
        return await begun if isinstance(begun, Waiting) else begun

    async def _send_all(self, send: Send, method: str, response: Response) -> None:
        headers = response.pairs()
        length = len(response.body) if response.stream is None else response.length
        if response.status not in (204, 304) and length is not None:
            headers.append((b"content-length", b"%d" % length))
        await send({"type": "http.response.start", "status": response.status, "headers": headers})
        if response.stream is not None and method != "HEAD":
            async for piece in response.stream:
                await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b"" if method == "HEAD" else response.body})


    def _request(self, scope: Scope, router: Router) -> Request:
        method = scope["method"]
        if method not in _METHODS:
            raise Rejected(501, "unknown-method", "this server does not know the method")
        path = scope.get("raw_path") or quote(scope["path"]).encode()  # `path` alone is decoded already
        if path not in router.known:
            if b"?" in path:
                path = path.partition(b"?")[0]
            check_target(method, path)
        client = scope.get("client")
        peer = client[0] if client else ""
        if self._near_only and peer not in _NEAR:
            raise Rejected(403, "denied", "the development key is for this machine; configure [[auth.keys]]")
        pairs = scope["headers"]
        headers: dict[bytes, bytes] = dict(pairs)  # names in lower case, says ASGI
        if len(headers) != len(pairs):
            headers = fold(pairs)
        return Request(
            method, path, scope["query_string"], headers, b"", peer, scope.get("scheme") == "https", (), None,
            MATTERING.isdisjoint(headers),
        )


class _Pieces:
    """A body as the server hands it on, of which `message` is there already. Raises Rejected."""

    def __init__(self, receive: Receive, most: int, message: Message | None = None) -> None:
        self._receive = receive
        self._left = most
        self._most = most
        self._message = message
        self._ended = False

    def __aiter__(self) -> _Pieces:
        return self

    async def __anext__(self) -> bytes:
        if self._ended:
            raise StopAsyncIteration
        message = await self._receive() if self._message is None else self._message
        self._message = None
        if message["type"] == "http.disconnect":
            raise Rejected(400, "disconnected", "the client went away")
        piece: bytes = message.get("body", b"")
        self._left -= len(piece)
        if self._left < 0:
            raise Rejected(413, "body-too-large", f"the body is longer than {self._most} bytes")
        self._ended = not message.get("more_body", False)
        return piece


async def _body(receive: Receive, most: int) -> bytes:
    """Return the whole body, which most servers hand over at once. Raises Rejected."""
    message = await receive()
    pieces = _Pieces(receive, most, message)
    first = await pieces.__anext__()
    if not message.get("more_body", False):
        return first
    found = [first]
    async for piece in pieces:
        found.append(piece)  # noqa: PERF401 - compiled code has no asynchronous comprehensions
    return b"".join(found)

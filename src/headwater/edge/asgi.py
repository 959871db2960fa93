"""The same routes as an ASGI 3 application, for any server, test client or mount.

Framing, timeouts and connection limits are then the server's; everything from the path on is the same.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import quote

from headwater.edge.head import MATTERING, METHODS, check_target
from headwater.edge.http import Request, Response, fold
from headwater.edge.problems import Rejected, problem_of
from headwater.edge.routes import Router
from headwater.runtime.waiting import Waiting

__all__ = ["Asgi", "AsgiApp"]

_METHODS = frozenset(METHODS.values())
_ABOUT_BODY = frozenset({b"content-length", b"transfer-encoding"})
_NEAR = ("127.0.0.1", "::1")
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
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
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["type"] == "http":
            await self._send(send, scope["method"], await self._respond(scope, receive))
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
            request = _request(scope)
            if self._near_only and request.peer not in _NEAR:
                raise Rejected(403, "denied", "the development key is for this machine; configure [[auth.keys]]")
            route = self._router.route(request)
            if not request.headers.keys().isdisjoint(_ABOUT_BODY):
                refused = route.admit(request)
                if refused is not None:
                    return refused
            if route.streams:
                request.stream = _pieces(receive, route.body_most or self._body_bytes)
            else:
                request.body = await _body(receive, self._body_bytes)
        except Rejected as rejected:
            return problem_of(rejected, "")
        begun = route.start(request)
        return await begun if isinstance(begun, Waiting) else begun

    async def _send(self, send: Send, method: str, response: Response) -> None:
        headers = response.pairs()
        length = len(response.body) if response.stream is None else response.length
        if response.status not in (204, 304) and length is not None:
            headers.append((b"content-length", b"%d" % length))
        await send({"type": "http.response.start", "status": response.status, "headers": headers})
        if response.stream is not None and method != "HEAD":
            async for piece in response.stream:
                await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b"" if method == "HEAD" else response.body})


def _request(scope: Scope) -> Request:
    method = scope["method"]
    if method not in _METHODS:
        raise Rejected(501, "unknown-method", "this server does not know the method")
    client = scope.get("client")
    path = scope.get("raw_path") or quote(scope["path"]).encode()  # `path` alone is decoded already
    if b"?" in path:
        path = path.partition(b"?")[0]
    check_target(method, path)
    pairs = scope["headers"]
    headers = {bytes(name): bytes(value) for name, value in pairs}  # names in lower case, says ASGI
    if len(headers) != len(pairs):
        headers = fold(pairs)
    return Request(
        method, path, scope["query_string"], headers, b"", client[0] if client else "",
        scope.get("scheme") == "https", (), None, headers.keys().isdisjoint(MATTERING),
    )


async def _body(receive: Receive, most: int) -> bytes:
    """Return the whole body, which most servers hand over at once. Raises Rejected."""
    message = await receive()
    if message["type"] == "http.request" and not message.get("more_body", False):
        body: bytes = message.get("body", b"")
        if len(body) > most:
            raise _too_large(most)
        return body
    return b"".join([piece async for piece in _pieces(receive, most, message)])


async def _pieces(
    receive: Receive, most: int, message: MutableMapping[str, Any] | None = None
) -> AsyncIterator[bytes]:
    """Hand on a body, of which `message` is there already. Raises Rejected."""
    total = 0
    while True:
        message = message or await receive()
        if message["type"] == "http.disconnect":
            raise Rejected(400, "disconnected", "the client went away")
        piece = message.get("body", b"")
        total += len(piece)
        if total > most:
            raise _too_large(most)
        yield piece
        if not message.get("more_body", False):
            return
        message = None


def _too_large(most: int) -> Rejected:
    return Rejected(413, "body-too-large", f"the body is longer than {most} bytes")

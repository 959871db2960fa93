"""The same routes as an ASGI 3 application, for any server, test client or mount.

Framing, timeouts and connection limits are then the server's; everything from the path on is the same.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import quote

from headwater.edge.head import METHODS
from headwater.edge.http import Request, Response, fold
from headwater.edge.problems import Rejected, problem_of
from headwater.edge.routes import Router

__all__ = ["Asgi", "AsgiApp"]

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
AsgiApp = Callable[[Scope, Receive, Send], Awaitable[None]]


class Asgi:
    """An ASGI application.

    `start` makes the router when the server starts (lifespan), `stop` ends what it started.
    """

    def __init__(
        self, start: Callable[[], Awaitable[Router]], stop: Callable[[], Awaitable[None]], *,
        body_bytes: int = 1024 * 1024,
    ) -> None:
        self._start = start
        self._stop = stop
        self._body_bytes = body_bytes
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
            method = scope["method"]
            if method.encode() not in METHODS:
                raise Rejected(501, "unknown-method", "this server does not know the method")
            body = await self._body(receive)
        except Rejected as rejected:
            return problem_of(rejected, "")
        client = scope.get("client")
        path = scope.get("raw_path") or quote(scope["path"]).encode()  # `path` alone is decoded already
        return await self._router.respond(
            Request(
                method, path.partition(b"?")[0], scope["query_string"], fold(scope["headers"]), body,
                client[0] if client else "", scope.get("scheme") == "https",
            )
        )

    async def _body(self, receive: Receive) -> bytes:
        parts: list[bytes] = []
        total = 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise Rejected(400, "disconnected", "the client went away")
            parts.append(message.get("body", b""))
            total += len(parts[-1])
            if total > self._body_bytes:
                raise Rejected(413, "body-too-large", f"the body is longer than {self._body_bytes} bytes")
            if not message.get("more_body", False):
                return b"".join(parts)

    async def _send(self, send: Send, method: str, response: Response) -> None:
        headers = response.pairs()
        if response.status not in (204, 304):
            headers.append((b"content-length", b"%d" % len(response.body)))
        await send({"type": "http.response.start", "status": response.status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if method == "HEAD" else response.body})

"""Pages of other origins: what their browsers are told (Fetch Standard, CORS protocol)."""

from __future__ import annotations

from collections.abc import Collection

from headwater.edge.http import Request, Response
from headwater.model.web import Cors

__all__ = ["CorsPolicy"]

Headers = tuple[tuple[bytes, bytes], ...]
_USUAL = (
    "content-type", "idempotency-key", "if-match", "if-none-match", "request-timeout", "session-token", "traceparent",
    "tracestate", "x-request-id",
)
_EXPOSED = (
    b"deprecation, etag, link, location, ratelimit, ratelimit-policy, retry-after, session-token, sunset, x-request-id"
)
_VARY = (b"vary", b"Origin")


class CorsPolicy:
    """What the routes at one path say to pages of other origins.

    An origin is told that it may, if it is one of those declared, letter for letter. It is never repeated for another
    reason, there is no `*`, and `null` is nobody. As a gate of a route it gives the headers of its answers, refusals
    included.
    """

    __slots__ = ("_known", "_listed", "_preflights", "_sent")
    early = True

    def __init__(self, cors: Cors, methods: Collection[str]) -> None:
        credentials: Headers = ((b"access-control-allow-credentials", b"true"),) if cors.credentials else ()
        own = tuple(h.lower() for h in cors.headers)
        self._listed = frozenset((*_USUAL, *own, *(("authorization",) if cors.credentials else ())))
        self._known = frozenset(methods)
        allowed = ", ".join(sorted(self._known)).encode(), ", ".join(sorted(self._listed)).encode()
        self._sent: dict[bytes, Headers] = {}
        self._preflights: dict[bytes, Headers] = {}
        for text in cors.origins:
            origin = text.encode()
            mine = (_VARY, (b"access-control-allow-origin", origin), *credentials)
            self._sent[origin] = (*mine, (b"access-control-expose-headers", _EXPOSED))
            self._preflights[origin] = (
                (b"vary", b"Origin, Access-Control-Request-Method, Access-Control-Request-Headers"), *mine[1:],
                (b"access-control-allow-methods", allowed[0]), (b"access-control-allow-headers", allowed[1]),
                (b"access-control-max-age", str(cors.max_age).encode()),
            )

    def __call__(self, request: Request) -> Headers:
        """Return the headers of an answer to this request."""
        return self.headers(request.header(b"origin"))

    def headers(self, origin: bytes | None) -> Headers:
        """Return the headers of an answer. Caches are always told that it depends on the origin."""
        return (_VARY,) if origin is None else self._sent.get(origin, (_VARY,))

    def preflight(self, request: Request) -> Response | None:
        """Answer a browser that asks whether it may; None for an OPTIONS request that is none of those."""
        origin = request.header(b"origin")
        method = request.header(b"access-control-request-method")
        if request.method != "OPTIONS" or origin is None or method is None:
            return None
        wanted = request.header(b"access-control-request-headers") or b""
        names = {name.strip().lower() for name in wanted.decode("latin-1").split(",")} - {""}
        granted = origin in self._sent and method.decode("latin-1") in self._known and names <= self._listed
        return Response(204, b"", self._preflights[origin] if granted else (_VARY,))

"""Which pages of other origins may use a route from a browser (Fetch, CORS protocol). Nobody unless declared."""

from __future__ import annotations

from headwater.edge.http import Request
from headwater.model.web import Cors

__all__ = ["Origins"]

Headers = tuple[tuple[bytes, bytes], ...]
_EXPOSED = b"deprecation, ratelimit, ratelimit-policy, retry-after, session-token, sunset, x-request-id, etag"
_SENT = "accept, authorization, content-type, idempotency-key, if-none-match, request-timeout, session-token"
_VARY: Headers = ((b"vary", b"origin"),)


class Origins:
    """A gate that lets listed origins read answers; nothing else is ever echoed."""

    __slots__ = ("_answers", "_methods", "_preflight")

    def __init__(self, cors: Cors, methods: tuple[str, ...]) -> None:
        more: Headers = ((b"access-control-allow-credentials", b"true"),) if cors.credentials else ()
        allowed = ", ".join([_SENT, *cors.headers]).encode()
        self._preflight: Headers = (
            (b"access-control-allow-methods", ", ".join(methods).encode()),
            (b"access-control-allow-headers", allowed), (b"access-control-max-age", b"%d" % cors.max_age),
        )
        self._answers = {
            origin.encode(): (
                (b"access-control-allow-origin", origin.encode()), *more,
                (b"access-control-expose-headers", _EXPOSED), *_VARY,
            )
            for origin in cors.origins
        }

    def __call__(self, request: Request) -> Headers:
        """Return the headers for an answer."""
        return self._answers.get(request.headers.get(b"origin", b""), _VARY)

    def preflight(self, request: Request) -> Headers:
        """Return the headers for an answer to OPTIONS."""
        found = self(request)
        return found if found is _VARY else (*found, *self._preflight)

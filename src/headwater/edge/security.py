"""Headers that keep browsers from doing more with an answer than it is for."""

from __future__ import annotations

__all__ = ["api_headers", "strict_transport"]

_DATA = (
    b"x-content-type-options: nosniff\r\n"
    b"content-security-policy: default-src 'none'; frame-ancestors 'none'\r\n"
    b"referrer-policy: no-referrer\r\n"
)


def api_headers(*, cors: bool = False) -> bytes:
    """Return the header lines of every answer that is data: nothing in it runs, loads, is framed or guessed at.

    cors: pages of other origins may read it.
    """
    return _DATA + b"cross-origin-resource-policy: " + (b"cross-origin" if cors else b"same-origin") + b"\r\n"


def strict_transport(seconds: int) -> bytes:
    """Return the line that makes browsers come by TLS only, for so long (RFC 6797); none for 0."""
    return b"strict-transport-security: max-age=%d\r\n" % seconds if seconds else b""

"""What the HTTP parser lets through and we do not: checks on a request's head before anything runs.

The parser (llhttp through httptools) accepts messages that two parties may understand differently. Each
rule here refuses one kind of doubt; RFC 9110 and 9112 are the reference.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from headwater.edge.problems import Rejected

__all__ = [
    "HEADERS_MOST", "HEADER_BYTES_MOST", "HEAD_BYTES_MOST", "METHODS", "TARGET_BYTES_MOST", "check_head", "check_raw",
]

TARGET_BYTES_MOST = 8 * 1024
HEADER_BYTES_MOST = 8 * 1024
HEAD_BYTES_MOST = 32 * 1024
HEADERS_MOST = 100
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

_HOST = re.compile(rb"(?:[A-Za-z0-9._-]{1,255}|\[[0-9A-Fa-f:.]{2,45}\])(?::\d{1,5})?")
_DIGITS = re.compile(rb"\d{1,19}")
_TARGET = re.compile(rb"/[\x21-\x7e]*")
_LINE_END = re.compile(rb"(?<!\r)\n|\r(?!\n)")
_FOLD = re.compile(rb"\r\n[ \t]")
_BAD_NAME = re.compile(rb"\r\n[^:\r\n]*[^\x21\x23-\x27\x2a\x2b\x2d\x2e0-9A-Z^_`a-z|~:\r\n][^:\r\n]*:")
Headers = Sequence[tuple[bytes, bytes]]


def check_raw(head: bytes) -> None:
    """Check the bytes of a head, up to and with its empty line. Raises Rejected."""
    if _LINE_END.search(head):
        raise Rejected(400, "bad-request", "lines end with CR LF")
    if _FOLD.search(head):
        raise Rejected(400, "bad-request", "a header is one line")
    if b"\0" in head or _BAD_NAME.search(head):
        raise Rejected(400, "bad-request", "a header's name has characters that it may not have")


def check_head(method: str, target: bytes, version: str, headers: Headers) -> None:
    """Check a parsed head. Raises Rejected; the connection is then closed."""
    if version not in ("1.1", "1.0"):
        raise Rejected(505, "bad-version", "this server speaks HTTP/1.1")
    if len(target) > TARGET_BYTES_MOST:
        raise Rejected(414, "target-too-long", f"the request target is longer than {TARGET_BYTES_MOST} bytes")
    if method not in METHODS:
        raise Rejected(501, "unknown-method", "this server does not know the method")
    if not _TARGET.fullmatch(target) and not (target == b"*" and method == "OPTIONS"):
        raise Rejected(400, "bad-target", "the request target is a path")
    if len(headers) > HEADERS_MOST:
        raise Rejected(431, "too-many-headers", f"more than {HEADERS_MOST} headers")
    _check_framing(version, headers)


def _check_framing(version: str, headers: Headers) -> None:
    hosts = lengths = codings = 0
    for name, value in headers:
        if len(name) + len(value) > HEADER_BYTES_MOST:
            raise Rejected(431, "header-too-long", f"a header is longer than {HEADER_BYTES_MOST} bytes")
        if name == b"host":
            hosts += 1
            if not _HOST.fullmatch(value):
                raise Rejected(400, "bad-host", "the Host header is not a host")
        elif name == b"content-length":
            lengths += 1
            if not _DIGITS.fullmatch(value):
                raise Rejected(400, "bad-length", "Content-Length is a number")
        elif name == b"transfer-encoding":
            codings += 1
            if value.lower() != b"chunked":
                raise Rejected(400, "bad-coding", "Transfer-Encoding is chunked or absent")
    if hosts > 1 or (hosts == 0 and version == "1.1"):
        raise Rejected(400, "bad-host", "a request has exactly one Host header")
    if lengths > 1 or codings > 1 or (lengths and codings):
        raise Rejected(400, "bad-framing", "a request has one Content-Length or one Transfer-Encoding, not more")
    if codings and version == "1.0":
        raise Rejected(400, "bad-framing", "HTTP/1.0 has no Transfer-Encoding")

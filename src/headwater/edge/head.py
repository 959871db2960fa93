"""Reading a request's head: every line is judged by the strict grammar, once, and remembered.

RFC 9110 and 9112 are the reference; whatever two parties might understand differently is refused. Clients
repeat themselves, so a header line that has been found good is looked up instead of being parsed
again. What a line means together with others (framing, Host) is checked on every head.
"""

from __future__ import annotations

import re

from headwater.edge.problems import Rejected

__all__ = [
    "HEADERS_MOST",
    "HEADER_BYTES_MOST",
    "HEAD_BYTES_MOST",
    "LINE",
    "MATTERING",
    "METHODS",
    "TARGET_BYTES_MOST",
    "Headers",
    "check_target",
    "check_unfinished",
    "framing_of",
    "read_headers",
    "read_line",
]

TARGET_BYTES_MOST = 8 * 1024
HEADER_BYTES_MOST = 8 * 1024
HEAD_BYTES_MOST = 32 * 1024
HEADERS_MOST = 100
METHODS = {m.encode(): m for m in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "QUERY")}
Headers = dict[bytes, bytes]

REMEMBERED_MOST = 2_048
REMEMBERED_BYTES_MOST = 256
_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_SEEN = rb"[\x21-\x7e\x80-\xff]"
_HEADER = re.compile(
    rb"(" + _TOKEN + rb"):[ \t]*((?:" + _SEEN + rb"(?:[\t\x20-\x7e\x80-\xff]*" + _SEEN + rb")?)?)[ \t]*"
)
_METHOD = re.compile(rb"[A-Z][A-Z-]*")
_HOST = re.compile(rb"(?:[A-Za-z0-9._-]{1,255}|\[[0-9A-Fa-f:.]{2,45}\])(?::\d{1,5})?")
_DIGITS = re.compile(rb"\d{1,19}")
LINE = re.compile(
    b"(" + b"|".join(METHODS) + rb") (/[\x21-\x3e\x40-\x7e]*)(?:\?([\x21-\x7e]*))? HTTP/1\.1"
)
"""The request line that nearly every request has: method, path, query."""
_TARGET = re.compile(rb"/[\x21-\x7e]*")
_ONCE = frozenset({b"host", b"content-length", b"transfer-encoding", b"expect"})
_SECRET = frozenset({b"authorization", b"cookie", b"proxy-authorization", b"idempotency-key", b"session-token"})
MATTERING = frozenset(
    {
        b"accept", b"accept-encoding", b"cookie", b"idempotency-key", b"if-match", b"if-none-match",
        b"origin", b"range", b"request-timeout", b"session-token", b"traceparent", b"x-request-id",
    }
)
"""Headers that routes look at, besides those about the body and who asks. Most requests between services have none."""
_VERSION = re.compile(rb"HTTP/\d\.\d")
_VERSIONS = {b"HTTP/1.1": True, b"HTTP/1.0": False}

_remembered: dict[bytes, tuple[bytes, bytes]] = {}


def read_line(line: bytes) -> tuple[str, bytes, bool]:
    """Return method, target and whether the version is 1.1 (not 1.0). Raises Rejected."""
    parts = line.split(b" ")
    if len(parts) != 3:
        if len(line) > TARGET_BYTES_MOST:
            raise Rejected(414, "target-too-long", "the request line is too long")
        if len(parts) == 2 and _METHOD.fullmatch(parts[0]):
            raise Rejected(505, "bad-version", "this server speaks HTTP/1.1")
        raise _bad("the request line is 'METHOD /path HTTP/1.1'")
    newer = _VERSIONS.get(parts[2])
    if newer is None:
        if _VERSION.fullmatch(parts[2]):
            raise Rejected(505, "bad-version", "this server speaks HTTP/1.1")
        raise _bad("the request line is 'METHOD /path HTTP/1.1'")
    method = METHODS.get(parts[0])
    if method is None:
        if not _METHOD.fullmatch(parts[0]):
            raise _bad("the method is not a word in capital letters")
        raise Rejected(501, "unknown-method", "this server does not know the method")
    return method, parts[1], newer


def check_target(method: str, target: bytes) -> None:
    """Refuse what is no path of this server. Raises Rejected."""
    if len(target) > TARGET_BYTES_MOST:
        raise Rejected(414, "target-too-long", f"the request target is longer than {TARGET_BYTES_MOST} bytes")
    if not _TARGET.fullmatch(target) and not (target == b"*" and method == "OPTIONS"):
        raise Rejected(400, "bad-target", "the request target is a path")


def read_headers(lines: list[bytes]) -> Headers:
    """Return the headers of lines without their ends; names in lower case. Raises Rejected."""
    if len(lines) > HEADERS_MOST:
        raise Rejected(431, "too-many-headers", f"more than {HEADERS_MOST} headers")
    headers: Headers = {}
    known = _remembered
    for line in lines:
        pair = known.get(line)
        if pair is None:
            pair = _read_header(line)
        name, value = pair
        if name not in headers:
            headers[name] = value
        elif name in _ONCE:
            raise Rejected(400, "doubled-header", f"a request has one {name.decode()} header")
        else:
            headers[name] += (b"; " if name == b"cookie" else b", ") + value
    return headers


def _read_header(line: bytes) -> tuple[bytes, bytes]:
    if len(line) > HEADER_BYTES_MOST:
        raise Rejected(431, "header-too-long", f"a header is longer than {HEADER_BYTES_MOST} bytes")
    match = _HEADER.fullmatch(line)
    if match is None:
        raise _bad("a header is one line, 'Name: value', with nothing between the name and the colon")
    pair = (match[1].lower(), match[2])
    if len(line) <= REMEMBERED_BYTES_MOST and pair[0] not in _SECRET:
        if len(_remembered) >= REMEMBERED_MOST:  # full of what was not repeated: begin again
            _remembered.clear()
        _remembered[line] = pair
    return pair


def framing_of(headers: Headers, *, newer: bool) -> int:
    """Return how many bytes the body has, -1 for chunks. Raises Rejected for any doubt."""
    host = headers.get(b"host")
    if host is None:
        if newer:
            raise Rejected(400, "bad-host", "a request has exactly one Host header")
    elif not _HOST.fullmatch(host):
        raise Rejected(400, "bad-host", "the Host header is not a host")
    length, coding = headers.get(b"content-length"), headers.get(b"transfer-encoding")
    if coding is not None:
        if length is not None or not newer:
            raise Rejected(400, "bad-framing", "a request has Content-Length or, in HTTP/1.1, Transfer-Encoding")
        if coding.lower() != b"chunked":
            raise Rejected(400, "bad-coding", "Transfer-Encoding is chunked or absent")
        return -1
    if length is None:
        return 0
    if not _DIGITS.fullmatch(length):
        raise Rejected(400, "bad-length", "Content-Length is a number")
    return int(length)


def check_unfinished(head: bytes) -> None:
    """Refuse the beginning of a head that cannot become a good one, without waiting for its end."""
    if len(head) > HEAD_BYTES_MOST:
        if b"\r\n" not in head[: TARGET_BYTES_MOST + 1024]:
            raise Rejected(414, "target-too-long", "the request line is too long")
        raise Rejected(431, "head-too-long", f"the head is longer than {HEAD_BYTES_MOST} bytes")
    if b"\n" in head and head.count(b"\n") != head.count(b"\r\n"):
        raise _bad("lines end with CR LF")


def _bad(detail: str) -> Rejected:
    return Rejected(400, "bad-request", detail)

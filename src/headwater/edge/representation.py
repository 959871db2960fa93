"""How an answer is written down for whoever asked: format, coding, and whether they have it already.

RFC 9110: content negotiation (12.5), codings (8.4), entity tags and preconditions (8.8, 13.1).
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable, Mapping
from typing import Any

from headwater.edge.http import Request, Response
from headwater.edge.problems import Rejected
from headwater.model.codec import to_json, to_msgpack

__all__ = ["JSON", "MSGPACKS", "Packers", "Representation", "accepted", "coding_for", "preferences"]

COMPRESSED_LEAST = 1024
"""Bytes below which compression costs more than it saves."""
COMPRESSED_MOST = 4 * 1024 * 1024
"""Bytes above which it would hold up everybody else for too long."""
REMEMBERED_MOST = 512
JSON, _MSGPACK = b"application/json", b"application/msgpack"
MSGPACKS = (_MSGPACK, b"application/vnd.msgpack", b"application/x-msgpack")
Packers = Mapping[bytes, Callable[[bytes], bytes]]
"""Content codings by name, and what packs whole answers."""
_formats: dict[bytes, bytes] = {}
_codings: dict[bytes, bytes] = {}


def _gzip(data: bytes) -> bytes:
    packer = zlib.compressobj(4, zlib.DEFLATED, 31)
    return packer.compress(data) + packer.flush()


class Representation:
    """One route's way to write answers. tagged: they carry an entity tag."""

    __slots__ = ("_fixed", "_packers", "_status", "_tagged")

    def __init__(self, status: int, *, fixed: bytes, tagged: bool, packers: Packers) -> None:
        self._status = status
        self._tagged = tagged
        self._fixed = {kind: b"content-type: " + kind + b"\r\n" + fixed for kind in (JSON, _MSGPACK)}
        self._packers: Packers = {b"gzip": _gzip, **packers}

    def of(self, result: Any, request: Request) -> Response:
        """Return the answer for a result."""
        headers = request.headers
        accept = headers.get(b"accept")
        kind = JSON if accept is None else accepted(accept)
        body = to_json(result) if kind is JSON else to_msgpack(result)
        more: tuple[tuple[bytes, bytes], ...] = ()
        coding = b""
        if COMPRESSED_LEAST <= len(body) <= COMPRESSED_MOST:
            more = ((b"vary", b"accept, accept-encoding"),)
            asked = headers.get(b"accept-encoding")
            coding = coding_for(asked) if asked is not None else b""
            if coding not in self._packers:
                coding = b"gzip" if coding else b""
        if self._tagged:
            digest = hashlib.blake2b(body, digest_size=12).hexdigest().encode()
            tag = b'"%b-%b"' % (digest, coding) if coding else b'"%b"' % digest
            more = (*more, (b"etag", tag))
            if _has(headers.get(b"if-none-match"), tag):
                return Response(304, b"", more, self._fixed[kind])
        if coding:
            body = self._packers[coding](body)
            more = (*more, (b"content-encoding", coding))
        return Response(self._status, body, more, self._fixed[kind])


def accepted(accept: bytes) -> bytes:
    """Return the format to answer in, JSON where the client does not mind. Raises Rejected (406)."""
    found = _formats.get(accept)
    if found is None:
        found = _choose_format(accept)
        if len(_formats) >= REMEMBERED_MOST:
            _formats.clear()
        _formats[accept] = found
    return found


def _choose_format(accept: bytes) -> bytes:
    wanted = preferences(accept)
    best, most = b"", 0.0
    for kind in (JSON, *MSGPACKS):
        quality = _quality(wanted, kind)
        if quality > most:
            best, most = kind, quality
    if not best:
        raise Rejected(406, "not-acceptable", "answers are application/json or application/msgpack")
    return _MSGPACK if best in MSGPACKS else JSON


def _quality(wanted: dict[bytes, float], kind: bytes) -> float:
    """Return how much a format is wanted: what names it most exactly counts."""
    for name in (kind, kind.partition(b"/")[0] + b"/*", b"*/*"):
        if name in wanted:
            return wanted[name]
    return 0.0


def coding_for(accept: bytes) -> bytes:
    """Return "zstd", "gzip" or nothing, as an Accept-Encoding header wants it."""
    found = _codings.get(accept)
    if found is None:
        wanted = preferences(accept)
        rest = wanted.get(b"*", 0.0)
        best = max((b"zstd", b"gzip"), key=lambda coding: wanted.get(coding, rest))
        quality = wanted.get(best, rest)
        found = best if quality > 0 and quality >= wanted.get(b"identity", 0.0) else b""
        if len(_codings) >= REMEMBERED_MOST:
            _codings.clear()
        _codings[accept] = found
    return found


def preferences(header: bytes) -> dict[bytes, float]:
    """Return what a header with quality values asks for. What cannot be read counts as not said."""
    found: dict[bytes, float] = {}
    for part in header.lower().split(b",")[:64]:
        name, _, options = part.partition(b";")
        quality = 1.0
        for option in options.split(b";"):
            key, _, value = option.strip().partition(b"=")
            if key == b"q":
                try:
                    quality = min(1.0, max(0.0, float(value)))
                except ValueError:
                    quality = 0.0
        if name.strip():
            found[name.strip()] = quality
    return found


def _has(told: bytes | None, tag: bytes) -> bool:
    """Whether If-None-Match names the tag; weak comparison (RFC 9110, 8.8.3.2)."""
    if told is None:
        return False
    return told.strip() == b"*" or any(one.strip().removeprefix(b"W/") == tag for one in told.split(b","))

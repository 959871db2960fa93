"""Where a request's body ends, and what is in it."""

from __future__ import annotations

import re
from collections.abc import Callable

from headwater.edge.problems import Rejected

__all__ = ["ByLength", "Chunked", "Framing"]

_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_SIZE_LINE = re.compile(
    rb"([0-9A-Fa-f]{1,15})(?:;" + _TOKEN + rb"(?:=(?:" + _TOKEN + rb'|"[\t\x20\x21\x23-\x5b\x5d-\x7e]*"))?)*\r\n'
)
_TRAILER_LINE = re.compile(_TOKEN + rb":[\t\x20-\x7e\x80-\xff]*\r\n")
_NO_TRAILERS = (b"transfer-encoding", b"content-length", b"host", b"connection", b"upgrade", b"expect", b"trailer", b"te")
_LINE_BYTES_MOST = 256
_TRAILER_BYTES_MOST = 8 * 1024
Sink = Callable[[bytes], None]


class Framing:
    """Takes the bytes of one body and hands its content on. `done` once it is complete."""

    done = False

    def feed(self, data: bytes, at: int, sink: Sink) -> int:
        """Return where in `data`, from `at` on, the body's bytes end. Raises Rejected for bad framing."""
        raise NotImplementedError


class ByLength(Framing):
    """A body of so many bytes."""

    def __init__(self, length: int) -> None:
        self._left = length
        self.done = length == 0

    def feed(self, data: bytes, at: int, sink: Sink) -> int:
        """Hand on what belongs to the body."""
        end = min(at + self._left, len(data))
        self._left -= end - at
        self.done = self._left == 0
        sink(data[at:end])
        return end


class Chunked(Framing):
    """A body in chunks: size line, data, CR LF, and so on; an empty chunk, trailers, an empty line.

    Trailers are checked and thrown away. Of a line that is not yet whole, a few hundred bytes at most are kept.
    """

    def __init__(self) -> None:
        self._line = b""
        self._left = 0
        self._stage = self._size
        self._trailer_bytes = 0

    def feed(self, data: bytes, at: int, sink: Sink) -> int:
        """Hand on what belongs to the chunks."""
        while at < len(data) and not self.done:
            if self._left:
                end = min(at + self._left, len(data))
                self._left -= end - at
                sink(data[at:end])
                at = end
                if not self._left:
                    self._stage = self._data_end
                continue
            end = data.find(b"\n", at) + 1
            self._line += data[at : end or len(data)]
            if len(self._line) > (_TRAILER_BYTES_MOST if self._stage == self._trailer else _LINE_BYTES_MOST):
                raise Rejected(400, "bad-chunk", "a chunk's size line or trailer is too long")
            if self._stage == self._data_end and not b"\r\n".startswith(self._line):
                raise Rejected(400, "bad-chunk", "a chunk's data ends with CR LF")
            if not end:
                return len(data)
            at = end
            line, self._line = self._line, b""
            self._stage(line)
        return at

    def _size(self, line: bytes) -> None:
        match = _SIZE_LINE.fullmatch(line)
        if match is None:
            raise Rejected(400, "bad-chunk", "a chunk's size line is malformed")
        self._left = int(match[1], 16)
        if not self._left:
            self._stage = self._trailer

    def _data_end(self, line: bytes) -> None:
        self._stage = self._size

    def _trailer(self, line: bytes) -> None:
        self._trailer_bytes += len(line)
        if line == b"\r\n":
            self.done = True
        elif not _TRAILER_LINE.fullmatch(line) or self._trailer_bytes > _TRAILER_BYTES_MOST:
            raise Rejected(400, "bad-chunk", "the trailers are malformed or too long")
        elif line.partition(b":")[0].lower() in _NO_TRAILERS:
            raise Rejected(400, "bad-chunk", "a trailer speaks of the message's framing")

"""Where a request's body ends, found before the parser sees it, so that the next head starts on its own.

The parser is fed exactly the bytes of one message; it and these rules must agree, or the request is
refused.
"""

from __future__ import annotations

import re

from headwater.edge.problems import Rejected

__all__ = ["ByLength", "Chunked", "Cutter"]

_SIZE_LINE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[\x20-\x7e\t]*)?\r\n")
_LINE_BYTES_MOST = 256
_TRAILER_BYTES_MOST = 8 * 1024


class Cutter:
    """Consumes the bytes of one body. `done` once the body is complete."""

    done = False

    def cut(self, data: bytes, at: int) -> int:
        """Return where in `data`, from `at` on, the body's bytes end. Raises Rejected for bad framing."""
        raise NotImplementedError


class ByLength(Cutter):
    """A body of so many bytes."""

    def __init__(self, length: int) -> None:
        self._left = length
        self.done = length == 0

    def cut(self, data: bytes, at: int) -> int:
        """Return where the body's bytes end."""
        taken = min(self._left, len(data) - at)
        self._left -= taken
        self.done = self._left == 0
        return at + taken


class Chunked(Cutter):
    """A body in chunks: size line, data, CR LF, and so on; an empty chunk, trailers, an empty line."""

    def __init__(self) -> None:
        self._line = bytearray()
        self._data_left = 0
        self._trailer = False
        self._trailer_bytes = 0

    def cut(self, data: bytes, at: int) -> int:
        """Return where the body's bytes end."""
        while at < len(data) and not self.done:
            if self._data_left:
                taken = min(self._data_left, len(data) - at)
                self._data_left -= taken
                at += taken
                continue
            end = data.find(b"\n", at)
            stop = len(data) if end < 0 else end + 1
            self._line += data[at:stop]
            at = stop
            if len(self._line) > (_TRAILER_BYTES_MOST if self._trailer else _LINE_BYTES_MOST):
                raise Rejected(400, "bad-chunk", "a chunk's size line or trailer is too long")
            if end >= 0:
                self._whole_line(bytes(self._line))
                self._line.clear()
        return at

    def _whole_line(self, line: bytes) -> None:
        if self._trailer:
            self._trailer_bytes += len(line)
            if not line.endswith(b"\r\n") or self._trailer_bytes > _TRAILER_BYTES_MOST:
                raise Rejected(400, "bad-chunk", "the trailers are malformed or too long")
            self.done = line == b"\r\n"
            return
        match = _SIZE_LINE.fullmatch(line)
        if match is None:
            raise Rejected(400, "bad-chunk", "a chunk's size line is malformed")
        size = int(match[1], 16)
        if size == 0:
            self._trailer = True
        else:
            self._data_left = size + 2  # the parser checks that the last two are CR LF

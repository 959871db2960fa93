"""A request's body as pieces, read at the pace of whoever uses them."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Protocol

__all__ = ["BodyStream", "whole"]

BUFFERED_MOST = 256 * 1024


class Flow(Protocol):
    """Starts and stops reading from the client."""

    def __call__(self, *, go: bool) -> None:
        """Read on if `go`."""
        ...


class BodyStream:
    """An asynchronous iterator over a body's pieces; at most `BUFFERED_MOST` bytes and one read wait in it.

    Raises what broke the body, when the client went away or broke a rule.
    """

    __slots__ = ("_bytes", "_ended", "_error", "_flow", "_pieces", "_waiting")

    def __init__(self, flow: Flow) -> None:
        self._flow = flow
        self._pieces: deque[bytes] = deque()
        self._bytes = 0
        self._ended = False
        self._error: Exception | None = None
        self._waiting: asyncio.Future[None] | None = None

    def feed(self, data: bytes) -> None:
        """Take a piece."""
        if not data:
            return
        self._pieces.append(data)
        self._bytes += len(data)
        if self._bytes > BUFFERED_MOST:
            self._flow(go=False)
        self._wake()

    def end(self) -> None:
        """The body is complete."""
        self._ended = True
        self._wake()

    def broken(self, error: Exception) -> None:
        """The rest will not come."""
        self._error = error
        self._wake()

    def _wake(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    def __aiter__(self) -> BodyStream:
        return self

    async def __anext__(self) -> bytes:
        while not self._pieces:
            if self._error is not None:
                raise self._error
            if self._ended:
                raise StopAsyncIteration
            self._waiting = asyncio.get_running_loop().create_future()
            try:
                await self._waiting
            finally:
                self._waiting = None
        piece = self._pieces.popleft()
        self._bytes -= len(piece)
        if self._bytes <= BUFFERED_MOST // 2:
            self._flow(go=True)
        return piece


def whole(body: bytes) -> BodyStream:
    """Return a body that is there already as a stream of one piece."""
    stream = BodyStream(_as_it_comes)
    stream.feed(body)
    stream.end()
    return stream


def _as_it_comes(*, go: bool) -> None:
    """Nobody sends more."""

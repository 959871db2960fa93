"""Large content, outside of databases and messages."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol

from headwater.model.blob import Blob

__all__ = ["Files"]


class Files(Protocol):
    """A file store. A file is written once, whole or not at all, and never changed."""

    async def put(self, pieces: AsyncIterator[bytes], *, media_type: str) -> Blob:
        """Store a file as it comes, and return what to ask for it by.

        When it returns, the file survives the loss of power. When `pieces` raises, or this is cancelled, nothing
        is left of it. Raises StoreFull when there is no room.
        """
        ...

    def read(self, blob: Blob, *, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        """Return the bytes from `start` up to `end`, in pieces. Raises StoreUnavailable when there is no such file."""
        ...

    async def discard(self, blob: Blob) -> None:
        """Remove a file; it is no error that it is gone."""
        ...

"""The file store in a folder of the data folder."""

from __future__ import annotations

import errno
import functools
import hashlib
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, BinaryIO

from headwater.errors import StoreFull, StoreUnavailable
from headwater.model.blob import Blob
from headwater.ports import Executor, Ids

__all__ = ["LocalFiles"]

PIECE_BYTES = 256 * 1024
_NAME_CHARACTERS = frozenset("0123456789abcdef-")


class LocalFiles:
    """Files by id, in 256 folders; written beside under another name, synced, then renamed."""

    def __init__(self, folder: Path, *, ids: Ids, executor: Executor) -> None:
        self._folder = folder
        self._ids = ids
        self._run: Callable[[Callable[[], Any]], Any] = executor.run

    async def put(self, pieces: AsyncIterator[bytes], *, media_type: str) -> Blob:
        """Store a file as it comes."""
        name = self._ids.new()
        path = self._path(name)
        unfinished = path.with_suffix(".part")
        file = await self._do(lambda: _create(unfinished))
        try:
            size, digest = await self._write(file, pieces)
            await self._do(lambda: _finish(file, unfinished, path))
        except BaseException:
            file.close()
            unfinished.unlink(missing_ok=True)
            raise
        return Blob(id=name, size=size, sha256=digest, media_type=media_type)

    async def _write(self, file: BinaryIO, pieces: AsyncIterator[bytes]) -> tuple[int, str]:
        digest, size = hashlib.sha256(), 0
        held: list[bytes] = []
        holding = 0

        def write() -> None:
            data = b"".join(held)
            digest.update(data)
            file.write(data)

        async for piece in pieces:
            held.append(piece)
            holding += len(piece)
            size += len(piece)
            if holding >= PIECE_BYTES:  # a thread's while for each piece of this size, not for each packet
                await self._do(write)
                held.clear()
                holding = 0
        await self._do(write)
        return size, digest.hexdigest()

    async def _do(self, work: Callable[[], Any]) -> Any:
        try:
            return await self._run(work)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise StoreFull("the disk of the file store is full") from error
            raise StoreUnavailable(f"the file store: {error.strerror}") from error

    async def read(self, blob: Blob, *, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        """Return the bytes in pieces."""
        file: BinaryIO = await self._do(lambda: self._path(blob.id).open("rb"))
        left = (blob.size if end is None else end) - start
        try:
            if start:
                file.seek(start)
            while left > 0:
                size = min(PIECE_BYTES, left)
                piece = await self._do(functools.partial(file.read, size))
                if not piece:
                    raise StoreUnavailable(f"the file {blob.id} is shorter than it was")
                left -= len(piece)
                yield piece
        finally:
            file.close()

    async def discard(self, blob: Blob) -> None:
        """Remove a file."""
        await self._do(lambda: self._path(blob.id).unlink(missing_ok=True))

    def _path(self, name: str) -> Path:
        if not name or not _NAME_CHARACTERS.issuperset(name):  # ids come back in messages: they are no paths
            raise StoreUnavailable("there is no such file")
        return self._folder / name[-2:] / name


def _create(path: Path) -> BinaryIO:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")


def _finish(file: BinaryIO, unfinished: Path, path: Path) -> None:
    file.flush()
    os.fsync(file.fileno())
    file.close()
    unfinished.rename(path)
    for folder in (path.parent, path.parent.parent):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

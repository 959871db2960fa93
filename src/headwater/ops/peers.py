"""Workers of one instance tell each other how they are: by Unix sockets that their own user alone may use."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import msgspec

from headwater.errors import HeadwaterError
from headwater.model.message import Value
from headwater.ops.kept import Kept
from headwater.ops.snapshot import Missing, Snapshot

__all__ = ["KEPT_PATH", "SNAPSHOT_PATH", "Peers", "Silent", "socket_path"]

SNAPSHOT_PATH = "/snapshot.msgpack"
KEPT_PATH = "/kept.msgpack"
PEER_SECONDS = 1.0
ANSWER_BYTES_MOST = 64 * 1024 * 1024
V = TypeVar("V", bound=Value)


class Silent(HeadwaterError):
    """A worker does not answer, or not as it should."""

    code = "worker-silent"


def socket_path(run: Path, slot: int) -> str:
    """Return where the worker in a slot answers. Not *.sock: those are the bell's."""
    return str(run / f"admin-{slot}.socket")


class Peers:
    """The other workers of an instance. slots: theirs."""

    def __init__(self, run: Path, slots: Sequence[int]) -> None:
        self._run = run
        self._slots = tuple(slots)

    @property
    def slots(self) -> tuple[int, ...]:
        """Who should be there."""
        return self._slots

    async def snapshots(self) -> tuple[list[Snapshot], list[Missing]]:
        """Return what every worker tells of itself, and who does not."""
        return await self._all(SNAPSHOT_PATH, Snapshot)

    async def kept(self) -> list[Kept]:
        """Return what every worker that tells has kept."""
        return (await self._all(KEPT_PATH, Kept))[0]

    async def _all(self, path: str, kind: type[V]) -> tuple[list[V], list[Missing]]:
        answers = await asyncio.gather(*(self._one(slot, path, kind) for slot in self._slots))
        return (
            [answer for answer in answers if isinstance(answer, kind)],
            [answer for answer in answers if isinstance(answer, Missing)],
        )

    async def _one(self, slot: int, path: str, kind: type[V]) -> V | Missing:
        try:
            _, _, body = await self.get(slot, path, within=PEER_SECONDS)
            return msgspec.msgpack.decode(body, type=kind)
        except (Silent, msgspec.MsgspecError) as error:
            return Missing(slot=slot, reason=str(error))

    async def get(self, slot: int, target: str, *, within: float) -> tuple[int, bytes, bytes]:
        """Ask one worker; return status, content type and body. Raises Silent."""
        try:
            async with asyncio.timeout(within):
                return await _get(socket_path(self._run, slot), target)
        except TimeoutError:
            raise Silent(f"no answer within {within:g} s") from None
        except OSError as error:
            raise Silent(f"not there: {error.strerror or error}") from None


async def _get(path: str, target: str) -> tuple[int, bytes, bytes]:
    reader, writer = await asyncio.open_unix_connection(path)
    try:
        writer.write(f"GET {target} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n".encode())
        answer = bytearray()
        while part := await reader.read(256 * 1024):
            answer += part
            if len(answer) > ANSWER_BYTES_MOST:
                raise Silent("it answers too much")
    finally:
        writer.close()
    head, end, body = bytes(answer).partition(b"\r\n\r\n")
    line, *lines = head.split(b"\r\n")
    headers = dict(one.lower().split(b": ", 1) for one in lines if b": " in one)
    if not end or int(headers.get(b"content-length", b"0")) != len(body):
        raise Silent("it broke off in the middle of its answer")
    return int(line.split(b" ")[1]), headers.get(b"content-type", b""), body

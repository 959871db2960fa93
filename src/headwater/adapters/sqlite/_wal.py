"""Looking through a write-ahead log before SQLite does.

When SQLite opens a database after a crash it reads the log up to the first frame whose checksum is
wrong and silently drops the rest. That is right for a torn last transaction, which nobody was told
had been committed. It is wrong when a byte in the middle was damaged: acknowledged commits behind it
would vanish. With synchronous=FULL a transaction's frames are written only after the one before has
been synced; so if, behind the first bad frame, a *commit* frame of the same generation is followed by
more frames of it, the damage is not a torn tail.

With synchronous=NORMAL the system may write what it likes in any order until a checkpoint, so there this
tells nothing, and is not asked.

What cannot be told apart: damage inside the very last transaction, from the tear of a crash.

Layout: https://www.sqlite.org/fileformat2.html#the_write_ahead_log
"""

from __future__ import annotations

import struct
from pathlib import Path

from headwater.errors import StoreCorrupt

__all__ = ["audit"]

_HEADER = struct.Struct(">8I")
_FRAME = struct.Struct(">6I")
_LITTLE, _BIG = 0x377F0682, 0x377F0683


def audit(path: Path) -> None:
    """Raise StoreCorrupt when the log of the database at `path` has lost commits that were acknowledged."""
    wal = path.with_name(path.name + "-wal")
    try:
        data = wal.read_bytes()
    except FileNotFoundError:
        return
    if len(data) < _HEADER.size:
        return
    magic, _version, page, _sequence, salt1, salt2, sum1, sum2 = _HEADER.unpack_from(data)
    if magic not in (_LITTLE, _BIG):
        if any(data):
            raise StoreCorrupt(f"{wal} does not begin as a write-ahead log does; restore {path.name} from a backup")
        return
    order = "<" if magic == _LITTLE else ">"
    size = _FRAME.size + page
    frames = (len(data) - _HEADER.size) // size
    state = _checksum(data[:24], (0, 0), order)
    if state != (sum1, sum2):  # it is synced before the first frame is written
        raise StoreCorrupt(f"the header of {wal} is damaged; restore {path.name} from a backup")
    good = _good_frames(data, frames, size, (salt1, salt2), state, order)
    behind = [
        _HEADER.size + i * size
        for i in range(good, frames)
        if _FRAME.unpack_from(data, _HEADER.size + i * size)[2:4] == (salt1, salt2)
    ]
    commits = [at for at in behind if _FRAME.unpack_from(data, at)[1] != 0]
    if commits and commits[0] != behind[-1]:
        raise StoreCorrupt(
            f"{wal} is damaged in frame {good + 1} of {frames}, and commits behind it were acknowledged; "
            f"restore {path.name} from a backup"
        )


def _good_frames(
    data: bytes, frames: int, size: int, salts: tuple[int, int], state: tuple[int, int], order: str
) -> int:
    for i in range(frames):
        at = _HEADER.size + i * size
        _page, _commit, salt1, salt2, sum1, sum2 = _FRAME.unpack_from(data, at)
        if (salt1, salt2) != salts:
            return i
        state = _checksum(data[at : at + 8], state, order)
        state = _checksum(data[at + _FRAME.size : at + size], state, order)
        if state != (sum1, sum2):
            return i
    return frames


def _checksum(data: bytes, state: tuple[int, int], order: str) -> tuple[int, int]:
    one, two = state
    words = struct.unpack(f"{order}{len(data) // 4}I", data)
    for first, second in zip(words[::2], words[1::2], strict=True):
        one = (one + first + two) & 0xFFFFFFFF
        two = (two + second + one) & 0xFFFFFFFF
    return one, two

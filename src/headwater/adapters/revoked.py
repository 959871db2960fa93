"""Tokens that were taken back before their end, from a list in a file."""

from __future__ import annotations

from pathlib import Path

from headwater.adapters.watched import Watched
from headwater.ports import Clock

__all__ = ["RevokedFile"]


class RevokedFile:
    """Asks a file that has one line for each thing that counts no more.

    `jti ID`: one token. `sub NAME`: every token of a subject. `sub NAME UNIX-SECONDS`: those that were
    issued before then, or do not say when. Empty lines and lines that begin with # count for nothing.
    A change counts after a second; a file that cannot be read lets nobody in after five.
    """

    def __init__(self, path: Path, *, clock: Clock) -> None:
        self._list = Watched(path, _read, clock=clock)

    def __call__(self, jti: str | None, subject: str, issued: float) -> bool:
        """Whether this token was taken back. Raises AuthUnavailable when that cannot be told."""
        tokens, subjects = self._list.get()
        before = subjects.get(subject)
        return jti in tokens or (before is not None and issued < before)


def _read(data: bytes) -> tuple[frozenset[str], dict[str, float]]:
    tokens: set[str] = set()
    subjects: dict[str, float] = {}
    for number, line in enumerate(data.decode().splitlines(), 1):
        words = line.split()
        match words:
            case []:
                continue
            case [first, *_] if first.startswith("#"):
                continue
            case ["jti", token]:
                tokens.add(token)
            case ["sub", name]:
                subjects[name] = float("inf")
            case ["sub", name, at] if at.isascii() and at.isdigit():
                subjects[name] = max(float(at), subjects.get(name, 0.0))
            case _:
                raise ValueError(f"line {number} is neither 'jti ID' nor 'sub NAME' nor 'sub NAME UNIX-SECONDS'")
    return frozenset(tokens), subjects

"""A small file that people change while the application runs, such as a list of revoked tokens."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

from headwater.errors import AuthUnavailable, ConfigurationError
from headwater.ports import Clock

__all__ = ["Watched"]

T = TypeVar("T")

LOOK_SECONDS = 1.0
OLD_SECONDS = 5.0


class Watched(Generic[T]):
    """Keeps what a file says, looking for a change once a second, when asked.

    read: makes something of the bytes; ValueError for what is wrong with them. Raises ConfigurationError at
    once for a file that cannot be read. Later on, what it said last counts for five seconds; then `get`
    raises AuthUnavailable, because nobody would be told of what has changed since.
    """

    def __init__(self, path: Path, read: Callable[[bytes], T], *, clock: Clock, bytes_most: int = 4 << 20) -> None:
        self._path = path
        self._read = read
        self._bytes_most = bytes_most
        self._monotonic = clock.monotonic
        try:
            self._stamp = self._now()
            self._value = self._load()
        except OSError as error:
            raise ConfigurationError(f"{path} cannot be read: {error.strerror}; write it, or leave it out") from None
        except ValueError as error:
            raise ConfigurationError(f"{path}: {error}") from None
        self._looked = self._good = self._monotonic()

    def get(self) -> T:
        """Return what the file says."""
        now = self._monotonic()
        if now - self._looked >= LOOK_SECONDS:
            self._look(now)
        if now - self._good > OLD_SECONDS:
            raise AuthUnavailable(f"{self._path.name} cannot be read now")
        return self._value

    def _look(self, now: float) -> None:
        self._looked = now
        try:
            stamp = self._now()
            if stamp != self._stamp:
                self._value = self._load()
                self._stamp = stamp
            self._good = now
        except (OSError, ValueError):
            self._stamp = (0, 0, 0)  # whatever comes next is new

    def _now(self) -> tuple[int, int, int]:
        found = self._path.stat()
        return found.st_mtime_ns, found.st_size, found.st_ino

    def _load(self) -> T:
        with self._path.open("rb") as file:
            data = file.read(self._bytes_most + 1)
        if len(data) > self._bytes_most:
            raise ValueError(f"longer than {self._bytes_most} bytes")
        return self._read(data)

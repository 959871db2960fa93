"""What the system tells of the running process, and what its threads are doing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from headwater.model.message import Value

__all__ = ["Process", "ProcessReading", "Sampler", "Stack"]

Stack = tuple[str, ...]
"""A thread's name and its frames, outermost first, each `function (file:line)`."""


class ProcessReading(Value):
    """One look. What the system does not tell is None. Memory and disk in bytes.

    pss: memory with what is shared counted in part. cpu: seconds, of user and system. disk_free: for this user, where
    the data lies. gc_*: by generation.
    """

    pid: int
    python: str
    cpu: float
    rss: int | None
    pss: int | None
    fds: int | None
    threads: int
    disk_free: int | None
    gc_collections: tuple[int, ...]
    gc_collected: tuple[int, ...]
    gc_uncollectable: tuple[int, ...]


class Process(Protocol):
    """The running process."""

    def read(self) -> ProcessReading:
        """Look. Takes some milliseconds; called in a thread."""
        ...


class Sampler(Protocol):
    """Looks at what the threads are doing."""

    def run(self, seconds: float, hz: float) -> Mapping[Stack, int]:
        """Look `hz` times a second for so long; return how often each stack was seen. Blocks; called in a thread."""
        ...

    def stop(self) -> None:
        """End a run early; from any thread."""
        ...

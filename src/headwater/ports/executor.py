"""Threads, when the event loop must not wait. A simulation runs the same work in place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

__all__ = ["Executor"]

T = TypeVar("T")


class Executor(Protocol):
    """A bounded pool of threads."""

    async def run(self, work: Callable[[], T]) -> T:
        """Run `work` off the loop and return its result or raise its exception.

        Raises Overloaded when too much waits already. Cancelling the wait lets the work finish.
        """
        ...

    def close(self) -> None:
        """Take no more work and wait for what runs."""
        ...

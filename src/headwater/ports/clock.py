"""Time, chance and ids: the only sources of them, so that a run can be replayed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Protocol

__all__ = ["Clock", "Ids", "Random", "Timer"]


class Timer(Protocol):
    """A call that is due later."""

    def cancel(self) -> None:
        """Forget it; harmless when it has happened."""
        ...


class Clock(Protocol):
    """Wall time for people, monotonic time for waiting."""

    def now(self) -> datetime:
        """Return wall time, aware and in UTC."""
        ...

    def wall(self) -> float:
        """Return wall time in Unix seconds."""
        ...

    def monotonic(self) -> float:
        """Return seconds since some start; never goes back; the scale of every deadline."""
        ...

    def call_at(self, when: float, callback: Callable[[], object]) -> Timer:
        """Call back at a monotonic time, on the event loop."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait. Cancelling ends the wait."""
        ...


class Random(Protocol):
    """Chance for jitter and choice; never for secrets."""

    def uniform(self, low: float, high: float, /) -> float:
        """Return a number between the two."""
        ...


class Ids(Protocol):
    """New ids."""

    def new(self) -> str:
        """Return a UUIDv7 as text: unique, sorts by time."""
        ...

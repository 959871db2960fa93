"""A clock that stands still until it is told to go on."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

__all__ = ["VirtualClock"]


class _Timer:
    """A call that is due at a virtual time."""

    __slots__ = ("callback", "when")

    def __init__(self, when: float, callback: Callable[[], object]) -> None:
        self.when = when
        self.callback: Callable[[], object] | None = callback

    def cancel(self) -> None:
        """Forget it."""
        self.callback = None


class VirtualClock:
    """The `Clock` port, moved by `advance` alone. Timers run in the order in which they are due."""

    def __init__(self, at: datetime) -> None:
        self._start = at.astimezone(UTC)
        self._passed = 0.0
        self._count = 0
        self._timers: list[tuple[float, int, _Timer]] = []

    def now(self) -> datetime:
        """Return the virtual time."""
        return self._start + timedelta(seconds=self._passed)

    def wall(self) -> float:
        """Return the virtual time in Unix seconds."""
        return self._start.timestamp() + self._passed

    def monotonic(self) -> float:
        """Return the virtual seconds that have passed."""
        return self._passed

    def call_at(self, when: float, callback: Callable[[], object]) -> _Timer:
        """Call back when the clock is moved to `when` or past it."""
        timer = _Timer(when, callback)
        self._count += 1
        heapq.heappush(self._timers, (when, self._count, timer))
        return timer

    async def sleep(self, seconds: float) -> None:
        """Wait until the clock has been moved that far; 0 lets others run."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def wake() -> None:
            if not woken.done():
                woken.set_result(None)

        timer = self.call_at(self._passed + seconds, wake)
        try:
            await woken
        finally:
            timer.cancel()

    @property
    def next_due(self) -> float | None:
        """Seconds until the next timer, None when there is none."""
        while self._timers and self._timers[0][2].callback is None:
            heapq.heappop(self._timers)
        return self._timers[0][0] - self._passed if self._timers else None

    def stall(self, seconds: float) -> None:
        """Let time pass while nothing runs, as when a handler blocks the event loop."""
        self._passed += seconds

    async def advance(self, seconds: float) -> None:
        """Move on by so many seconds; what becomes due on the way happens on the way."""
        until = self._passed + seconds
        while True:
            due = self.next_due
            if due is None or self._passed + due > until:
                break
            when, _, timer = heapq.heappop(self._timers)
            self._passed = max(self._passed, when)
            callback, timer.callback = timer.callback, None
            if callback is not None:
                callback()
            await let_others_run()
        self._passed = until
        await let_others_run()


async def let_others_run(turns: int = 20) -> None:
    """Give every task that is ready the chance to come to its next wait."""
    for _ in range(turns):
        await asyncio.sleep(0)

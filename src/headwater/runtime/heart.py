"""How late the event loop is: a timer that should have rung a moment ago."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Callable

from headwater.ports import Clock, Timer

__all__ = ["BEAT_SECONDS", "LAG_EDGES", "Heart"]

LAG_EDGES: tuple[float, ...] = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Scale of how late the event loop is, in seconds."""
BEAT_SECONDS = 0.25
REMEMBERED = 240
"""Beats of which the latest is told: a minute."""


class Heart:
    """Beats four times a second. counts: on `LAG_EDGES`. last, seconds: of the last beat, and of all together.

    each: told how late every beat was, in seconds.
    """

    def __init__(self, clock: Clock, each: Callable[[float], None] | None = None) -> None:
        self.counts = [0] * (len(LAG_EDGES) + 1)
        self.last = 0.0
        self.seconds = 0.0
        self._clock = clock
        self._each = each
        self._recent: deque[float] = deque(maxlen=REMEMBERED)
        self._timer: Timer | None = None
        self._due = 0.0

    def start(self) -> None:
        """Begin to beat, on the running loop."""
        self._due = self._clock.monotonic() + BEAT_SECONDS
        self._timer = self._clock.call_at(self._due, self._beat)

    def stop(self) -> None:
        """Beat no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    @property
    def most(self) -> float:
        """The latest beat of the last minute, in seconds; the one that is due counts too."""
        overdue = 0.0 if self._timer is None else self._clock.monotonic() - self._due
        return max((0.0, overdue, *self._recent))

    def _beat(self) -> None:
        late = self.last = max(0.0, self._clock.monotonic() - self._due)
        self.seconds += late
        self.counts[bisect_left(LAG_EDGES, late)] += 1
        self._recent.append(late)
        self.start()
        if self._each is not None:
            self._each(late)

"""Service level objectives: what contracts aim at, and how fast they use up what may go wrong.

Every call is counted, nothing is read off a histogram. A call is good when it ends in a value or a declared refusal
and, for an aim in time, ends in time. Burn rates over several windows, and when they call
somebody, are those of the Site Reliability Workbook (Google, 2018), chapter 5, "Alerting on SLOs", approach 6:
a rate of 14.4 over an hour uses up 2 % of a month's budget, 6 over six hours 5 %; the short window beside each
ends the alarm soon after the trouble.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable

from headwater.ops.snapshot import Objective, Window
from headwater.ports import Clock, Timer
from headwater.runtime.meter import MeterCell

__all__ = ["LATENCY_TARGET", "STEP_SECONDS", "WINDOWS", "Aims", "alert", "budget_left", "burn"]

STEP_SECONDS = 10.0
WINDOWS: tuple[float, ...] = (300.0, 1_800.0, 3_600.0, 21_600.0)
LATENCY_TARGET = 0.99
"""`slo_p99` promises a time to so many calls."""
_STEPS = int(WINDOWS[-1] / STEP_SECONDS) + 1
_ALERTS = (("fast", 14.4, 3_600.0, 300.0), ("slow", 6.0, 21_600.0, 1_800.0))

Counts = tuple[int, int, int]


class _Ring:
    """One contract's counts at every step of the last six hours: total, answered, answered in time."""

    __slots__ = ("_kept", "cell")

    def __init__(self, cell: MeterCell) -> None:
        self.cell = cell
        self._kept = tuple(array("Q", bytes(8 * _STEPS)) for _ in range(3))

    def keep(self, step: int) -> None:
        for kept, count in zip(self._kept, self.cell.answered, strict=True):
            kept[step % _STEPS] = count

    def at(self, step: int) -> Counts:
        total, answered, in_time = (kept[step % _STEPS] for kept in self._kept)
        return total, answered, in_time


class Aims:
    """Keeps the counts of every contract that aims at something. `cells` gives all the meters there are."""

    def __init__(self, cells: Callable[[], Iterable[MeterCell]], clock: Clock) -> None:
        self._cells = cells
        self._clock = clock
        self._began = clock.monotonic()
        self._step = 0
        self._rings: dict[str, _Ring] = {}
        self._timer: Timer | None = None

    def start(self) -> None:
        """Begin to keep counts, on the running loop."""
        self._timer = self._clock.call_at(self._began + (self._step + 1) * STEP_SECONDS, self._next)

    def stop(self) -> None:
        """Keep no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _next(self) -> None:
        passed = int((self._clock.monotonic() - self._began) / STEP_SECONDS)
        now = max(passed, self._step + 1)  # that step is due, even where rounding says that it is not quite
        rings = self._known()
        for step in range(max(self._step + 1, now - _STEPS + 1), now + 1):  # mostly one; more when the loop stood still
            for ring in rings:
                ring.keep(step)
        self._step = now
        self.start()

    def _known(self) -> Iterable[_Ring]:
        for cell in self._cells():
            contract = cell.contract
            aims = contract.slo_p99 is not None or contract.availability is not None
            if aims and contract.wire_name not in self._rings:
                self._rings[contract.wire_name] = _Ring(cell)
        return self._rings.values()

    def read(self) -> tuple[Objective, ...]:
        """Return every objective as it stands."""
        return tuple(objective for ring in self._known() for objective in self._objectives(ring))

    def _objectives(self, ring: _Ring) -> Iterable[Objective]:
        contract = ring.cell.contract
        passed = self._clock.monotonic() - self._began
        now = ring.cell.answered
        before = [self._before(ring, seconds, passed) for seconds in WINDOWS]
        aims: list[tuple[str, float, float | None, int]] = []
        if contract.availability is not None:
            aims.append(("availability", contract.availability, None, 1))
        if contract.slo_p99 is not None:
            aims.append(("latency", LATENCY_TARGET, contract.slo_p99, 2))
        for kind, target, threshold, good in aims:
            yield Objective(
                contract=contract.wire_name, kind=kind, target=target, threshold=threshold,
                since=Window(seconds=passed, total=now[0], good=now[good]),
                windows=tuple(
                    Window(seconds=seconds, total=now[0] - was[0], good=now[good] - was[good])
                    for seconds, was in zip(WINDOWS, before, strict=True)
                ),
            )

    def _before(self, ring: _Ring, seconds: float, passed: float) -> Counts:
        """Return the counts when a window began: at the last step before it."""
        step = int((passed - seconds) / STEP_SECONDS)
        return (0, 0, 0) if passed < seconds or step < 1 else ring.at(min(step, self._step))


def burn(window: Window, target: float) -> float:
    """Return how fast the budget is used up: 1.0 uses exactly all of it over the objective's period."""
    return 0.0 if not window.total else (window.total - window.good) / window.total / (1.0 - target)


def budget_left(objective: Objective) -> float:
    """Return the share of the error budget that is left since the start; below 0 when more than all is gone."""
    return 1.0 - burn(objective.since, objective.target)


def alert(objective: Objective) -> str:
    """Return "fast" or "slow" when somebody should be called because the budget burns, else ""."""
    rates = {window.seconds: burn(window, objective.target) for window in objective.windows}
    for name, rate, long, short in _ALERTS:
        if rates.get(long, 0.0) >= rate and rates.get(short, 0.0) >= rate:
            return name
    return ""

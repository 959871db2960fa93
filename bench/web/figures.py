"""What a run found, as data: the page is written from it, and it can be kept as JSON."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence

from msgspec import Struct

__all__ = ["Inner", "Ratio", "Report", "Sample", "Tail", "ratio"]


class Sample(Struct, frozen=True):
    """One contender, one case, one round. rate: requests a second. cpu: microseconds of server CPU for each."""

    rate: float
    cpu: float


class Tail(Struct, frozen=True):
    """Milliseconds from when a request was due to its answer. late: share of the time in which the generator slept."""

    p50: float
    p99: float
    worst: float
    late: float


class Inner(Struct, frozen=True):
    """One comparison inside a process; lower is better."""

    title: str
    unit: str
    base: str
    median: dict[str, float]
    ratio: dict[str, float]
    spread: dict[str, tuple[float, float]]
    notes: list[str] = []


class Report(Struct, kw_only=True):
    """Everything that one run found; by case, then by contender, then by round.

    busy: what other processes took of the machine before the run, in cores. left_out: who did not take part, and why.
    """

    taken: str
    machine: str
    busy: float
    rounds: int
    seconds: float
    versions: dict[str, str] = {}
    load: dict[str, dict[str, list[Sample]]] = {}
    tails: dict[str, dict[str, list[Tail]]] = {}
    start: dict[str, list[float]] = {}
    calls: dict[str, dict[str, list[float]]] = {}
    memory: dict[str, float] = {}
    inner: list[Inner] = []
    left_out: list[str] = []

    def ratio(self, case: str, mine: str, theirs: str, by: Callable[[Sample], float] | None = None) -> Ratio | None:
        """Return how many times as much work `mine` does as `theirs`; None when one of them was not measured.

        Per second of CPU; or by what `by` returns, where more is better.
        """
        found = self.load.get(case, {})
        if mine not in found or theirs not in found:
            return None
        measure = by or (lambda sample: 1 / sample.cpu)
        return ratio([measure(s) for s in found[mine]], [measure(s) for s in found[theirs]])


class Ratio(Struct, frozen=True):
    """A ratio taken in each round: its median, and the smallest and largest."""

    median: float
    low: float
    high: float


def ratio(mine: Sequence[float], theirs: Sequence[float]) -> Ratio:
    """Return the ratio of what was measured in the same rounds."""
    by_round = [one / other for one, other in zip(mine, theirs, strict=True)]
    return Ratio(statistics.median(by_round), min(by_round), max(by_round))

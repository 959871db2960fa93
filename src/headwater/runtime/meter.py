"""Light cells for the hot path: a count by outcome and a log-linear histogram, nothing else.

Recording is an append; the histogram is filled a thousand samples at a time, by sorting them and
looking up where the buckets' edges fall. Four buckets to each power of two, so a quantile is off by at
most a quarter. Exporters read the cells at their own pace.
"""

from __future__ import annotations

from bisect import bisect_left

from headwater.model.context import Context
from headwater.model.contract import Contract
from headwater.ports.telemetry import Outcome

__all__ = ["EDGES", "Meter", "MeterCell"]

_LEAST, _MOST = -24, 12
EDGES: tuple[float, ...] = tuple(
    2.0**power * (4 + quarter) / 4 for power in range(_LEAST, _MOST) for quarter in range(4)
)
"""Upper edges of the buckets in seconds, from 60 nanoseconds to an hour; the last bucket has none."""
PENDING_MOST = 1024


class MeterCell:
    """One contract's counts. `others` counts the outcomes that are not a value."""

    __slots__ = ("_buckets", "_pending", "_seconds", "contract", "others")

    def __init__(self, contract: Contract) -> None:
        self.contract = contract
        self.others: dict[Outcome, int] = {"failure": 0, "not_executed": 0, "unknown": 0}
        self._buckets = [0] * (len(EDGES) + 1)
        self._pending: list[float] = []
        self._seconds = 0.0

    def record(self, outcome: Outcome, seconds: float) -> None:
        """Count one finished call."""
        pending = self._pending
        pending.append(seconds)
        if outcome != "value":
            self.others[outcome] += 1
        if len(pending) >= PENDING_MOST:
            self._fold()

    def _fold(self) -> None:
        samples = sorted(self._pending)
        self._pending.clear()
        self._seconds += sum(samples)
        done, bucket = 0, 0
        while done < len(samples):
            bucket = bisect_left(EDGES, samples[done], bucket)
            end = len(samples) if bucket == len(EDGES) else bisect_left(samples, EDGES[bucket], done)
            end = max(end, done + 1)
            self._buckets[bucket] += end - done
            done = end

    @property
    def buckets(self) -> tuple[int, ...]:
        """How many calls took at most how long: one count for each of `EDGES`, and one beyond."""
        self._fold()
        return tuple(self._buckets)

    @property
    def seconds(self) -> float:
        """All calls' seconds together."""
        self._fold()
        return self._seconds

    @property
    def outcomes(self) -> dict[Outcome, int]:
        """How many calls ended how."""
        return {"value": sum(self.buckets) - sum(self.others.values()), **self.others}

    def quantile(self, share: float) -> float:
        """Return the upper edge of the bucket that holds the quantile, in seconds; 0.0 when empty."""
        buckets = self.buckets
        wanted = share * sum(buckets)
        seen = 0
        for index, count in enumerate(buckets):
            seen += count
            if count and seen >= wanted:
                return EDGES[min(index, len(EDGES) - 1)]
        return 0.0


class Meter:
    """Meters without export; tracing off."""

    tracing = False

    def __init__(self) -> None:
        self.cells: dict[str, MeterCell] = {}

    def cell(self, contract: Contract) -> MeterCell:
        """Return the contract's meter."""
        found = self.cells.get(contract.wire_name)
        if found is None:
            found = self.cells[contract.wire_name] = MeterCell(contract)
        return found

    def span(self, contract: Contract, context: Context, outcome: Outcome, seconds: float) -> None:
        """Nobody asked for spans."""

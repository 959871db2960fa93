"""Light cells for the hot path: a count by outcome and a log-linear histogram, nothing else.

Recording is an append; the histogram is filled a thousand samples at a time, by sorting them and
looking up where the buckets' edges fall. Four buckets to each power of two, so a quantile is off by at
most a quarter. What a contract aims at (`slo_p99`) is counted exactly, not read off the buckets. Exporters
read the cells at their own pace.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right

from headwater.model.contract import Contract
from headwater.ports.telemetry import Outcome

__all__ = ["EDGES", "SIZE_EDGES", "Histogram", "Meter", "MeterCell", "StoreMeter"]

_LEAST, _MOST = -24, 12
EDGES: tuple[float, ...] = tuple(
    2.0**power * (4 + quarter) / 4 for power in range(_LEAST, _MOST) for quarter in range(4)
)
"""Upper edges of the buckets in seconds, from 60 nanoseconds to an hour; the last bucket has none."""
SIZE_EDGES: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 64, 128, 256)
"""Upper edges of the buckets of group commits' sizes, in units of work; the last bucket has none."""
PENDING_MOST = 1024


class Histogram:
    """Samples in seconds."""

    __slots__ = ("_buckets", "_pending", "_seconds")

    def __init__(self) -> None:
        self._buckets = [0] * (len(EDGES) + 1)
        self._pending: list[float] = []
        self._seconds = 0.0

    def take(self, seconds: float) -> None:
        """Take a sample."""
        self._pending.append(seconds)
        if len(self._pending) >= PENDING_MOST:
            self._fold()

    def _fold(self) -> list[float]:
        """Put what has been recorded into the buckets; return it, sorted."""
        samples = sorted(self._pending)
        self._pending.clear()
        self._seconds += sum(samples)
        done, bucket = 0, 0
        while done < len(samples):
            bucket = bisect_left(EDGES, samples[done], bucket)
            end = len(samples) if bucket == len(EDGES) else bisect_right(samples, EDGES[bucket], done)
            self._buckets[bucket] += end - done
            done = end
        return samples

    @property
    def buckets(self) -> tuple[int, ...]:
        """How many samples took at most how long: one count for each of `EDGES`, and one beyond."""
        self._fold()
        return tuple(self._buckets)

    @property
    def seconds(self) -> float:
        """All samples together."""
        self._fold()
        return self._seconds

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


class MeterCell(Histogram):
    """One contract's counts. `others` counts the outcomes that are not a value."""

    __slots__ = ("_aim", "_late", "_late_errors", "contract", "others")

    def __init__(self, contract: Contract) -> None:
        super().__init__()
        self.contract = contract
        self.others: dict[Outcome, int] = {"failure": 0, "not_executed": 0, "unknown": 0}
        self._aim = contract.slo_p99
        self._late = 0
        self._late_errors = 0

    def record(self, outcome: Outcome, seconds: float) -> None:
        """Count one finished call."""
        pending = self._pending
        pending.append(seconds)
        if outcome != "value":
            self.others[outcome] += 1
            if self._aim is not None and seconds > self._aim and outcome != "failure":
                self._late_errors += 1
        if len(pending) >= PENDING_MOST:
            self._fold()

    def _fold(self) -> list[float]:
        samples = super()._fold()
        if self._aim is not None:
            self._late += len(samples) - bisect_right(samples, self._aim)
        return samples

    @property
    def outcomes(self) -> dict[Outcome, int]:
        """How many calls ended how."""
        return {"value": sum(self.buckets) - sum(self.others.values()), **self.others}

    @property
    def answered(self) -> tuple[int, int, int]:
        """How many calls have ended; how many of them in a value or a declared refusal; how many of these in time.

        In time: within the contract's `slo_p99`. Without one, all are.
        """
        total = sum(self.buckets)
        errors = self.others["not_executed"] + self.others["unknown"]
        return total, total - errors, total - errors - (self._late - self._late_errors)


class StoreMeter(Histogram):
    """One store's group commits: how long they took, how many units of work shared each (`sizes`, on `SIZE_EDGES`)."""

    __slots__ = ("failed", "sizes", "units")

    def __init__(self) -> None:
        super().__init__()
        self.units = 0
        self.failed = 0
        self.sizes = [0] * (len(SIZE_EDGES) + 1)

    def committed(self, units: int, seconds: float, *, well: bool) -> None:
        """Count one shared commit."""
        self.take(seconds)
        self.units += units
        self.failed += not well
        self.sizes[bisect_left(SIZE_EDGES, units)] += 1


class Meter:
    """The meters of one process. `cells`: by wire name. `stores`: by module."""

    def __init__(self) -> None:
        self.cells: dict[str, MeterCell] = {}
        self.stores: dict[str, StoreMeter] = {}

    def cell(self, contract: Contract) -> MeterCell:
        """Return the contract's meter."""
        found = self.cells.get(contract.wire_name)
        if found is None:
            found = self.cells[contract.wire_name] = MeterCell(contract)
        return found

    def store(self, module: str) -> StoreMeter:
        """Return the meter of a module's store."""
        return self.stores.setdefault(module, StoreMeter())

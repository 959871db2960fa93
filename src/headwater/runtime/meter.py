"""Light cells for the hot path: a count by outcome and a log-linear histogram, nothing else.

Four buckets to each power of two of microseconds, so a quantile is off by at most 19 %. Exporters
read the cells at their own pace.
"""

from __future__ import annotations

from headwater.model.context import Context
from headwater.model.contract import Contract
from headwater.ports.telemetry import Outcome

__all__ = ["Meter", "MeterCell"]

_BUCKETS = 4 * 40


class MeterCell:
    """One contract's counts. `others` counts the outcomes that are not a value."""

    __slots__ = ("buckets", "contract", "others", "seconds")

    def __init__(self, contract: Contract) -> None:
        self.contract = contract
        self.others: dict[Outcome, int] = {"failure": 0, "not_executed": 0, "unknown": 0}
        self.buckets = [0] * _BUCKETS
        self.seconds = 0.0

    def record(self, outcome: Outcome, seconds: float) -> None:
        """Count one finished call."""
        if outcome != "value":
            self.others[outcome] += 1
        self.seconds += seconds
        quarters = int(seconds * 4e6)  # of a microsecond, so that two bits are left below one
        power = quarters.bit_length()
        self.buckets[power * 4 + (quarters >> (power - 3) & 3) if power > 2 else quarters] += 1

    @property
    def outcomes(self) -> dict[Outcome, int]:
        """How many calls ended how."""
        return {"value": sum(self.buckets) - sum(self.others.values()), **self.others}

    def quantile(self, share: float) -> float:
        """Return the upper edge of the bucket that holds the quantile, in seconds; 0.0 when empty."""
        wanted = share * sum(self.buckets)
        seen = 0
        for index, count in enumerate(self.buckets):
            seen += count
            if count and seen >= wanted:
                power, quarter = divmod(index, 4)
                edge = index + 1 if power < 3 else (5 + quarter) << (power - 3)
                return edge / 4e6
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

"""Light cells for the hot path: a count by outcome and a log-linear histogram, nothing else.

Four buckets to each power of two, so a quantile is off by at most a quarter. Exporters read the
cells at their own pace.
"""

from __future__ import annotations

from math import frexp

from headwater.model.context import Context
from headwater.model.contract import Contract
from headwater.ports.telemetry import Outcome

__all__ = ["Meter", "MeterCell"]

_LEAST, _MOST = -33, 12
"""Powers of two of seconds that have buckets: from a tenth of a nanosecond to an hour."""
_OFFSET = -4 * _LEAST - 4


class MeterCell:
    """One contract's counts. `others` counts the outcomes that are not a value."""

    __slots__ = ("buckets", "contract", "others", "seconds")

    def __init__(self, contract: Contract) -> None:
        self.contract = contract
        self.others: dict[Outcome, int] = {"failure": 0, "not_executed": 0, "unknown": 0}
        self.buckets = [0] * (4 * (_MOST - _LEAST + 1))
        self.seconds = 0.0

    def record(self, outcome: Outcome, seconds: float) -> None:
        """Count one finished call."""
        if outcome != "value":
            self.others[outcome] += 1
        self.seconds += seconds
        share, power = frexp(seconds + 1e-10)  # seconds = share * 2**power, share from a half to one
        self.buckets[power * 4 + int(share * 8) + _OFFSET] += 1

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
                return float(2.0 ** (power + _LEAST) * (5 + quarter) / 8)
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

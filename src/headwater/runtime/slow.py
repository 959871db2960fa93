"""The statements that were slow, as a short list that stays short."""

from __future__ import annotations

from collections.abc import Sequence

from headwater.ports import SlowStatement
from headwater.runtime.records import plain_sql

__all__ = ["SlowStatements"]

LISTED_MOST = 200


class SlowStatements:
    """Counts statements that took at least `limit` seconds; when the list is full, the least of them goes."""

    def __init__(self, limit: float) -> None:
        self.limit = limit
        self._found: dict[tuple[str, str], list[float]] = {}

    def add(self, module: str, sql: str, seconds: float) -> None:
        """Note one that was slow."""
        row = self._found.get((module, sql))
        if row is None:
            if len(self._found) >= LISTED_MOST:
                del self._found[min(self._found, key=lambda key: self._found[key][2])]
            row = self._found[module, sql] = [0, 0.0, 0.0]
        row[0] += 1
        row[1] = max(row[1], seconds)
        row[2] += seconds

    def listed(self) -> Sequence[SlowStatement]:
        """Return them, those that took most time together first."""
        rows = [
            SlowStatement(sql=plain_sql(sql), module=module, count=int(count), most=most, total=total)
            for (module, sql), (count, most, total) in self._found.items()
        ]
        return sorted(rows, key=lambda row: row.total, reverse=True)

"""What the owner wants to know."""

from __future__ import annotations

from headwater import Query, Value, contract

__all__ = ["Revenue", "RevenueReport"]


class Revenue(Value):
    """Confirmed orders that were not cancelled, and what came back."""

    orders: int = 0
    units: int = 0
    revenue_cents: int = 0
    returned_units: int = 0
    refunded_cents: int = 0


@contract("reports.revenue", v=1, within="1s")
class RevenueReport(Query[Revenue]):
    """The figures so far; they follow the orders a moment later."""

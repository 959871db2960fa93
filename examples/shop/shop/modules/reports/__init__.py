"""What the owner wants to know: a projection of the events of orders and inventory."""

from __future__ import annotations

from headwater import Module, Tx, View
from shop.contracts.inventory import GoodsReturned
from shop.contracts.orders import OrderCancelled, OrderConfirmed
from shop.contracts.reports import Revenue, RevenueReport

__all__ = ["reports"]

reports = Module("reports", migrations="migrations")
revenue = reports.projection("revenue", tables=["revenue"])


@revenue.on(OrderConfirmed)
async def add(event: OrderConfirmed, tx: Tx) -> None:
    """Count a sale."""
    await _count(tx, Revenue(orders=1, units=event.units, revenue_cents=event.total_cents))


@revenue.on(OrderCancelled)
async def take_off(event: OrderCancelled, tx: Tx) -> None:
    """Take a sale off again, if it had been counted."""
    if event.confirmed:
        await _count(tx, Revenue(orders=-1, units=-event.units, revenue_cents=-event.total_cents))


@revenue.on(GoodsReturned)
async def add_return(event: GoodsReturned, tx: Tx) -> None:
    """Count what came back."""
    await _count(tx, Revenue(returned_units=event.units, refunded_cents=event.refunded_cents))


async def _count(tx: Tx, by: Revenue) -> None:
    await tx.execute(
        """insert into revenue values (1, :orders, :units, :cents, :returned, :refunded)
        on conflict (the_one) do update set orders = orders + :orders, units = units + :units,
            revenue_cents = revenue_cents + :cents, returned_units = returned_units + :returned,
            refunded_cents = refunded_cents + :refunded""",
        orders=by.orders, units=by.units, cents=by.revenue_cents,
        returned=by.returned_units, refunded=by.refunded_cents,
    )


@reports.handle(RevenueReport)
async def report(_query: RevenueReport, view: View) -> Revenue:
    """Read the figures."""
    found = await view.fetch_one(
        Revenue, "select orders, units, revenue_cents, returned_units, refunded_cents from revenue"
    )
    return found or Revenue()

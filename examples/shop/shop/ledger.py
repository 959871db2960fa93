"""Do the books of the modules agree? True at any moment of quiet, whatever happened before.

Each module counts its own rows again; here the sums of different modules are held against each other.
"""

from __future__ import annotations

from typing import Protocol, TypeVar

from headwater import Query
from shop.contracts.inventory import TotalsOfInventory
from shop.contracts.orders import TotalsOfOrders
from shop.contracts.payments import TotalsOfPayments
from shop.contracts.reports import RevenueReport

__all__ = ["Ask", "imbalances"]

R = TypeVar("R")


class Ask(Protocol):
    """Asks the running application: `ctx.ask`, `app.ask`, or anything alike."""

    async def __call__(self, message: Query[R], /) -> R:
        """Answer a query."""
        ...


async def imbalances(ask: Ask) -> list[str]:
    """Return one sentence for each figure that does not add up; an empty list when all do.

    Call it when every event has been handled and no send is due: in between, the modules are rightly apart.
    """
    stock = await ask(TotalsOfInventory())
    orders = await ask(TotalsOfOrders())
    money = await ask(TotalsOfPayments())
    report = await ask(RevenueReport())
    wrong = [f"stock of {product}: received + returned - sold - held is not on hand" for product in stock.off]
    for what, left, right in (
        ("units sold: inventory, orders", stock.sold_units, orders.confirmed_units),
        ("money kept: payments, orders", money.captured_cents - money.refunded_cents, orders.confirmed_cents),
        ("money for returns: payments, inventory", money.returned_cents, stock.refunded_cents),
        ("orders confirmed: reports, orders", report.orders, orders.confirmed_orders),
        ("units confirmed: reports, orders", report.units, orders.confirmed_units),
        ("revenue: reports, orders", report.revenue_cents, orders.confirmed_cents),
        ("units returned: reports, inventory", report.returned_units, stock.returned_units),
        ("money for returns: reports, inventory", report.refunded_cents, stock.refunded_cents),
    ):
        if left != right:
            wrong.append(f"{what}: {left} is not {right}")
    if stock.held_units < orders.pending_units:
        wrong.append(f"units held: {stock.held_units}, but pending orders have {orders.pending_units}")
    return wrong

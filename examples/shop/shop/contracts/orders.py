"""Orders: from placed to confirmed, declined or cancelled."""

from __future__ import annotations

from typing import Annotated, Literal

from headwater import Command, Event, Failure, Meta, Query, Value, contract
from shop.contracts.inventory import OutOfStock, Wanted
from shop.contracts.words import CustomerId, OrderId, RequestId, RequestReused

__all__ = [
    "CancelOrder", "NotCancellable", "Order", "OrderById", "OrderCancelled", "OrderConfirmed",
    "OrderDeclined", "OrderLine", "OrderNeverPlaced", "OrderPlaced", "OrderTotals", "PlaceOrder", "Status",
    "TotalsOfOrders", "UnknownOrder", "UnknownProduct",
]

Status = Literal["pending", "confirmed", "declined", "cancelled"]


class OrderLine(Value):
    """Units of one product at the price that was quoted when the order was placed."""

    product_id: str
    quantity: int
    price_cents: int


class Order(Value):
    """An order. `pending` until its payment is known."""

    order_id: str
    status: Status
    total_cents: int
    lines: tuple[OrderLine, ...]


class UnknownProduct(Failure, status=404):
    """The shop does not have this product."""

    product_id: str


class UnknownOrder(Failure, status=404):
    """There is no such order."""

    order_id: str


class NotCancellable(Failure, status=409):
    """The order has come to another end already."""

    order_id: str
    status: str


@contract(
    "orders.place", v=1, fails=(UnknownProduct, OutOfStock, RequestReused), idempotent="request_id", slo_p99="250ms",
    availability=0.999,
)
class PlaceOrder(Command[Order]):
    """Buy. Lines of one product count together; prices are the catalogue's at this moment."""

    request_id: RequestId
    lines: Annotated[tuple[Wanted, ...], Meta(min_length=1, max_length=5_000)]
    customer_id: CustomerId | None = None


@contract("orders.by_id", v=1, within="1s")
class OrderById(Query[Order | None]):
    """One order, None when there is no such."""

    order_id: OrderId


@contract("orders.cancel", v=1, fails=(UnknownOrder, NotCancellable))
class CancelOrder(Command[Order]):
    """Cancel an order, paid or not: money and stock go back. Doing it twice cancels once."""

    order_id: OrderId


@contract("orders.placed", v=1, key="order_id")
class OrderPlaced(Event):
    """An order was placed and waits for its payment."""

    order_id: str
    customer_id: str | None
    total_cents: int


@contract("orders.confirmed", v=1, key="order_id")
class OrderConfirmed(Event):
    """An order was paid."""

    order_id: str
    units: int
    total_cents: int


@contract("orders.declined", v=1, key="order_id")
class OrderDeclined(Event):
    """An order could not be paid."""

    order_id: str


@contract("orders.cancelled", v=1, key="order_id")
class OrderCancelled(Event):
    """An order was cancelled; `confirmed` tells whether it had been confirmed before."""

    order_id: str
    units: int
    total_cents: int
    confirmed: bool


@contract("orders.never_placed", v=1, key="order_id")
class OrderNeverPlaced(Event):
    """There is no such order; said of a hold that had lapsed, and of no later one."""

    order_id: str
    held_until: float


class OrderTotals(Value):
    """The books of the orders."""

    pending_orders: int
    pending_units: int
    confirmed_orders: int
    confirmed_units: int
    confirmed_cents: int


@contract("orders.totals", v=1)
class TotalsOfOrders(Query[OrderTotals]):
    """Count everything again, from the orders."""

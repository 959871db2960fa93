"""What lies on the shelves: receipts, reservations, returns."""

from __future__ import annotations

from typing import Annotated

from headwater import Command, Event, Failure, Meta, Query, Value, contract
from shop.contracts.words import Cents, OrderId, ProductId, Quantity, RequestId, RequestReused

__all__ = [
    "EndHold", "GoodsReturned", "HoldLapsed", "InventoryTotals", "OutOfStock", "ReceiveStock", "Reserve",
    "Return", "ReturnById", "ReturnGoods", "ReturnLine", "Stock", "StockOf", "TotalsOfInventory", "Wanted",
]


class Stock(Value):
    """How many units of a product can still be sold."""

    product_id: str
    on_hand: int


class Wanted(Value):
    """So many units of a product."""

    product_id: ProductId
    quantity: Quantity


class ReturnLine(Value):
    """Units that came back, and the price that is paid back for each."""

    product_id: ProductId
    quantity: Quantity
    price_cents: Cents


class Return(Value):
    """Goods that came back."""

    return_id: str
    units: int
    refunded_cents: int


class OutOfStock(Failure, status=409):
    """There are not enough units of the product; nothing was reserved."""

    product_id: str
    on_hand: int


@contract("inventory.receive", v=1, fails=(RequestReused,), idempotent="request_id")
class ReceiveStock(Command[Stock]):
    """Put delivered units on the shelf."""

    request_id: RequestId
    product_id: ProductId
    quantity: Quantity


@contract("inventory.stock_of", v=1, within="1s")
class StockOf(Query[Stock | None]):
    """The stock of one product, None when it was never stocked."""

    product_id: ProductId


@contract("inventory.reserve", v=1, fails=(OutOfStock, RequestReused), within="3s")
class Reserve(Command[None]):
    """Hold units for an order that is about to be placed; all of them or none.

    Doing it twice holds once. A hold whose order was not placed is given back after ten minutes,
    and may then be taken again.
    """

    order_id: OrderId
    lines: tuple[Wanted, ...]


@contract("inventory.end_hold", v=1)
class EndHold(Command[None]):
    """Look after a hold whose time should be over."""

    order_id: OrderId


@contract("inventory.hold_lapsed", v=1, key="order_id")
class HoldLapsed(Event):
    """The time of a hold is over and nothing was heard of its order."""

    order_id: str
    held_until: float


@contract("inventory.return", v=1, fails=(RequestReused,), idempotent="request_id")
class ReturnGoods(Command[Return]):
    """Take goods back on the shelf, at the prices that are paid back."""

    request_id: RequestId
    lines: Annotated[tuple[ReturnLine, ...], Meta(min_length=1, max_length=5_000)]


@contract("inventory.return_by_id", v=1, within="1s")
class ReturnById(Query[Return | None]):
    """One return, None when there is no such."""

    return_id: OrderId


@contract("inventory.returned", v=1, key="return_id")
class GoodsReturned(Event):
    """Goods came back and were paid for."""

    return_id: str
    units: int
    refunded_cents: int


class InventoryTotals(Value):
    """The books of the shelves. `off` names products whose movements do not add up to their stock."""

    held_units: int
    sold_units: int
    returned_units: int
    refunded_cents: int
    off: tuple[str, ...]


@contract("inventory.totals", v=1)
class TotalsOfInventory(Query[InventoryTotals]):
    """Count everything again, from the movements."""

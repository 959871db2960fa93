"""What lies on the shelves. Stock never goes below zero, and no hold is kept for an order that is not there.

A hold is made before its order exists, so the order may never come: the process can die in between.
Each hold therefore carries its end, and leaves a durable command that looks after it then:

    held --EndHold--> HoldLapsed --orders: no such order--> OrderNeverPlaced --> given back

An order commits within its own deadline of a few seconds after its hold, or not at all. So an order that is
not there ten minutes later will not come, unless a repeat of the request has renewed the hold meanwhile;
then `held_until` has moved on, and the answer about the old hold is of no concern.
"""

from __future__ import annotations

from headwater import Ctx, Module, Tx, View
from shop.contracts.inventory import (
    EndHold,
    GoodsReturned,
    HoldLapsed,
    InventoryTotals,
    OutOfStock,
    ReceiveStock,
    Reserve,
    Return,
    ReturnById,
    ReturnGoods,
    Stock,
    StockOf,
    TotalsOfInventory,
    Wanted,
)
from shop.contracts.orders import OrderCancelled, OrderConfirmed, OrderDeclined, OrderNeverPlaced
from shop.contracts.words import RequestReused, id_of

__all__ = ["HOLD_SECONDS", "inventory"]

HOLD_SECONDS = 600.0

_LINES = """(select value ->> 'product_id' as product_id, sum(value ->> 'quantity') as quantity
from json_each(:lines) group by 1) as line"""
_TAKE = f"""update stock set on_hand = on_hand - line.quantity from {_LINES}
where stock.product_id = line.product_id"""  # noqa: S608 - only our own words
_PUT = f"""insert into stock (product_id, on_hand) select product_id, quantity from {_LINES}
where true on conflict (product_id) do update set on_hand = on_hand + excluded.on_hand"""  # noqa: S608
_SHORT = f"""select line.product_id, coalesce(on_hand, 0) as on_hand
from {_LINES} left join stock using (product_id)
where coalesce(on_hand, 0) < line.quantity order by 1 limit 1"""  # noqa: S608

inventory = Module("inventory", migrations="migrations")


@inventory.handle(ReceiveStock)
async def receive(cmd: ReceiveStock, tx: Tx) -> Stock:
    """Book a delivery and put it on the shelf."""
    row = {"request_id": cmd.request_id, "product_id": cmd.product_id, "quantity": cmd.quantity}
    if await tx.execute(
        "insert into receipt values (:request_id, :product_id, :quantity) on conflict do nothing", **row
    ):
        await tx.execute(_PUT, lines=(Wanted(product_id=cmd.product_id, quantity=cmd.quantity),))
    elif not await tx.fetch_one(
        int,
        """select 1 from receipt where request_id = :request_id
        and product_id = :product_id and quantity = :quantity""",
        **row,
    ):
        raise RequestReused(request_id=cmd.request_id)
    stock = await tx.fetch_one(Stock, "select * from stock where product_id = :id", id=cmd.product_id)
    assert stock is not None
    return stock


@inventory.handle(StockOf)
async def stock_of(query: StockOf, view: View) -> Stock | None:
    """Look at the shelf."""
    return await view.fetch_one(Stock, "select * from stock where product_id = :id", id=query.product_id)


@inventory.handle(Reserve)
async def reserve(cmd: Reserve, ctx: Ctx, tx: Tx) -> None:
    """Hold all lines or none, and see to it that the hold ends."""
    until = ctx.now().timestamp() + HOLD_SECONDS
    known = await tx.fetch_one(int, "select 1 from reservation where order_id = :id", id=cmd.order_id)
    if known is None:
        short = await tx.fetch_one(Stock, _SHORT, lines=cmd.lines)
        if short is not None:
            raise OutOfStock(product_id=short.product_id, on_hand=short.on_hand)
        await tx.execute(_TAKE, lines=cmd.lines)
        await tx.execute(
            "insert into reservation values (:id, 'held', :until, :lines)",
            id=cmd.order_id, until=until, lines=cmd.lines,
        )
    elif not await tx.execute(
        "update reservation set held_until = :until where order_id = :id and lines = :lines",
        id=cmd.order_id, until=until, lines=cmd.lines,
    ):
        raise RequestReused(request_id=cmd.order_id)
    await tx.send(EndHold(order_id=cmd.order_id), after=HOLD_SECONDS + 1)


@inventory.handle(EndHold)
async def end_hold(cmd: EndHold, ctx: Ctx, tx: Tx) -> None:
    """Ask about a hold whose time is over; orders knows whether its order is there."""
    until = await tx.fetch_one(
        float,
        "select held_until from reservation where order_id = :id and state = 'held' and held_until <= :now",
        id=cmd.order_id, now=ctx.now().timestamp(),
    )
    if until is not None:
        await tx.emit(HoldLapsed(order_id=cmd.order_id, held_until=until))


@inventory.on(OrderNeverPlaced)
async def release_unplaced(event: OrderNeverPlaced, tx: Tx) -> None:
    """Give back and forget a hold without an order, unless it was renewed."""
    lines = await tx.fetch_one(
        str,
        "select lines from reservation where order_id = :id and state = 'held' and held_until = :until",
        id=event.order_id, until=event.held_until,
    )
    if lines is not None:
        await tx.execute(_PUT, lines=lines)
        await tx.execute("delete from reservation where order_id = :id", id=event.order_id)


@inventory.on(OrderConfirmed)
async def sell(event: OrderConfirmed, tx: Tx) -> None:
    """Turn the hold into a sale; not when the news of its cancellation came first."""
    await tx.execute(
        "update reservation set state = 'sold' where order_id = :id and state = 'held'", id=event.order_id
    )


@inventory.on(OrderDeclined)
async def release_declined(event: OrderDeclined, tx: Tx) -> None:
    """Give back what was not paid."""
    await _release(event.order_id, tx)


@inventory.on(OrderCancelled)
async def release_cancelled(event: OrderCancelled, tx: Tx) -> None:
    """Give back what was cancelled, sold or not."""
    await _release(event.order_id, tx)


async def _release(order_id: str, tx: Tx) -> None:
    lines = await tx.fetch_one(
        str, "select lines from reservation where order_id = :id and state <> 'released'", id=order_id
    )
    if lines is not None:
        await tx.execute("update reservation set state = 'released' where order_id = :id", id=order_id)
        await tx.execute(_PUT, lines=lines)


@inventory.handle(ReturnGoods)
async def take_back(cmd: ReturnGoods, tx: Tx) -> Return:
    """Put returned goods on the shelf and tell what was paid back for them."""
    returned = Return(
        return_id=id_of(cmd.request_id),
        units=sum(line.quantity for line in cmd.lines),
        refunded_cents=sum(line.quantity * line.price_cents for line in cmd.lines),
    )
    if await tx.execute(
        "insert into goods_return values (:id, :units, :cents, :lines) on conflict do nothing",
        id=returned.return_id, units=returned.units, cents=returned.refunded_cents, lines=cmd.lines,
    ):
        await tx.execute(_PUT, lines=cmd.lines)
        await tx.emit(
            GoodsReturned(
                return_id=returned.return_id, units=returned.units, refunded_cents=returned.refunded_cents
            )
        )
    elif not await tx.fetch_one(
        int, "select 1 from goods_return where return_id = :id and lines = :lines",
        id=returned.return_id, lines=cmd.lines,
    ):
        raise RequestReused(request_id=cmd.request_id)
    return returned


@inventory.handle(ReturnById)
async def return_by_id(query: ReturnById, view: View) -> Return | None:
    """Find one return."""
    return await view.fetch_one(
        Return, "select return_id, units, refunded_cents from goods_return where return_id = :id",
        id=query.return_id,
    )


_TOTALS = """
with reserved as (
    select state, value ->> 'product_id' as product_id, value ->> 'quantity' as quantity
    from reservation, json_each(reservation.lines) where state <> 'released'
), movement as (
    select product_id, quantity from receipt
    union all select product_id, -quantity from reserved
    union all select value ->> 'product_id', value ->> 'quantity'
    from goods_return, json_each(goods_return.lines)
    union all select product_id, -on_hand from stock
)
select
    (select coalesce(sum(quantity), 0) from reserved where state = 'held') as held_units,
    (select coalesce(sum(quantity), 0) from reserved where state = 'sold') as sold_units,
    (select coalesce(sum(units), 0) from goods_return) as returned_units,
    (select coalesce(sum(refunded_cents), 0) from goods_return) as refunded_cents,
    (select json_group_array(product_id) from (
        select product_id from movement group by product_id having sum(quantity) <> 0 order by product_id
    )) as off
"""


@inventory.handle(TotalsOfInventory)
async def totals(_query: TotalsOfInventory, view: View) -> InventoryTotals:
    """Count again: received + returned - sold - held must be on hand, product by product."""
    found = await view.fetch_one(InventoryTotals, _TOTALS)
    assert found is not None
    return found

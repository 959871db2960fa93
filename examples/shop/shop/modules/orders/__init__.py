"""Orders. An order keeps the prices it was quoted; what becomes of it is decided here, once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from headwater import Ctx, Module, Tx, Value, View
from shop.contracts.catalog import Price, PricesOf
from shop.contracts.inventory import HoldLapsed, Reserve, Wanted
from shop.contracts.orders import (
    CancelOrder,
    NotCancellable,
    Order,
    OrderById,
    OrderCancelled,
    OrderConfirmed,
    OrderDeclined,
    OrderLine,
    OrderNeverPlaced,
    OrderPlaced,
    OrderTotals,
    PlaceOrder,
    Status,
    TotalsOfOrders,
    UnknownOrder,
    UnknownProduct,
)
from shop.contracts.payments import PaymentCaptured, PaymentDeclined
from shop.contracts.words import id_of

__all__ = ["orders"]

orders = Module("orders", uses=["catalog", "inventory"], migrations="migrations")

_ORDER = """select order_id, status, total_cents, (
    select json_group_array(
        json_object('product_id', product_id, 'quantity', quantity, 'price_cents', price_cents) order by line
    ) from order_line where order_line.order_id = orders.order_id
) as lines from orders where order_id = :order_id"""


@orders.handle(PlaceOrder)
async def place(cmd: PlaceOrder, ctx: Ctx, tx: Tx) -> Order:
    """Take the prices, hold the stock, write the order down; the payment follows from the event."""
    wanted = _summed(cmd.lines)
    order_id = id_of(cmd.request_id)
    lines = _priced(wanted, await ctx.ask(PricesOf(product_ids=tuple(wanted))))
    held = tuple(Wanted(product_id=product_id, quantity=quantity) for product_id, quantity in wanted.items())
    await ctx.call(Reserve(order_id=order_id, lines=held))
    order = Order(
        order_id=order_id, status="pending", lines=lines,
        total_cents=sum(line.quantity * line.price_cents for line in lines),
    )
    if await tx.execute(
        "insert into orders values (:id, :customer, 'pending', :units, :total) on conflict do nothing",
        id=order_id, customer=cmd.customer_id, units=wanted.total(), total=order.total_cents,
    ):
        await tx.execute(
            """insert into order_line select :id, key, value ->> 'product_id', value ->> 'quantity',
            value ->> 'price_cents' from json_each(:lines)""",
            id=order_id, lines=lines,
        )
        await tx.emit(
            OrderPlaced(order_id=order_id, customer_id=cmd.customer_id, total_cents=order.total_cents)
        )
        return order
    return await _the_order(order_id, tx)  # a repeat that ran beside the first, or long after it


def _summed(lines: Sequence[Wanted]) -> Counter[str]:
    wanted: Counter[str] = Counter()
    for line in lines:
        wanted[line.product_id] += line.quantity
    return wanted


def _priced(wanted: Mapping[str, int], prices: Sequence[Price]) -> tuple[OrderLine, ...]:
    cents = {price.product_id: price.price_cents for price in prices}
    for product_id in wanted:
        if product_id not in cents:
            raise UnknownProduct(product_id=product_id)
    return tuple(
        OrderLine(product_id=product_id, quantity=quantity, price_cents=cents[product_id])
        for product_id, quantity in wanted.items()
    )


async def _the_order(order_id: str, rows: View | Tx) -> Order:
    order = await rows.fetch_one(Order, _ORDER, order_id=order_id)
    if order is None:
        raise UnknownOrder(order_id=order_id)
    return order


@orders.handle(OrderById)
async def by_id(query: OrderById, view: View) -> Order | None:
    """Find one order."""
    return await view.fetch_one(Order, _ORDER, order_id=query.order_id)


class _Sale(Value):
    order_id: str
    units: int
    total_cents: int


async def _move(tx: Tx, order_id: str, *, before: Status, after: Status) -> _Sale | None:
    """Change the status, unless somebody was faster: then None."""
    if not await tx.execute(
        "update orders set status = :after where order_id = :id and status = :before",
        id=order_id, before=before, after=after,
    ):
        return None
    return await tx.fetch_one(
        _Sale, "select order_id, units, total_cents from orders where order_id = :id", id=order_id
    )


@orders.handle(CancelOrder)
async def cancel(cmd: CancelOrder, tx: Tx) -> Order:
    """Cancel; payments and inventory give money and goods back when they hear of it."""
    order = await _the_order(cmd.order_id, tx)
    if order.status == "declined":
        raise NotCancellable(order_id=order.order_id, status=order.status)
    sale = None
    if order.status != "cancelled":
        sale = await _move(tx, order.order_id, before=order.status, after="cancelled")
    if sale is not None:
        await tx.emit(
            OrderCancelled(
                order_id=sale.order_id, units=sale.units, total_cents=sale.total_cents,
                confirmed=order.status == "confirmed",
            )
        )
    return await _the_order(cmd.order_id, tx)


@orders.on(PaymentCaptured)
async def confirm(event: PaymentCaptured, tx: Tx) -> None:
    """Confirm; an order cancelled meanwhile stays cancelled, and payments refunds it."""
    sale = await _move(tx, event.order_id, before="pending", after="confirmed")
    if sale is not None:
        await tx.emit(OrderConfirmed(order_id=sale.order_id, units=sale.units, total_cents=sale.total_cents))


@orders.on(PaymentDeclined)
async def decline(event: PaymentDeclined, tx: Tx) -> None:
    """Decline, unless it was cancelled meanwhile."""
    if await _move(tx, event.order_id, before="pending", after="declined"):
        await tx.emit(OrderDeclined(order_id=event.order_id))


@orders.on(HoldLapsed)
async def answer_for_hold(event: HoldLapsed, tx: Tx) -> None:
    """Tell when there is no order behind a hold."""
    if await tx.fetch_one(int, "select 1 from orders where order_id = :id", id=event.order_id) is None:
        await tx.emit(OrderNeverPlaced(order_id=event.order_id, held_until=event.held_until))


@orders.handle(TotalsOfOrders)
async def totals(_query: TotalsOfOrders, view: View) -> OrderTotals:
    """Sum up what is pending and what is confirmed."""
    found = await view.fetch_one(
        OrderTotals,
        """select count(*) filter (where status = 'pending') as pending_orders,
            coalesce(sum(units) filter (where status = 'pending'), 0) as pending_units,
            count(*) filter (where status = 'confirmed') as confirmed_orders,
            coalesce(sum(units) filter (where status = 'confirmed'), 0) as confirmed_units,
            coalesce(sum(total_cents) filter (where status = 'confirmed'), 0) as confirmed_cents
        from orders""",
    )
    assert found is not None
    return found

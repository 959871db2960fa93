"""Payments. What is owed is written down first, then the gateway is asked, then the answer is booked.

The gateway is never asked inside a transaction: an event leaves a durable command, which waits for the
gateway before it touches the database. Its key is the order's id, so asking twice moves money once.

    due -> captured -> refunding -> refunded        captured, then cancelled
    due -> declined
    due -> void                                     cancelled before it was charged
    void -> refunding -> refunded                   cancelled while the gateway was being asked
"""

from __future__ import annotations

from typing import Annotated

from headwater import Ctx, Module, Tx, Use, View
from shop.contracts.inventory import GoodsReturned
from shop.contracts.orders import OrderCancelled, OrderPlaced
from shop.contracts.payments import (
    Charge,
    Payment,
    PaymentCaptured,
    PaymentDeclined,
    PaymentOf,
    PaymentState,
    PaymentTotals,
    Refund,
    TotalsOfPayments,
)
from shop.modules.payments.gateway import Gateway, scripted

__all__ = ["payments"]

payments = Module("payments", migrations="migrations")


@payments.on(OrderPlaced)
async def owe(event: OrderPlaced, tx: Tx) -> None:
    """Write down what is owed; nothing is, when the news of the cancellation came first."""
    if await tx.execute(
        "insert into payment values (:id, :customer, :cents, 'due') on conflict do nothing",
        id=event.order_id, customer=event.customer_id, cents=event.total_cents,
    ):
        await tx.send(Charge(order_id=event.order_id))


@payments.handle(Charge)
async def charge(cmd: Charge, ctx: Ctx, tx: Tx, gateway: Annotated[Gateway, Use(scripted)]) -> None:
    """Ask the gateway, then book its answer."""
    payment = await ctx.ask(PaymentOf(order_id=cmd.order_id))
    if payment is None or payment.state != "due":
        return
    paid = await gateway.charge(key=payment.order_id, customer_id=payment.customer_id, cents=payment.cents)
    if not paid:
        if await _move(tx, payment.order_id, before="due", after="declined"):
            await tx.emit(PaymentDeclined(order_id=payment.order_id))
    elif await _move(tx, payment.order_id, before="due", after="captured"):
        await _book(tx, "capture", payment.order_id, payment.cents)
        await tx.emit(PaymentCaptured(order_id=payment.order_id))
    elif await _move(tx, payment.order_id, before="void", after="refunding"):
        await _book(tx, "capture", payment.order_id, payment.cents)
        await tx.send(Refund(order_id=payment.order_id))


@payments.on(OrderCancelled)
async def settle(event: OrderCancelled, tx: Tx) -> None:
    """Give the money back, or see to it that none is taken."""
    await tx.execute(
        """insert into payment values (:id, null, :cents, 'void')
        on conflict (order_id) do update set state = 'void' where state = 'due'""",
        id=event.order_id, cents=event.total_cents,
    )
    if await _move(tx, event.order_id, before="captured", after="refunding"):
        await tx.send(Refund(order_id=event.order_id))


@payments.handle(Refund)
async def refund(cmd: Refund, ctx: Ctx, tx: Tx, gateway: Annotated[Gateway, Use(scripted)]) -> None:
    """Have the gateway give the money back, then book it."""
    payment = await ctx.ask(PaymentOf(order_id=cmd.order_id))
    if payment is None or payment.state != "refunding":
        return
    await gateway.refund(key=payment.order_id, cents=payment.cents)
    if await _move(tx, payment.order_id, before="refunding", after="refunded"):
        await _book(tx, "refund", payment.order_id, payment.cents)


@payments.on(GoodsReturned)
async def pay_back(event: GoodsReturned, tx: Tx) -> None:
    """Book what was paid for goods that came back."""
    await _book(tx, "return", event.return_id, event.refunded_cents)


async def _move(tx: Tx, order_id: str, *, before: PaymentState, after: PaymentState) -> bool:
    """Change the state, unless somebody was faster."""
    moved = await tx.execute(
        "update payment set state = :after where order_id = :id and state = :before",
        id=order_id, before=before, after=after,
    )
    return moved == 1


async def _book(tx: Tx, kind: str, subject: str, cents: int) -> None:
    await tx.execute(
        "insert into ledger (kind, subject, cents) values (:kind, :subject, :cents)",
        kind=kind, subject=subject, cents=cents,
    )


@payments.handle(PaymentOf)
async def payment_of(query: PaymentOf, view: View) -> Payment | None:
    """Find the payment of one order."""
    return await view.fetch_one(Payment, "select * from payment where order_id = :id", id=query.order_id)


@payments.handle(TotalsOfPayments)
async def totals(_query: TotalsOfPayments, view: View) -> PaymentTotals:
    """Sum up the ledger."""
    found = await view.fetch_one(
        PaymentTotals,
        """select coalesce(sum(cents) filter (where kind = 'capture'), 0) as captured_cents,
            coalesce(sum(cents) filter (where kind = 'refund'), 0) as refunded_cents,
            coalesce(sum(cents) filter (where kind = 'return'), 0) as returned_cents
        from ledger""",
    )
    assert found is not None
    return found

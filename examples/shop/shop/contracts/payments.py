"""Payments: asked of the gateway, booked in a ledger."""

from __future__ import annotations

from typing import Literal

from headwater import Command, Event, Query, Value, contract
from shop.contracts.words import OrderId

__all__ = [
    "Charge", "Payment", "PaymentCaptured", "PaymentDeclined", "PaymentOf", "PaymentState", "PaymentTotals",
    "Refund", "TotalsOfPayments",
]

PaymentState = Literal["due", "captured", "declined", "void", "refunding", "refunded"]


class Payment(Value):
    """What an order owes or has paid. `void`: the order was cancelled before it was charged."""

    order_id: str
    customer_id: str | None
    cents: int
    state: PaymentState


@contract("payments.of", v=1, within="1s")
class PaymentOf(Query[Payment | None]):
    """The payment of one order, None before it is known here."""

    order_id: OrderId


@contract("payments.charge", v=1, within="10s")
class Charge(Command[None]):
    """Ask the gateway for the money of an order."""

    order_id: OrderId


@contract("payments.refund", v=1, within="10s")
class Refund(Command[None]):
    """Have the gateway give the money of a cancelled order back."""

    order_id: OrderId


@contract("payments.captured", v=1, key="order_id")
class PaymentCaptured(Event):
    """The money is ours."""

    order_id: str


@contract("payments.declined", v=1, key="order_id")
class PaymentDeclined(Event):
    """The gateway refused."""

    order_id: str


class PaymentTotals(Value):
    """The books of the money; `returned_cents` was paid for goods that came back."""

    captured_cents: int
    refunded_cents: int
    returned_cents: int


@contract("payments.totals", v=1)
class TotalsOfPayments(Query[PaymentTotals]):
    """Sum up the ledger."""

"""Whom the shop knows: everybody who has ordered under a customer id."""

from __future__ import annotations

from headwater import Query, Value, contract
from shop.contracts.words import CustomerId

__all__ = ["Customer", "CustomerById"]


class Customer(Value):
    """A customer: orders placed, and money spent in those that were confirmed and not cancelled."""

    customer_id: str
    orders: int
    spent_cents: int


@contract("customers.by_id", v=1, within="1s")
class CustomerById(Query[Customer | None]):
    """One customer, None before the first order."""

    customer_id: CustomerId

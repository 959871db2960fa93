"""Whom the shop knows: a read model of who ordered what, filled from the events of orders."""

from __future__ import annotations

from headwater import Module, Tx, View
from shop.contracts.customers import Customer, CustomerById
from shop.contracts.orders import OrderCancelled, OrderConfirmed, OrderPlaced

__all__ = ["customers"]

customers = Module("customers", migrations="migrations")
history = customers.projection("history", tables=["customer_order"])


@history.on(OrderPlaced)
async def placed(event: OrderPlaced, tx: Tx) -> None:
    """Remember the order; who orders as a guest stays unknown."""
    if event.customer_id is not None:
        await tx.execute(
            "insert into customer_order values (:order_id, :customer_id, :cents, 'pending')",
            order_id=event.order_id, customer_id=event.customer_id, cents=event.total_cents,
        )


@history.on(OrderConfirmed)
async def confirmed(event: OrderConfirmed, tx: Tx) -> None:
    """The customer has bought."""
    await tx.execute("update customer_order set status = 'confirmed' where order_id = :id", id=event.order_id)


@history.on(OrderCancelled)
async def cancelled(event: OrderCancelled, tx: Tx) -> None:
    """The customer has thought again."""
    await tx.execute("update customer_order set status = 'cancelled' where order_id = :id", id=event.order_id)


@customers.handle(CustomerById)
async def by_id(query: CustomerById, view: View) -> Customer | None:
    """Find one customer."""
    return await view.fetch_one(
        Customer,
        """select customer_id, count(*) as orders,
            coalesce(sum(total_cents) filter (where status = 'confirmed'), 0) as spent_cents
        from customer_order where customer_id = :id group by customer_id""",
        id=query.customer_id,
    )

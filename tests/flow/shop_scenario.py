"""The shop under trouble: buyers, cancellations, returns, price changes; and the books at the end."""

from __future__ import annotations

import asyncio

from headwater import Failure
from headwater.testing.world import World
from shop.app import app
from shop.contracts.catalog import PutProduct
from shop.contracts.inventory import ReceiveStock, Return, ReturnGoods, ReturnLine, StockOf, Wanted
from shop.contracts.orders import CancelOrder, Order, OrderById, PlaceOrder
from shop.ledger import imbalances

__all__ = ["app", "ledger"]

PRODUCTS = ("lamp", "pen")


async def ledger(world: World) -> None:
    """Whatever happens, stock and money balance, nothing acknowledged is lost, nothing is doubled."""
    chance = world.random
    received = dict.fromkeys(PRODUCTS, 0)
    for product in PRODUCTS:
        await world.call(PutProduct(product_id=product, description=product, price_cents=chance.randrange(1, 500)))
        received[product] = chance.randrange(1, 12)
        await world.call(ReceiveStock(request_id=f"stock-{product}", product_id=product, quantity=received[product]))
    placed: dict[str, Order] = {}
    returned: list[Return] = []

    async def buyer(number: int) -> None:
        for turn in range(3):
            await asyncio.sleep(chance.uniform(0.0, 2.0))
            try:
                await visit(f"{number}-{turn}")
            except Failure:
                pass

    async def visit(name: str) -> None:
        doing = chance.random()
        if doing < 0.1:
            await world.call(
                PutProduct(product_id="pen", description="pen", price_cents=chance.randrange(1, 500))
            )
        elif doing < 0.2:
            line = ReturnLine(product_id=chance.choice(PRODUCTS), quantity=1, price_cents=5)
            returned.append(await world.call(ReturnGoods(request_id=name, lines=(line,))))
        else:
            wanted = Wanted(product_id=chance.choice(PRODUCTS), quantity=chance.randrange(1, 5))
            customer = chance.choice(("ada", "bob", "decline-me"))
            order = await world.call(PlaceOrder(request_id=name, customer_id=customer, lines=(wanted,)))
            assert placed.setdefault(order.order_id, order).lines == order.lines
            if chance.random() < 0.3:
                await world.call(CancelOrder(order_id=order.order_id))

    await asyncio.gather(*(buyer(number) for number in range(4)))
    await world.settled()
    wrong = await imbalances(world.ask)
    assert not wrong, wrong
    for order_id, order in placed.items():
        found = await world.ask(OrderById(order_id=order_id))
        assert found is not None, f"acknowledged order {order_id} is lost"
        assert found.total_cents == order.total_cents
        assert found.status != "pending", f"order {order_id} never came to an end"
    for product in PRODUCTS:
        stock = await world.ask(StockOf(product_id=product))
        assert stock is not None
        assert 0 <= stock.on_hand <= received[product] + len(returned)

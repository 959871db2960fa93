"""The shop in one process: every event twice and late, every call encoded, and the books must agree."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from headwater.adapters.system import SystemClock
from headwater.errors import InvalidMessage
from headwater.model.identity import Identity
from headwater.runtime.node import Node
from headwater.runtime.parts import DeliveryFaults
from headwater.topology.check import check_app
from shop.app import app
from shop.contracts.catalog import ProductById, PutProduct, SearchProducts
from shop.contracts.customers import CustomerById
from shop.contracts.inventory import (
    EndHold,
    OutOfStock,
    ReceiveStock,
    Reserve,
    ReturnById,
    ReturnGoods,
    ReturnLine,
    StockOf,
    Wanted,
)
from shop.contracts.orders import (
    CancelOrder,
    NotCancellable,
    Order,
    OrderById,
    PlaceOrder,
    UnknownOrder,
    UnknownProduct,
)
from shop.contracts.payments import PaymentOf
from shop.contracts.reports import Revenue, RevenueReport
from shop.contracts.words import RequestReused, id_of
from shop.ledger import imbalances
from shop.modules.inventory import HOLD_SECONDS
from shop.modules.payments.gateway import DECLINED_CUSTOMER, ScriptedGateway, scripted
from tests.flow.house import running


class Shop:
    """The running shop, with the verbs a test wants."""

    def __init__(self, node: Node) -> None:
        self.node = node

    async def do(self, message: Any, **context: Any) -> Any:
        return await self.node.dispatch(message, self.node.context(**context))

    async def stocked(self, product_id: str, quantity: int, price_cents: int = 250) -> None:
        await self.do(PutProduct(product_id=product_id, description=f"a {product_id}", price_cents=price_cents))
        await self.do(ReceiveStock(request_id=f"receipt {product_id}", product_id=product_id, quantity=quantity))

    async def order(self, request_id: str, product_id: str, quantity: int = 1, customer: str | None = None) -> Order:
        line = Wanted(product_id=product_id, quantity=quantity)
        placed: Order = await self.do(PlaceOrder(request_id=request_id, customer_id=customer, lines=(line,)))
        return placed

    async def on_hand(self, product_id: str) -> int:
        stock = await self.do(StockOf(product_id=product_id))
        return int(stock.on_hand)

    async def status(self, order: Order) -> str:
        return str((await self.do(OrderById(order_id=order.order_id))).status)

    async def balanced(self) -> None:
        await self.node.settled(within=20)
        assert await imbalances(self.do) == []


@asynccontextmanager
async def open_shop(folder: Path, **options: Any) -> AsyncIterator[Shop]:
    settings = {"encode": True, "faults": DeliveryFaults(duplicate=1.0, delay=0.005), **options}
    async with running(folder, *app.modules, **settings) as node:
        yield Shop(node)


class SlowGateway(ScriptedGateway):
    """Answers when it is let go, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.go = asyncio.Event()
        self.calls: list[str] = []

    async def charge(self, *, key: str, customer_id: str | None, cents: int) -> bool:
        self.calls.append(key)
        self.asked.set()
        await self.go.wait()
        return await super().charge(key=key, customer_id=customer_id, cents=cents)


class TurnedClock(SystemClock):
    """The wall clock, some time ahead."""

    ahead = 0.0

    def now(self) -> datetime:
        return super().now() + timedelta(seconds=self.ahead)


async def test_an_order_is_confirmed_and_reported(tmp_path: Path) -> None:
    """An order takes prices, stock and money, and every module's books agree about it."""
    async with open_shop(tmp_path) as shop:
        await shop.stocked("mug", 10, price_cents=199)
        await shop.stocked("tea", 10, price_cents=350)
        lines = tuple(Wanted(product_id=p, quantity=q) for p, q in (("mug", 2), ("tea", 1), ("mug", 1)))
        placed = await shop.do(PlaceOrder(request_id="r1", customer_id="ada", lines=lines))
        assert placed.status == "pending"
        assert placed.total_cents == 3 * 199 + 350
        assert [(line.product_id, line.quantity, line.price_cents) for line in placed.lines] == [
            ("mug", 3, 199), ("tea", 1, 350),
        ]
        await shop.balanced()
        assert await shop.status(placed) == "confirmed"
        assert await shop.on_hand("mug") == 7
        assert await shop.do(RevenueReport()) == Revenue(orders=1, units=4, revenue_cents=947)
        customer = await shop.do(CustomerById(customer_id="ada"))
        assert (customer.orders, customer.spent_cents) == (1, 947)


async def test_a_repeated_request_places_one_order(tmp_path: Path) -> None:
    """The same request, beside itself, later, and from another caller, is one order; another body is refused."""
    async with open_shop(tmp_path) as shop:
        await shop.stocked("mug", 10)
        answers = await asyncio.gather(*(shop.order("r1", "mug", 2) for _ in range(10)))
        await shop.node.settled()
        line = Wanted(product_id="mug", quantity=2)
        other = await shop.do(PlaceOrder(request_id="r1", lines=(line,)), identity=Identity(subject="somebody"))
        assert {a.order_id for a in answers} == {other.order_id}
        assert await shop.on_hand("mug") == 8
        more = PlaceOrder(request_id="r1", lines=(Wanted(product_id="mug", quantity=3),))
        with pytest.raises(RequestReused):
            await shop.do(more, identity=Identity(subject="somebody else"))
        await shop.balanced()


async def test_an_order_keeps_the_prices_it_was_quoted(tmp_path: Path) -> None:
    """A price that changes after the order leaves the order, and its repeats, as they were."""
    async with open_shop(tmp_path) as shop:
        await shop.stocked("mug", 10, price_cents=100)
        first = await shop.order("r1", "mug")
        await shop.do(PutProduct(product_id="mug", description="a mug", price_cents=999))
        assert await shop.order("r1", "mug") == first
        assert (await shop.order("r2", "mug")).total_cents == 999
        await shop.balanced()


async def test_the_last_item_has_one_buyer(tmp_path: Path) -> None:
    """Of a hundred who want the last one at once, one gets it and the others are told why not."""
    async with open_shop(tmp_path) as shop:
        await shop.stocked("mug", 1)
        got = await asyncio.gather(*(shop.order(f"r{i}", "mug") for i in range(100)), return_exceptions=True)
        assert sum(isinstance(answer, Order) for answer in got) == 1
        assert [answer for answer in got if not isinstance(answer, Order)] == [
            OutOfStock(product_id="mug", on_hand=0)
        ] * 99
        await shop.balanced()
        assert await shop.on_hand("mug") == 0


async def test_nothing_is_held_when_one_line_is_short(tmp_path: Path) -> None:
    """All lines or none: a refused order leaves every shelf as it was."""
    async with open_shop(tmp_path) as shop:
        await shop.stocked("mug", 5)
        await shop.stocked("tea", 1)
        lines = (Wanted(product_id="mug", quantity=5), Wanted(product_id="tea", quantity=2))
        with pytest.raises(OutOfStock) as refused:
            await shop.do(PlaceOrder(request_id="r1", lines=lines))
        assert refused.value == OutOfStock(product_id="tea", on_hand=1)
        assert await shop.on_hand("mug") == 5
        with pytest.raises(UnknownProduct):
            await shop.order("r2", "cup")
        await shop.balanced()


async def test_a_declined_order_gives_its_stock_back(tmp_path: Path) -> None:
    """No money, no sale: stock returns, the report stays empty, and it cannot be cancelled any more."""
    async with open_shop(tmp_path) as shop:
        await shop.stocked("mug", 5)
        order = await shop.order("r1", "mug", 3, customer=DECLINED_CUSTOMER)
        await shop.balanced()
        assert await shop.status(order) == "declined"
        assert await shop.on_hand("mug") == 5
        assert await shop.do(RevenueReport()) == Revenue()
        with pytest.raises(NotCancellable):
            await shop.do(CancelOrder(order_id=order.order_id))


async def test_a_cancelled_order_gives_everything_back(tmp_path: Path) -> None:
    """Cancelling a confirmed order, twice, refunds once, restocks once and leaves the report."""
    async with open_shop(tmp_path) as shop:
        await shop.stocked("mug", 5)
        order = await shop.order("r1", "mug", 3, customer="ada")
        await shop.node.settled()
        for _ in range(2):
            assert (await shop.do(CancelOrder(order_id=order.order_id))).status == "cancelled"
        await shop.balanced()
        assert await shop.on_hand("mug") == 5
        assert (await shop.do(PaymentOf(order_id=order.order_id))).state == "refunded"
        assert await shop.do(RevenueReport()) == Revenue()
        assert (await shop.do(CustomerById(customer_id="ada"))).spent_cents == 0
        with pytest.raises(UnknownOrder):
            await shop.do(CancelOrder(order_id="nobody's"))


async def test_a_cancellation_overtakes_the_payment(tmp_path: Path) -> None:
    """An order cancelled while the gateway is being asked stays cancelled, and its money goes back."""
    gateway = SlowGateway()
    async with open_shop(tmp_path, replace={scripted: gateway}) as shop:
        await shop.stocked("mug", 5)
        order = await shop.order("r1", "mug")
        await asyncio.wait_for(gateway.asked.wait(), 5)
        await shop.do(CancelOrder(order_id=order.order_id))
        while (await shop.do(PaymentOf(order_id=order.order_id))).state == "due":
            await asyncio.sleep(0.01)
        gateway.go.set()
        await shop.balanced()
        assert await shop.status(order) == "cancelled"
        assert (await shop.do(PaymentOf(order_id=order.order_id))).state == "refunded"
        assert await shop.on_hand("mug") == 5
        assert gateway.calls == [order.order_id]


@pytest.mark.parametrize("pause", [0.0, 0.002, 0.006, 0.012, 0.02])
async def test_cancelling_at_any_moment_ends_consistently(tmp_path: Path, pause: float) -> None:
    """However far payment has come when the cancellation arrives, the books agree in the end."""
    async with open_shop(tmp_path) as shop:
        await shop.stocked("mug", 50)

        async def buy_and_regret(number: int) -> None:
            order = await shop.order(f"r{number}", "mug")
            await asyncio.sleep(pause)
            await shop.do(CancelOrder(order_id=order.order_id))

        await asyncio.gather(*(buy_and_regret(number) for number in range(20)))
        await shop.balanced()
        assert await shop.on_hand("mug") == 50
        assert await shop.do(RevenueReport()) == Revenue()


async def test_a_gateway_that_fails_is_asked_again_with_the_same_key(tmp_path: Path) -> None:
    """An unknown outcome at the gateway leaves the order pending until it is known; money moves once."""

    class Flaky(ScriptedGateway):
        keys: list[str]

        def __init__(self) -> None:
            self.keys = []

        async def charge(self, *, key: str, customer_id: str | None, cents: int) -> bool:
            self.keys.append(key)
            if len(self.keys) < 3:
                raise ConnectionError("the line went dead")
            return True

    gateway = Flaky()
    async with open_shop(tmp_path, replace={scripted: gateway}) as shop:
        await shop.stocked("mug", 5)
        order = await shop.order("r1", "mug")
        await shop.balanced()
        assert await shop.status(order) == "confirmed"
        assert gateway.keys == [order.order_id] * 3


async def test_a_hold_without_an_order_ends(tmp_path: Path) -> None:
    """A process that died between hold and order leaks nothing: the hold ends, and a late repeat holds again."""
    clock = TurnedClock()
    async with open_shop(tmp_path, clock=clock) as shop:
        await shop.stocked("mug", 5)
        order_id = id_of("r1")
        hold = Reserve(order_id=order_id, lines=(Wanted(product_id="mug", quantity=2),))
        for _ in range(2):
            await shop.do(hold)
        for ahead, on_hand in ((0.0, 3), (HOLD_SECONDS - 1, 3), (HOLD_SECONDS + 1, 5)):
            clock.ahead = ahead
            await shop.do(EndHold(order_id=order_id))
            await shop.balanced()
            assert await shop.on_hand("mug") == on_hand, f"after {ahead} s"
        order = await shop.order("r1", "mug", 2)
        await shop.balanced()
        clock.ahead *= 3
        await shop.do(EndHold(order_id=order.order_id))
        await shop.balanced()
        assert await shop.on_hand("mug") == 3, "an order that was placed keeps its stock"
        assert await shop.status(order) == "confirmed"


async def test_a_renewed_hold_outlives_the_question_about_the_old_one(tmp_path: Path) -> None:
    """A repeat that renews its hold while orders is being asked about it keeps its stock."""
    clock = TurnedClock()
    async with open_shop(tmp_path, clock=clock, faults=DeliveryFaults(duplicate=1.0, delay=0.3)) as shop:
        await shop.stocked("mug", 5)
        hold = Reserve(order_id=id_of("r1"), lines=(Wanted(product_id="mug", quantity=2),))
        await shop.do(hold)
        clock.ahead = HOLD_SECONDS + 1
        await shop.do(EndHold(order_id=hold.order_id))
        await shop.do(hold)
        await shop.balanced()
        assert await shop.on_hand("mug") == 3


async def test_goods_come_back_once(tmp_path: Path) -> None:
    """A return restocks and is paid at its line prices, whoever repeats the request; another body is refused."""
    async with open_shop(tmp_path) as shop:
        lines = tuple(ReturnLine(product_id=p, quantity=2, price_cents=c) for p, c in (("mug", 100), ("mug", 90)))
        taken = [
            await shop.do(ReturnGoods(request_id="b1", lines=lines), identity=Identity(subject=who))
            for who in ("ada", "ada", "bob")
        ]
        assert {(r.units, r.refunded_cents) for r in taken} == {(4, 380)}
        with pytest.raises(RequestReused):
            await shop.do(ReturnGoods(request_id="b1", lines=lines[:1]), identity=Identity(subject="carl"))
        await shop.balanced()
        assert await shop.on_hand("mug") == 4
        assert await shop.do(ReturnById(return_id=taken[0].return_id)) == taken[0]
        assert await shop.do(RevenueReport()) == Revenue(returned_units=4, refunded_cents=380)


async def test_a_receipt_counts_once(tmp_path: Path) -> None:
    """A delivery booked again by somebody else changes nothing; with another quantity it is refused."""
    async with open_shop(tmp_path) as shop:
        for who in ("ada", "bob"):
            receipt = ReceiveStock(request_id="d1", product_id="mug", quantity=5)
            assert (await shop.do(receipt, identity=Identity(subject=who))).on_hand == 5
        with pytest.raises(RequestReused):
            await shop.do(
                ReceiveStock(request_id="d1", product_id="mug", quantity=6), identity=Identity(subject="carl")
            )
        await shop.balanced()


async def test_products_are_found_page_by_page(tmp_path: Path) -> None:
    """Pages follow one another without gap or repeat, whatever stands in the text, and a forged cursor is refused."""
    async with open_shop(tmp_path) as shop:
        for number in range(7):
            await shop.do(PutProduct(product_id=f"p{number}", description="100% CUP_", price_cents=5))
        await shop.do(PutProduct(product_id="q", description="1000 cups", price_cents=5))
        seen: list[str] = []
        cursor = None
        while True:
            page = await shop.do(SearchProducts(search="% cup_", limit=3, after=cursor))
            seen += [product.product_id for product in page.items]
            cursor = page.next
            if cursor is None:
                break
        assert seen == [f"p{number}" for number in range(7)]
        for forged in ("%", "AAA", "////"):
            with pytest.raises(InvalidMessage, match="/after"):
                await shop.do(SearchProducts(after=forged))
        assert await shop.do(ProductById(product_id="none")) is None


async def test_the_ledger_check_notices_a_wrong_book(tmp_path: Path) -> None:
    """The check that all other tests rest on is not blind: a lost unit and a lost cent are named."""
    async with open_shop(tmp_path) as shop:
        await shop.stocked("mug", 5)
        await shop.order("r1", "mug")
        await shop.balanced()
        for module, sql in (
            ("inventory", "update stock set on_hand = on_hand - 1"),
            ("payments", "update ledger set cents = cents - 1"),
        ):
            unit = await shop.node.stores[module].begin(deadline=shop.node.parts.clock.monotonic() + 5)
            await unit.execute(sql, {})
            await unit.commit()
        assert [sentence.split(":")[0] for sentence in await imbalances(shop.do)] == ["stock of mug", "money kept"]


def test_the_shop_passes_its_own_check() -> None:
    """No module reaches into another, no contract needs a module's code, every route says who may use it."""
    assert check_app(app) == []

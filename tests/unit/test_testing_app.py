"""TestApp, as a user's tests would use it: on the shop and on small applications."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, get_args

import pytest

from headwater import App, Command, Ctx, Event, Module, Query, Retry, Tx, Use, contract
from headwater.testing import Mode, StaleFake, TestApp
from shop.app import app as shop
from shop.contracts.catalog import Price, PricesOf, PutProduct
from shop.contracts.inventory import OutOfStock, ReceiveStock, Reserve, Wanted
from shop.contracts.orders import OrderById, OrderConfirmed, OrderPlaced, PlaceOrder
from shop.contracts.reports import RevenueReport
from tests.flow.house import migrations


@contract("clockwork.start", v=1)
class Start(Command[str]):
    minutes: int


@contract("clockwork.started", v=1)
class Started(Event):
    minutes: int


@contract("clockwork.ring", v=1)
class Ring(Command[None]):
    pass


@contract("clockwork.rung", v=1)
class Rung(Query[int]):
    pass


def bell_maker() -> str:
    return "real"


def clockwork(folder: Path, *, fails: int = 0) -> App:
    module = Module("clockwork", migrations=migrations(folder, "clockwork", "create table rung (n integer);"))
    left = fails

    @module.handle(Start)
    async def start(cmd: Start, ctx: Ctx, tx: Tx, bell: Annotated[str, Use(bell_maker)]) -> str:
        await tx.emit(Started(minutes=cmd.minutes))
        await tx.send(Ring(), after=cmd.minutes * 60.0)
        return f"{bell} {ctx.now():%H:%M}"

    @module.handle(Ring)
    async def ring(cmd: Ring, tx: Tx) -> None:
        await tx.execute("insert into rung values (1)")

    @module.handle(Rung)
    async def rung(query: Rung, ctx: Ctx) -> int:
        return 0

    @module.on(Started, retry=Retry(3, first=30.0))
    async def note(event: Started, tx: Tx) -> None:
        nonlocal left
        left -= 1
        if left >= 0:
            raise ValueError("not yet")
        await tx.execute("insert into rung values (100)")

    return App("clockwork", modules=[module])


@pytest.mark.parametrize("mode", get_args(Mode))
async def test_the_same_test_passes_in_every_mode(mode: Mode) -> None:
    """Plain, encoded, and with every event twice and late, the shop confirms an order and reports it once."""
    async with TestApp(shop, mode=mode) as t:
        await t.call(PutProduct(product_id="lamp", description="Lamp", price_cents=250))
        await t.call(ReceiveStock(request_id="r", product_id="lamp", quantity=5))
        order = await t.call(PlaceOrder(request_id="o", lines=(Wanted(product_id="lamp", quantity=2),)))
        await t.settled()
        assert [e.order_id for e in t.emitted(OrderPlaced)] == [order.order_id]
        assert len(t.emitted(OrderConfirmed)) == 1
        found = await t.ask(OrderById(order_id=order.order_id))
        assert found is not None
        assert found.status == "confirmed"
        report = await t.ask(RevenueReport())
        assert (report.orders, report.revenue_cents) == (1, 500)


async def test_routes_are_asked_without_a_socket() -> None:
    """`t.http` goes through the compiled routes, with authorisation."""
    async with TestApp(shop) as t:
        body = {"description": "Lamp", "price_cents": 250}
        assert (await t.http.put("/v1/products/lamp", json=body)).status == 401
        assert (await t.http.put("/v1/products/lamp", json=body, role="guest")).status == 403
        assert (await t.http.put("/v1/products/lamp", json=body, role="staff")).status == 200
        assert (await t.http.get("/v1/products/lamp")).json()["price_cents"] == 250
        assert (await t.http.get("/v1/products/none")).status == 404


async def test_one_module_with_fakes_for_the_others() -> None:
    """Without the catalogue: a function answers in its place, and inventory refuses on demand."""
    t = TestApp(App("alone", modules=[m for m in shop.modules if m.name != "catalog"]))
    t.fake(PricesOf, answer=lambda q: tuple(Price(product_id=p, price_cents=7) for p in q.product_ids))
    t.fake(Reserve, fails=OutOfStock(product_id="lamp", on_hand=0))
    async with t:
        with pytest.raises(OutOfStock):
            await t.call(PlaceOrder(request_id="o", lines=(Wanted(product_id="lamp", quantity=2),)))


async def test_a_fake_of_a_changed_contract_fails(tmp_path: Path) -> None:
    """The lock file remembers shapes; a recorded shape that is no longer true is told with the fix."""
    lock = tmp_path / "fakes.lock"
    TestApp(shop, fakes_lock=lock).fake(PricesOf, returns=())
    TestApp(shop, fakes_lock=lock).fake(PricesOf, returns=())
    lock.write_text(lock.read_text().replace('": "', '": "0'))
    with pytest.raises(StaleFake, match="look at the fake again"):
        TestApp(shop, fakes_lock=lock).fake(PricesOf, returns=())


async def test_time_stands_still_until_it_is_moved(tmp_path: Path) -> None:
    """A command sent for later runs when the virtual clock gets there, and a provider is replaced."""
    at = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
    async with TestApp(clockwork(tmp_path), at=at, replace={bell_maker: "toy"}) as t:
        assert await t.call(Start(minutes=90)) == "toy 12:00"

        async def rings() -> int:
            snapshot = t.node.stores["clockwork"].read()
            try:
                return len(await snapshot.fetch("select n from rung where n = 1", {}))
            finally:
                snapshot.close()

        await t.clock.advance(89 * 60)
        assert await rings() == 0
        await t.clock.advance(2 * 60)
        await t.settled()
        assert await rings() == 1
        assert t.clock.now().hour == 13


async def test_retries_need_no_waiting(tmp_path: Path) -> None:
    """Half a minute of backoff passes at once on a virtual clock; a dead letter fails the test by name."""
    at = datetime(2026, 1, 1, tzinfo=UTC)
    async with TestApp(clockwork(tmp_path, fails=3), at=at) as t:
        await t.call(Start(minutes=100_000))
        await t.settled()
    folder = tmp_path / "other"
    folder.mkdir()
    async with TestApp(clockwork(folder, fails=50), at=at) as t:
        await t.call(Start(minutes=100_000))
        with pytest.raises(AssertionError, match=r"clockwork.note.*not yet"):
            await t.settled()
        assert [d.attempts for d in await t.dead_letters()] == [3]
        await t.settled()

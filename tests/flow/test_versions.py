"""Versions of one contract side by side: one handler, one effect, and every caller in the words it knows."""

from __future__ import annotations

import asyncio
from datetime import date
from pathlib import Path
from typing import Annotated

import pytest

from headwater import (
    Api,
    App,
    Command,
    Ctx,
    Event,
    Failure,
    Meta,
    Module,
    Query,
    Tx,
    Value,
    View,
    contract,
    public,
    recast,
)
from headwater.edge.routes import Router
from headwater.errors import ConfigurationError, HandlerCrashed, IdempotencyConflict, InvalidMessage
from headwater.runtime import operate
from headwater.runtime.parts import DeliveryFaults
from headwater.testing.http import HttpClient
from headwater.topology.check import check_app
from headwater.topology.explain import explain
from tests.flow.house import call, migrations, rows, running


class Receipt1(Value):
    order_id: str
    cents: int


class Receipt2(Value):
    order_id: str
    amount: int
    currency: str


class Line(Value):
    product: str
    pieces: Annotated[int, Meta(ge=1, le=10)]


class SoldOut(Failure, status=409):
    product: str


class NoStock(Failure, status=409):
    product: str
    left: int


class Closed(Failure, status=403):
    pass


@contract("orders.place", v=1, fails=(SoldOut, Closed), idempotent="request_id", within="2s")
class Place1(Command[Receipt1]):
    request_id: str
    product: str
    pieces: int = 1


@contract("orders.place", v=2, fails=(NoStock, Closed), idempotent="request_id")
class Place2(Command[Receipt2]):
    request_id: str
    lines: tuple[Line, ...]


@contract("orders.place", v=3, fails=(NoStock, Closed), idempotent="request_id")
class Place3(Command[Receipt2]):
    request_id: str
    lines: tuple[Line, ...]
    currency: str


@contract("orders.of", v=1)
class Of1(Query[Receipt1 | None]):
    order_id: str


@contract("orders.of", v=2)
class Of2(Query[Receipt2 | None]):
    order_id: str


@contract("orders.placed", v=1, key="order_id")
class Placed1(Event):
    order_id: str
    cents: int


@contract("orders.placed", v=2, key="order_id")
class Placed2(Event):
    order_id: str
    amount: int
    currency: Annotated[str, Meta(max_length=3)]


@contract("orders.placed", v=3, key="order_id")
class Placed3(Event):
    order_id: str
    amount: int
    currency: str
    origin: str


@contract("orders.tell", v=1)
class Tell(Command[None]):
    order_id: str
    amount: int
    v: int


SCHEMA = "create table taken (order_id text primary key, amount integer, currency text, keys integer);"


def older(receipt: Receipt2) -> Receipt1:
    return Receipt1(order_id=receipt.order_id, cents=receipt.amount)


def declared(orders: Module) -> Module:
    """Serve the first two versions of placing with the handler of the third."""
    orders.upcast(Place2, Place3).by(
        up=lambda cmd: Place3(request_id=cmd.request_id, lines=cmd.lines, currency="EUR"), down=lambda receipt: receipt
    )
    orders.upcast(Place1, Place2).by(
        up=lambda cmd: Place2(
            request_id=cmd.request_id, lines=(Line(product=cmd.product, pieces=cmd.pieces),)
        ),
        down=older, fails=(recast(NoStock, SoldOut).by(lambda failure: SoldOut(product=failure.product)),),
    )
    orders.upcast(Of1, Of2).by(
        up=lambda query: Of2(order_id=query.order_id), down=lambda receipt: None if receipt is None else older(receipt)
    )
    return orders


def shop(folder: Path) -> Module:
    orders = Module("orders", migrations=migrations(folder, "orders", SCHEMA))

    @orders.handle(Place3)
    async def place(cmd: Place3, tx: Tx) -> Receipt2:
        amount = sum(line.pieces for line in cmd.lines) * 100
        product = cmd.lines[0].product
        if product == "none":
            raise NoStock(product=product, left=0)
        if product == "shut":
            raise Closed
        if product == "odd":
            raise SoldOut(product=product)
        order_id = f"o-{cmd.request_id}"
        await tx.execute(
            "insert into taken values (:o, :a, :c, 1) on conflict do update set keys = keys + 1", o=order_id, a=amount,
            c=cmd.currency,
        )
        await tx.emit(Placed3(order_id=order_id, amount=amount, currency=cmd.currency, origin="shop"))
        return Receipt2(order_id=order_id, amount=amount, currency=cmd.currency)

    @orders.handle(Of2)
    async def of(query: Of2, view: View) -> Receipt2 | None:
        return await view.fetch_one(
            Receipt2, "select order_id, amount, currency from taken where order_id = :o", o=query.order_id
        )

    @orders.handle(Tell)
    async def tell(cmd: Tell, tx: Tx) -> None:
        made: dict[int, Event] = {
            1: Placed1(order_id=cmd.order_id, cents=cmd.amount),
            2: Placed2(order_id=cmd.order_id, amount=cmd.amount, currency="EUR"),
            3: Placed3(order_id=cmd.order_id, amount=cmd.amount, currency="EUR", origin="tell"),
        }
        await tx.emit(made[cmd.v])

    return orders


def upcast_events(orders: Module) -> Module:
    @orders.upcast_event(Placed1, Placed2)
    def euros(event: Placed1) -> Placed2:
        if event.cents == 13:
            raise ValueError("unlucky")
        return Placed2(order_id=event.order_id, amount=event.cents, currency="EURO" if event.cents == 14 else "EUR")

    @orders.upcast_event(Placed2, Placed3)
    def unknown_origin(event: Placed2) -> Placed3:
        return Placed3(order_id=event.order_id, amount=event.amount, currency=event.currency, origin="?")

    return orders


# --- commands and queries -----------------------------------------------------------------------------


async def test_every_version_is_served_by_the_one_handler(tmp_path: Path) -> None:
    """Three versions of a command and two of a query answer in their own words about the same orders."""
    async with running(tmp_path, declared(shop(tmp_path))) as node:
        assert await call(node, Place1(request_id="1", product="a", pieces=2)) == Receipt1(order_id="o-1", cents=200)
        lines = (Line(product="a", pieces=3),)
        two = Receipt2(order_id="o-2", amount=300, currency="EUR")
        assert await call(node, Place2(request_id="2", lines=lines)) == two
        three = await call(node, Place3(request_id="3", lines=lines, currency="CHF"))
        assert three == Receipt2(order_id="o-3", amount=300, currency="CHF")
        assert await call(node, Of1(order_id="o-3")) == Receipt1(order_id="o-3", cents=300)
        assert await call(node, Of1(order_id="o-9")) is None
        assert len(await rows(node, "orders", "select * from taken")) == 3


async def test_a_repeat_through_another_version_happens_once(tmp_path: Path) -> None:
    """The key is the newest version's, so a client that changes versions between two attempts buys once."""
    async with running(tmp_path, declared(shop(tmp_path))) as node:
        first = await call(node, Place1(request_id="1", product="a", pieces=2))
        assert await call(node, Place1(request_id="1", product="a", pieces=2)) == first
        again = await call(node, Place3(request_id="1", lines=(Line(product="a", pieces=2),), currency="EUR"))
        assert again == Receipt2(order_id="o-1", amount=200, currency="EUR")
        with pytest.raises(IdempotencyConflict):
            await call(node, Place1(request_id="1", product="b", pieces=2))
        both = await asyncio.gather(*(call(node, Place1(request_id="2", product="a")) for _ in range(5)))
        assert len(set(both)) == 1
        assert await rows(node, "orders", "select order_id, keys from taken order by 1") == [("o-1", 1), ("o-2", 1)]


async def test_refusals_are_recast_or_pass(tmp_path: Path) -> None:
    """What the older version does not declare is told in its words; what it does comes through as it is."""
    async with running(tmp_path, declared(shop(tmp_path))) as node:
        with pytest.raises(SoldOut) as refused:
            await call(node, Place1(request_id="1", product="none"))
        assert refused.value == SoldOut(product="none")
        with pytest.raises(NoStock):
            await call(node, Place2(request_id="1", lines=(Line(product="none", pieces=1),)))
        with pytest.raises(Closed):
            await call(node, Place1(request_id="2", product="shut"))
        with pytest.raises(HandlerCrashed):
            await call(node, Place3(request_id="3", lines=(Line(product="odd", pieces=1),), currency="EUR"))
        with pytest.raises(InvalidMessage, match="orders.place/2: /lines/.*/pieces"):
            await call(node, Place1(request_id="4", product="a", pieces=11))
        assert await rows(node, "orders", "select * from taken") == []


async def test_other_modules_call_the_version_they_were_written_for(tmp_path: Path) -> None:
    """A call from a neighbour, and a durable send that was written by an older process, reach the handler."""
    buyer = Module("buyer", uses=["orders"], migrations=migrations(tmp_path, "buyer", "create table t (n integer);"))

    @contract("buyer.buy", v=1, fails=(SoldOut,))
    class Buy(Command[int]):
        key: str

    @contract("buyer.later", v=1)
    class Later(Command[None]):
        key: str

    @buyer.handle(Buy)
    async def buy(cmd: Buy, ctx: Ctx) -> int:
        return (await ctx.call(Place1(request_id=cmd.key, product="a"))).cents

    @buyer.handle(Later)
    async def later(cmd: Later, tx: Tx) -> None:
        await tx.send(Place1(request_id=cmd.key, product="a"))

    async with running(tmp_path, declared(shop(tmp_path)), buyer) as node:
        assert await call(node, Buy(key="1")) == 100
        await call(node, Later(key="2"))
        await node.settled()
        assert await rows(node, "orders", "select order_id from taken order by 1") == [("o-1",), ("o-2",)]


async def test_a_key_that_only_the_newer_version_has_comes_from_the_request(tmp_path: Path) -> None:
    """An older version without a key of its own still honours the Idempotency-Key that came with the request."""

    @contract("orders.note", v=1)
    class Note1(Command[int]):
        text: str

    @contract("orders.note", v=2, idempotent="request_id")
    class Note2(Command[int]):
        request_id: str
        text: str

    orders = Module("orders", migrations=migrations(tmp_path, "orders", SCHEMA))
    orders.upcast(Note1, Note2).by(up=lambda cmd: Note2(request_id="", text=cmd.text), down=lambda count: count)

    @orders.handle(Note2)
    async def note(cmd: Note2, tx: Tx) -> int:
        await tx.execute("insert into taken (amount) values (1)")
        return len(await tx.fetch_all(int, "select 1 from taken"))

    async with running(tmp_path, orders) as node:
        assert await call(node, Note1(text="a"), idempotency_key="k") == 1
        assert await call(node, Note1(text="a"), idempotency_key="k") == 1
        assert await call(node, Note2(request_id="k", text="a")) == 1
        assert await call(node, Note1(text="a")) == 2
        assert await call(node, Note1(text="a")) == 3


async def test_a_repeat_over_the_change_from_handler_to_upcast_happens_once(tmp_path: Path) -> None:
    """What was answered while the older version had a handler of its own is answered the same afterwards."""
    before = Module("orders", migrations=migrations(tmp_path, "orders", SCHEMA))

    @before.handle(Place1)
    async def place(cmd: Place1, tx: Tx) -> Receipt1:
        await tx.execute("insert into taken values ('old', 5, '', 1)")
        return Receipt1(order_id="old", cents=5)

    async with running(tmp_path, before) as node:
        assert await call(node, Place1(request_id="1", product="a")) == Receipt1(order_id="old", cents=5)
    async with running(tmp_path, declared(shop(tmp_path))) as node:
        assert await call(node, Place1(request_id="1", product="a")) == Receipt1(order_id="old", cents=5)
        with pytest.raises(IdempotencyConflict):
            await call(node, Place1(request_id="1", product="b"))
        assert await call(node, Place1(request_id="2", product="a")) == Receipt1(order_id="o-2", cents=100)
        assert await rows(node, "orders", "select order_id from taken order by 1") == [("o-2",), ("old",)]


async def test_two_versions_of_an_api_stand_side_by_side(tmp_path: Path) -> None:
    """/v1 goes on in its own words, says that it will end, and leads to the same orders as /v3."""
    v1 = Api("v1", auth=public, deprecated=date(2020, 1, 1), sunset=date(2999, 1, 1), successor="v3")
    v1.post("/orders", Place1, status=201)
    v1.get("/orders/{order_id}", Of1)
    v3 = Api("v3", auth=public)
    v3.post("/orders", Place3, status=201)
    v3.get("/orders/{order_id}", Of2)
    async with running(tmp_path, declared(shop(tmp_path))) as node:
        client = HttpClient(Router([v1, v3], node))
        old = await client.post("/v1/orders", json={"request_id": "1", "product": "a", "pieces": 2})
        assert (old.status, old.json()) == (201, {"order_id": "o-1", "cents": 200})
        assert old.headers["deprecation"] == "@1577836800"
        assert old.headers["link"] == '</v3>; rel="successor-version"'
        body = {"request_id": "1", "lines": [{"product": "a", "pieces": 2}], "currency": "EUR"}
        new = await client.post("/v3/orders", json=body)
        assert (new.status, new.json()) == (201, {"order_id": "o-1", "amount": 200, "currency": "EUR"})
        assert "deprecation" not in new.headers
        assert (await client.get("/v1/orders/o-1")).json() == {"order_id": "o-1", "cents": 200}
        assert (await client.get("/v3/orders/o-1")).json()["currency"] == "EUR"
        refused = await client.post("/v1/orders", json={"request_id": "2", "product": "none"})
        assert (refused.status, refused.json()["code"], refused.json()["failure"]) == (409, "SoldOut", {"product": "none"})
        strange = await client.post("/v1/orders", json={"request_id": "2", "lines": []})
        assert {e["pointer"] for e in strange.json()["errors"]} == {"/lines", "/product"}
        key = {"idempotency-key": "h"}
        sent = [await client.post(f"/{v}/orders", json=b, headers=key) for v, b in (
            ("v1", {"product": "a"}), ("v3", {"lines": [{"product": "a", "pieces": 1}], "currency": "EUR"}))]
        assert [answer.status for answer in sent] == [201, 201]
        assert await rows(node, "orders", "select order_id, keys from taken order by 1") == [("o-1", 1), ("o-h", 1)]


# --- what cannot start --------------------------------------------------------------------------------


def test_a_refusal_that_older_callers_could_not_read_does_not_start() -> None:
    orders = Module("orders")
    with pytest.raises(ConfigurationError, match="orders.place/2 may refuse with NoStock, which orders.place/1 does not"):
        orders.upcast(Place1, Place2).by(up=lambda cmd: Place2(request_id="", lines=()), down=older)


def test_a_recast_of_what_is_not_declared_is_refused() -> None:
    def sold(_failure: Failure) -> SoldOut:
        return SoldOut(product="")

    for pair, name in ((recast(SoldOut, SoldOut), "orders.place/2"), (recast(NoStock, NoStock), "orders.place/1")):
        with pytest.raises(ConfigurationError, match=f"{name} does not declare"):
            Module("orders").upcast(Place1, Place2).by(up=lambda cmd: cmd, down=older, fails=(pair.by(sold),))
    twice = recast(NoStock, SoldOut).by(sold)
    with pytest.raises(ConfigurationError, match="recast twice"):
        Module("orders").upcast(Place1, Place2).by(up=lambda cmd: cmd, down=older, fails=(twice, twice))


def test_only_versions_of_one_contract_of_the_module_itself_are_upcast() -> None:
    orders = Module("orders")
    for old, new in ((Place2, Place1), (Of1, Place2), (Place1, Place1)):
        with pytest.raises(ConfigurationError, match="both are versions of one contract, the older one first"):
            orders.upcast(old, new)
    with pytest.raises(ConfigurationError, match="module other cannot handle orders.place/1"):
        Module("other").upcast(Place1, Place2)
    orders.upcast(Of1, Of2)
    with pytest.raises(ConfigurationError, match="has an upcast already"):
        orders.upcast(Of1, Of2)
    with pytest.raises(ConfigurationError, match="is an event"):
        orders.upcast(Placed1, Placed2)


def test_a_promise_of_idempotency_is_not_lost_on_the_way() -> None:
    @contract("orders.pay", v=1, idempotent="key")
    class Pay1(Command[None]):
        key: str

    @contract("orders.pay", v=2)
    class Pay2(Command[None]):
        key: str

    with pytest.raises(ConfigurationError, match="orders.pay/1 promises to be idempotent and orders.pay/2"):
        Module("orders").upcast(Pay1, Pay2)


@pytest.mark.parametrize("mistake", ["silent", "doubled", "unhandled"])
async def test_an_upcast_that_cannot_work_does_not_start(tmp_path: Path, mistake: str) -> None:
    orders = shop(tmp_path)
    if mistake == "silent":
        orders.upcast(Of1, Of2)
    elif mistake == "doubled":
        declared(orders)

        @orders.handle(Of1)
        async def of(query: Of1, view: View) -> Receipt1 | None: ...
    else:
        del orders.handlers[Place3]
        declared(orders)
    said = {"silent": "says nothing", "doubled": "has a handler and an upcast", "unhandled": "nobody handles"}
    with pytest.raises(ConfigurationError, match=said[mistake]):
        async with running(tmp_path, orders):
            pass


# --- events -------------------------------------------------------------------------------------------


def readers(folder: Path) -> Module:
    module = Module("stats", migrations=migrations(
        folder, "stats",
        "create table seen (at integer primary key autoincrement, order_id text, amount integer, origin text);"
        "create table folded (order_id text primary key, amount integer);"
        "create table mixed (at integer primary key autoincrement, order_id text, v integer);",
    ))

    @module.on(Placed3, start="beginning")
    async def keep(event: Placed3, tx: Tx) -> None:
        await tx.execute(
            "insert into seen (order_id, amount, origin) values (:o, :a, :r)", o=event.order_id, a=event.amount,
            r=event.origin,
        )

    totals = module.projection("totals", tables=["folded"])

    @totals.on(Placed3)
    async def fold(event: Placed3, tx: Tx) -> None:
        await tx.execute("insert into folded values (:o, :a) on conflict do update set amount = :a", o=event.order_id, a=event.amount)

    mixed = module.projection("mixed", tables=["mixed"])

    @mixed.on(Placed2)
    async def second(event: Placed2, tx: Tx) -> None:
        await tx.execute("insert into mixed (order_id, v) values (:o, 2)", o=event.order_id)

    @mixed.on(Placed3)
    async def third(event: Placed3, tx: Tx) -> None:
        await tx.execute("insert into mixed (order_id, v) values (:o, 3)", o=event.order_id)

    return module


async def test_subscribers_of_the_newest_event_receive_those_of_every_version(tmp_path: Path) -> None:
    """Also what lay in the log before, once each, in order, with deliveries doubled and late."""
    async with running(tmp_path, shop(tmp_path)) as node:  # nobody listens yet
        for n in range(30):
            await call(node, Tell(order_id=f"k{n % 3}", amount=100 + n, v=1))
    faults = DeliveryFaults(duplicate=0.7, delay=0.003)
    async with running(tmp_path, upcast_events(shop(tmp_path)), readers(tmp_path), faults=faults) as node:
        for n in range(30, 90):
            await call(node, Tell(order_id=f"k{n % 3}", amount=100 + n, v=1 + n % 3))
        await node.settled()
        got = await rows(node, "stats", "select order_id, amount, origin from seen order by at")
        assert sorted(amount for _, amount, _ in got) == list(range(100, 190))
        for key in ("k0", "k1", "k2"):
            mine = [amount for order_id, amount, _ in got if order_id == key]
            assert mine == sorted(mine)
        assert {origin for _, _, origin in got} == {"?", "tell"}
        assert sum(origin == "?" for _, _, origin in got) == 70
        folded = await rows(node, "stats", "select order_id, amount from folded order by 1")
        assert folded == [("k0", 187), ("k1", 188), ("k2", 189)]
        kinds = await rows(node, "stats", "select v, count(*) from mixed group by v order by v")
        assert kinds == [(2, 70), (3, 20)]


async def test_a_read_model_is_built_again_from_every_version(tmp_path: Path) -> None:
    async with running(tmp_path, upcast_events(shop(tmp_path)), readers(tmp_path)) as node:
        for n in range(1, 4):
            await call(node, Tell(order_id=f"k{n}", amount=100 + n, v=n))
        await node.settled()
        before = await rows(node, "stats", "select * from folded order by 1")
        await operate.request_rebuild(node.stores["stats"], "stats.totals", at=0.0, deadline=1e18)
        node.parts.bell.ring("rebuild:stats")
        await node.settled()
        assert await rows(node, "stats", "select * from folded order by 1") == before == [
            ("k1", 101), ("k2", 102), ("k3", 103)]


async def test_an_event_that_cannot_be_upcast_is_a_dead_letter_at_once(tmp_path: Path) -> None:
    """An upcast that raises, or makes what the newer version does not allow, holds up nobody."""
    async with running(tmp_path, upcast_events(shop(tmp_path)), readers(tmp_path)) as node:
        for amount in (13, 14, 15):
            await call(node, Tell(order_id="k", amount=amount, v=1))
        await node.settled()
        assert await rows(node, "stats", "select amount from seen") == [(14,), (15,)]
        errors = await rows(node, "stats", "select attempts, error from hw_dead where subscription = 'stats.keep'")
        assert errors == [(1, "orders.placed/1: its upcast raised ValueError: unlucky")]
        errors = await rows(node, "stats", "select error from hw_dead where subscription = 'stats.mixed' order by position")
        assert "ValueError: unlucky" in errors[0][0]
        assert "orders.placed/2" in errors[1][0]
        assert len(errors) == 2


async def test_without_an_upcast_an_older_event_is_a_dead_letter(tmp_path: Path) -> None:
    async with running(tmp_path, shop(tmp_path), readers(tmp_path)) as node:
        await call(node, Tell(order_id="k", amount=1, v=1))
        await node.settled()
        (said,) = await rows(node, "stats", "select error from hw_dead where subscription = 'stats.keep'")
        assert "orders.placed/1: subscription stats.keep knows no such version" in said[0]


# --- what the tools say -------------------------------------------------------------------------------


def test_tools_know_what_serves_an_older_version(tmp_path: Path) -> None:
    v1 = Api("v1", auth=public)
    v1.post("/orders", Place1, status=201)
    app = App("shop", modules=[declared(shop(tmp_path))], apis=[v1])
    codes = {finding.code for finding in check_app(app)}
    assert not codes & {"bad-upcast", "nobody-handles"}
    first = next(chain for chain in explain(app, "orders.place") if chain["contract"] == "orders.place/1")
    assert first["handler"]["function"].endswith("place")
    assert [layer.partition(" (")[0] for layer in first["layers"]][-2:] == [
        "upcast to orders.place/2", "upcast to orders.place/3"]
    app.modules[0].handlers.pop(Place3)
    assert "bad-upcast" in {finding.code for finding in check_app(app)}

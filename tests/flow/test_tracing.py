"""Traces: one from the request through calls, statements, events and durable sends; kept by chance or by what happened."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from headwater import Command, Ctx, Event, Failure, HeadwaterError, Module, Query, Tx, View, contract
from headwater.adapters.system import SystemClock, SystemIds, SystemRandom
from headwater.ports import TraceRecord
from headwater.runtime.tracing import SPANS_MOST, Tracer
from tests.flow.house import call, migrations, rows, running


class Refused(Failure):
    why: str


@contract("desk.order", v=1, fails=(Refused,))
class Order(Command[int]):
    key: str
    how: str = ""


@contract("desk.many", v=1, slo_p99="10ms")
class Many(Command[None]):
    calls: int = 0
    sleep: float = 0.0


@contract("stock.price", v=1)
class Price(Query[int]):
    key: str


@contract("desk.ordered", v=1, key="key")
class Ordered(Event):
    key: str


@contract("stock.ship", v=1)
class Ship(Command[None]):
    key: str


def desk(folder: Path) -> Module:
    module = Module("desk", uses=["stock"], migrations=migrations(folder, "desk", "create table orders (key text);"))

    @module.handle(Order)
    async def order(cmd: Order, ctx: Ctx, tx: Tx) -> int:
        price = await ctx.ask(Price(key=cmd.key))
        if cmd.how == "refuse":
            raise Refused(why="so")
        if cmd.how == "crash":
            raise ValueError("a pipe burst")
        await tx.execute("insert into orders values (:key)", key=cmd.key)
        await tx.emit(Ordered(key=cmd.key))
        await tx.send(Ship(key=cmd.key))
        return price

    @module.handle(Many)
    async def many(cmd: Many, ctx: Ctx) -> None:
        for _ in range(cmd.calls):
            await ctx.ask(Price(key="a"))
        await ctx.sleep(cmd.sleep)

    return module


def stock(folder: Path) -> Module:
    module = Module("stock", migrations=migrations(folder, "stock", "create table prices (key text, cents integer);\ncreate table shipped (key text);"))

    @module.handle(Price)
    async def price(query: Price, view: View) -> int:
        found = await view.fetch_one(int, "select cents from prices where key = :key and cents < 100000 and key <> 'none'", key=query.key)
        return found or 0

    @module.handle(Ship)
    async def ship(cmd: Ship, tx: Tx) -> None:
        await tx.execute("insert into shipped values (:key)", key=cmd.key)

    @module.on(Ordered)
    async def reserve(event: Ordered, tx: Tx) -> None:
        await tx.execute("insert into prices values (:key, 5)", key=event.key)

    return module


def tracer(**options) -> Tracer:
    return Tracer(SystemClock(), SystemIds(), SystemRandom(), **options)


def nodes(folder: Path, made: Tracer | None):
    return running(folder, desk(folder), stock(folder), tracer=made)


def tree(trace: TraceRecord) -> set[tuple[str, str, str]]:
    """Each span as (kind, name, name of the span above it)."""
    names = {span.id: span.name for span in trace.spans}
    return {(span.kind, span.name, names.get(span.parent, span.parent)) for span in trace.spans}


WHOLE = {
    ("server", "desk.order/1", ""),
    ("internal", "stock.price/1", "desk.order/1"),
    ("store", "select cents", "stock.price/1"),
    ("store", "insert into", "desk.order/1"),
    ("store", "commit", "desk.order/1"),
    ("consumer", "stock.reserve: desk.ordered/1", "desk.order/1"),
    ("store", "insert into", "stock.reserve: desk.ordered/1"),
    ("store", "commit", "stock.reserve: desk.ordered/1"),
    ("server", "stock.ship/1", "desk.order/1"),
    ("store", "insert into", "stock.ship/1"),
    ("store", "commit", "stock.ship/1"),
}


def without_begin(found: set[tuple[str, str, str]]) -> set[tuple[str, str, str]]:
    return {row for row in found if row[1] != "begin"}


async def test_one_trace_goes_through_calls_statements_events_and_sends(tmp_path):
    made = tracer(ratio=1.0)
    async with nodes(tmp_path, made) as node:
        await call(node, Order(key="k"), request_id="req-1")
        await node.settled()
    (trace,) = [t for t in made.recent() if t.name == "desk.order/1"]
    assert without_begin(tree(trace)) == WHOLE
    assert len({span.id for span in trace.spans}) == len(trace.spans)
    assert len(trace.trace_id) == 32
    assert made.find(trace.trace_id) == trace
    first = trace.spans[0]
    assert first.attributes["request_id"] == "req-1"
    for span in trace.spans:
        if span.kind == "internal":
            assert first.start <= span.start
            assert span.start + span.duration <= first.start + first.duration + 1e-6


async def test_the_callers_trace_goes_on(tmp_path):
    made = tracer(ratio=0.0, keep_errors=False)
    async with nodes(tmp_path, made) as node:
        await call(node, Order(key="k"), trace_id="a" * 32, span_id="b" * 16, sampled=True)
        await call(node, Order(key="l"), trace_id="c" * 32, span_id="b" * 16, sampled=False)
        await node.settled()
        assert [r for (r,) in await rows(node, "desk", "select trace from hw_log order by position")][1] == f"00-{'c' * 32}-{'b' * 16}-00"
    assert {t.trace_id for t in made.recent()} == {"a" * 32}
    found = made.find("a" * 32)
    assert found is not None
    assert without_begin(tree(found)) == {(k, n, "b" * 16 if not above else above) for k, n, above in WHOLE}


async def test_without_a_tracer_the_callers_trace_is_passed_on(tmp_path):
    async with nodes(tmp_path, None) as node:
        await call(node, Order(key="k"), trace_id="a" * 32, span_id="b" * 16, sampled=True)
        await call(node, Order(key="l"))
        assert [r for (r,) in await rows(node, "desk", "select trace from hw_log order by position")] == [f"00-{'a' * 32}-{'b' * 16}-01", ""]


async def test_errors_and_slow_traces_are_kept_whatever_chance_says(tmp_path):
    made = tracer(ratio=0.0)
    async with nodes(tmp_path, made) as node:
        await call(node, Order(key="k"))
        with pytest.raises(Refused):
            await call(node, Order(key="k", how="refuse"))
        await call(node, Many())
        await node.settled()
        assert made.recent() == []
        with pytest.raises(HeadwaterError):
            await call(node, Order(key="k", how="crash"))
        await call(node, Many(sleep=0.03))
    slow, crashed = made.recent()
    assert (crashed.name, crashed.outcome, crashed.spans[0].attributes["error.type"]) == ("desk.order/1", "unknown", "ValueError")
    assert ("internal", "stock.price/1", "desk.order/1") in tree(crashed)
    assert slow.name == "desk.many/1"
    assert made._undecided == 0


async def test_an_error_further_in_keeps_the_trace(tmp_path):
    made = tracer(ratio=0.0)
    module = Module("desk", uses=["stock"])
    inner = Module("stock")

    @module.handle(Order)
    async def order(cmd: Order, ctx: Ctx) -> int:
        try:
            return await ctx.ask(Price(key="a"))
        except HeadwaterError:
            return -1

    @inner.handle(Price)
    async def price(query: Price) -> int:
        raise KeyError(query.key)

    async with running(tmp_path, module, inner, tracer=made) as node:
        assert await call(node, Order(key="k")) == -1
    (trace,) = made.recent()
    assert [(s.name, s.outcome) for s in trace.spans] == [("desk.order/1", "value"), ("stock.price/1", "unknown")]


async def test_what_fails_in_a_batch_is_told_once(tmp_path):
    """The batch is undone and run again event by event: the spans of the first run are gone with it."""
    made = tracer(ratio=1.0)
    attempts: list[str] = []
    module = stock(tmp_path)

    @module.on(Ordered, name="picky")
    async def picky(event: Ordered, tx: Tx) -> None:
        attempts.append(event.key)
        if event.key == "bad" and attempts.count("bad") < 3:
            raise ValueError("not yet")

    async with running(tmp_path, desk(tmp_path), module, tracer=made) as node:
        for key in ("good", "bad"):
            await call(node, Order(key=key))
        await node.settled(within=15.0)
    spans = [s for t in made.recent() for s in t.spans if s.name == "stock.picky: desk.ordered/1"]
    assert len(spans) <= len(attempts)
    assert len([s for s in spans if s.outcome == "value"]) == 2
    assert made._undecided == 0


async def test_a_trace_and_the_ring_stay_small(tmp_path):
    made = tracer(ratio=1.0, capacity=3)
    async with nodes(tmp_path, made) as node:
        await call(node, Many(calls=SPANS_MOST))
        (trace,) = made.recent()
        assert len(trace.spans) == SPANS_MOST + 1
        assert trace.dropped == SPANS_MOST
        for _ in range(5):
            await call(node, Many())
    assert len(made.recent()) == 3
    assert made._undecided == 0


async def test_chance_keeps_its_share(tmp_path):
    made = tracer(ratio=0.2, keep_errors=False, capacity=10_000)
    async with nodes(tmp_path, made) as node:
        for _ in range(2_000):
            await call(node, Price(key="a"))
    assert 250 < made.kept < 560  # 400 on average; six sigma


async def test_slow_statements_are_listed_without_values(tmp_path):
    made = tracer(ratio=0.0, keep_errors=False, slow_statement=0.0)
    async with nodes(tmp_path, made) as node:
        for key in ("geheim-1", "geheim-2"):
            await call(node, Price(key=key))
    (found,) = made.slowest()
    assert (found.sql, found.module, found.count) == ("select cents from prices where key = :key and cents < ? and key <> ?", "stock", 2)
    assert 0 < found.most <= found.total


async def test_spans_beside_one_another_have_the_right_parent(tmp_path):
    made = tracer(ratio=1.0)
    module = desk(tmp_path)
    inner = Module("stock")

    @inner.handle(Price)
    async def price(query: Price, ctx: Ctx) -> int:
        await ctx.sleep(0.01 if query.key == "slow" else 0.001)
        return 1

    @module.handle(Both)
    async def both(query: Both, ctx: Ctx) -> int:
        return sum(await asyncio.gather(ctx.ask(Price(key="slow")), ctx.ask(Price(key="fast"))))

    async with running(tmp_path, module, inner, tracer=made) as node:
        assert await call(node, Both()) == 2
    (trace,) = made.recent()
    top, *below = trace.spans
    assert [s.parent for s in below] == [top.id, top.id]


@contract("desk.both", v=1)
class Both(Query[int]):
    pass


def test_a_wrong_share_is_refused():
    with pytest.raises(ValueError, match="from 0 to 1"):
        tracer(ratio=2)

"""The watchdog, on code that really blocks, really waits and really leaves tasks behind."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
import time

import pytest

from headwater import Command, Ctx, Event, Module, Query, Retry, Tx, contract
from headwater.adapters.bells import LocalBell
from headwater.runtime.logs import JsonFormatter
from headwater.runtime.running import task_owners
from headwater.runtime.watchdog import Watchdog
from tests.flow.house import call, migrations, running

LATE = 0.05


@contract("desk.block", v=1, within="30s")
class Block(Command[None]):
    how: str
    seconds: float = 0.4


@contract("desk.inner", v=1)
class Inner(Query[None]):
    seconds: float


@contract("desk.done", v=1)
class Done(Event):
    seconds: float


def helper(seconds: float) -> None:
    time.sleep(seconds)  # line A


def place(function, mark: str) -> str:
    """Return file:line of the line with a mark."""
    import inspect

    lines, first = inspect.getsourcelines(function)
    number = next(i for i, line in enumerate(lines) if f"# line {mark}" in line)
    return f"{inspect.getsourcefile(function)}:{first + number}"


left: list[asyncio.Task] = []


def desk(folder) -> Module:
    module = Module("desk", migrations=migrations(folder, "desk", "create table t (a text);"))

    @module.handle(Block)
    async def block(cmd: Block, ctx: Ctx, tx: Tx) -> None:
        if cmd.how == "sleep":
            helper(cmd.seconds)
        elif cmd.how == "after a wait":
            await ctx.sleep(0.01)
            helper(cmd.seconds)
        elif cmd.how == "inner":
            await ctx.ask(Inner(seconds=cmd.seconds))
        elif cmd.how == "many":
            end = time.monotonic() + cmd.seconds
            while time.monotonic() < end:
                time.sleep(LATE / 5)
                await asyncio.sleep(0)
        elif cmd.how == "emit":
            await tx.emit(Done(seconds=cmd.seconds))
        elif cmd.how == "foreign":
            await tx.execute("insert into t values ('a')")
            await waiting(cmd.seconds)
        elif cmd.how == "foreign future":
            await tx.execute("insert into t values ('a')")
            await asyncio.wait_for(other.wait(), cmd.seconds + 5)
        elif cmd.how == "store":
            end = time.monotonic() + cmd.seconds
            while time.monotonic() < end:
                await tx.fetch_all(int, "with recursive c(x) as (values (1) union all select x + 1 from c where x < 9000) select x from c")
        elif cmd.how == "late tx":
            await waiting(cmd.seconds)
            await tx.execute("insert into t values ('a')")
        elif cmd.how == "leak":
            left.append(asyncio.create_task(forgotten(cmd.seconds)))  # line C
        elif cmd.how == "leak further in":
            await asyncio.gather(leaver(cmd.seconds), asyncio.sleep(0))
        elif cmd.how == "tasks":
            await asyncio.gather(asyncio.sleep(0.01), forgotten(cmd.seconds))
            async with asyncio.TaskGroup() as group:
                group.create_task(forgotten(0.01))

    @module.handle(Inner)
    async def inner(query: Inner) -> None:
        helper(query.seconds)

    @module.on(Done, retry=Retry(2, first=0.01, most=0.02))
    async def done(event: Done, tx: Tx) -> None:
        await tx.execute("insert into t values ('b')")
        await waiting(event.seconds)

    return module


other = asyncio.Event()


async def waiting(seconds: float) -> None:
    await asyncio.sleep(seconds)  # line B


async def forgotten(seconds: float) -> None:
    logging.getLogger("shop").info("still here")
    await asyncio.sleep(seconds)


async def leaver(seconds: float) -> None:
    left.append(asyncio.create_task(forgotten(seconds)))  # line D


async def watched(tmp_path, message: Block, **options):
    """Run one command under a watchdog; return what was found."""
    async with running(tmp_path, desk(tmp_path), bell=LocalBell()) as node:
        dog = Watchdog(node, **{"late": LATE, "tx_wait": 0.1, **options})
        dog.start()
        try:
            await asyncio.sleep(2 * LATE)
            await call(node, message, within=30.0)
            await node.settled(within=10.0)
            await asyncio.sleep(4 * LATE)
        finally:
            dog.stop()
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        left.clear()
        assert not [t for t in threading.enumerate() if t.name == "headwater-watchdog"]
    return [f for f in dog.recent() if f.name != "no handler"], dog


@pytest.mark.parametrize(("how", "name"), [("sleep", "desk.block/1"), ("after a wait", "desk.block/1"), ("inner", "desk.inner/1")])
async def test_the_handler_that_blocks_the_loop_is_named(tmp_path, how, name, caplog):
    (found,), dog = await watched(tmp_path, Block(how=how))
    assert (found.kind, found.name, found.place) == ("blocked", name, place(helper, "A"))
    assert 0.4 - LATE <= found.seconds < 5
    assert dog.counts["blocked", name] == 1
    (told,) = [r for r in caplog.records if r.name == "headwater.watchdog" and "no handler" not in r.getMessage()]
    assert name in told.getMessage()
    assert place(helper, "A") in told.getMessage()


async def test_a_handler_that_lets_others_in_blocks_nobody(tmp_path):
    """Busy for as long in all, but in small steps."""
    found, _ = await watched(tmp_path, Block(how="many", seconds=1.0), late=0.5)
    assert found == []


@pytest.mark.parametrize("how", ["foreign", "emit"])
async def test_a_transaction_that_waits_for_something_else_is_named(tmp_path, how):
    (found,), _ = await watched(tmp_path, Block(how=how))
    name = "desk.block/1" if how == "foreign" else "subscription desk.done: desk.done/1"
    assert (found.kind, found.name, found.place) == ("waiting", name, place(waiting, "B"))
    assert found.seconds >= 0.1


async def test_a_future_of_somebody_else_is_seen_through_the_library(tmp_path):
    loop = asyncio.get_running_loop()
    loop.call_later(0.5, other.set)
    (found,), _ = await watched(tmp_path, Block(how="foreign future"))
    other.clear()
    assert (found.kind, found.name) == ("waiting", "desk.block/1")
    assert found.place.startswith(__file__)


@pytest.mark.parametrize("how", ["store", "late tx"])
async def test_waiting_for_the_store_or_before_the_transaction_is_no_finding(tmp_path, how):
    found, _ = await watched(tmp_path, Block(how=how), late=0.5)
    assert [f for f in found if f.kind == "waiting"] == []


@pytest.mark.parametrize(("how", "mark"), [("leak", "C"), ("leak further in", "D")])
async def test_a_task_that_is_left_behind_is_named(tmp_path, how, mark):
    (found,), _ = await watched(tmp_path, Block(how=how, seconds=20.0), tasks=True)
    where = place(leaver, "D") if mark == "D" else place(desk, "C")
    assert (found.kind, found.name, found.place) == ("leaked", "desk.block/1", where)


async def test_tasks_that_are_waited_for_are_no_finding(tmp_path, caplog):
    """And what they log is told as the handler's."""
    before = asyncio.get_running_loop().get_task_factory()
    caplog.set_level(logging.INFO, "shop")
    caplog.handler.setFormatter(JsonFormatter())
    found, dog = await watched(tmp_path, Block(how="tasks", seconds=0.3), tasks=True)
    assert found == []
    assert asyncio.get_running_loop().get_task_factory() is before
    assert not dog._places
    assert not [t for t in task_owners if not t.done()]
    told = [json.loads(line) for line in caplog.text.splitlines() if "still here" in line]
    assert [line["contract"] for line in told] == ["desk.block/1"] * 2


async def test_a_loop_that_blocks_outside_of_handlers_is_told_too(tmp_path):
    async with running(tmp_path, desk(tmp_path)) as node:
        dog = Watchdog(node, late=LATE)
        dog.start()
        await asyncio.sleep(2 * LATE)
        helper(0.4)
        await asyncio.sleep(4 * LATE)
        dog.stop()
    found = [f for f in dog.recent() if f.place == place(helper, "A")]
    assert [(f.kind, f.name) for f in found] == [("blocked", "no handler")]

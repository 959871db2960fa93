"""An order row and an outbox row in one transaction, and a point read through a view.

    python -m bench.orders [--json]

64 handlers run at the same time; durability is stated in each row. The contender commits once for
each order, as a handler without group commit would.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Literal

import apsw

from bench.rounds import Result, compare, pin, report
from headwater import App, Command, Event, Module, Query, Tx, Value, View, contract
from headwater.ports import Record
from headwater.runtime.node import Node
from headwater.topology.assemble import assemble

ORDERS = 2048
HANDLERS = 64
READS = 10_000
Durability = Literal["disk", "process"]
INSERT = "insert into orders (customer, cents, lines) values (:customer, :cents, :lines)"
BY_ID = "select id, customer, cents from orders where id = :id"


class Order(Value):
    """A row."""

    id: int
    customer: str
    cents: int


@contract("orders.place", v=1, within="60s")
class Place(Command[None]):
    """Writes a row and emits an event."""

    customer: str
    cents: int


@contract("orders.placed", v=1, key="customer")
class Placed(Event):
    """The outbox row."""

    customer: str
    cents: int


@contract("orders.by_id", v=1)
class ById(Query[Order | None]):
    """One row."""

    id: int


@contract("orders.time_reads", v=1, within="60s")
class TimeReads(Query[float]):
    """Runs the reads inside one handler: what `view` itself costs."""


def application(folder: Path) -> App:
    """Return the module."""
    (folder / "sql").mkdir(exist_ok=True)
    (folder / "sql" / "0001_orders.sql").write_text(
        "create table orders (id integer primary key, customer text, cents integer, lines text);"
    )
    orders = Module("orders", migrations=str(folder / "sql"))

    @orders.handle(Place)
    async def place(cmd: Place, tx: Tx) -> None:
        await tx.execute(INSERT, customer=cmd.customer, cents=cmd.cents, lines="[]")
        await tx.emit(Placed(customer=cmd.customer, cents=cmd.cents))

    @orders.handle(ById)
    async def by_id(query: ById, view: View) -> Order | None:
        return await view.fetch_one(Order, BY_ID, id=query.id)

    @orders.handle(TimeReads)
    async def time_reads(query: TimeReads, view: View) -> float:
        fetch_one = view.fetch_one
        started = time.perf_counter()
        for n in range(READS):
            await fetch_one(Order, BY_ID, id=n % 500 + 1)
        return (time.perf_counter() - started) / READS * 1e6

    return App("bench", modules=[orders])


def _run(durability: Durability, main: Callable[[Node], Awaitable[float]]) -> float:
    async def run(folder: Path) -> float:
        node = assemble(application(folder), data=folder, durability=durability)
        await node.start()
        try:
            return await main(node)
        finally:
            await node.stop()

    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(run(Path(folder)))


async def _handlers(work: Callable[[int], Awaitable[object]]) -> float:
    async def one(first: int) -> None:
        for n in range(first, ORDERS, HANDLERS):
            await work(n)

    started = time.perf_counter()
    await asyncio.gather(*(one(first) for first in range(HANDLERS)))
    return (time.perf_counter() - started) / ORDERS * 1e6


def commands(durability: Durability) -> float:
    """Return microseconds an order through the whole runtime."""

    async def main(node: Node) -> float:
        return await _handlers(lambda n: node.dispatch(Place(customer=f"c{n % 50}", cents=n), node.context()))

    return _run(durability, main)


def store(durability: Durability) -> float:
    """Return microseconds an order through the store alone."""

    async def main(node: Node) -> float:
        target, ids, clock = node.stores["orders"], node.parts.ids, node.parts.clock

        async def order(n: int) -> None:
            unit = await target.begin(deadline=clock.monotonic() + 60.0)
            await unit.execute(INSERT, {"customer": f"c{n % 50}", "cents": n, "lines": "[]"}, user=True)
            await unit.append(
                [Record(id=ids.new(), name="orders.placed", version=1, key="c", payload=b"x" * 60, at=0.0)]
            )
            await unit.commit()

        return await _handlers(order)

    return _run(durability, main)


def commit_per_order(synchronous: str) -> float:
    """Return microseconds an order of bare apsw, one commit for each."""
    orders = ORDERS // 4
    with tempfile.TemporaryDirectory() as folder:
        db = apsw.Connection(f"{folder}/orders.db")
        db.pragma("journal_mode", "wal")
        db.pragma("synchronous", synchronous)
        db.execute("create table orders (id integer primary key, customer text, cents integer, lines text)")
        db.execute("create table outbox (position integer primary key autoincrement, id text unique, payload blob)")
        started = time.perf_counter()
        for n in range(orders):
            db.execute("begin immediate")
            db.execute(INSERT, {"customer": f"c{n % 50}", "cents": n, "lines": "[]"})
            db.execute("insert into outbox (id, payload) values (:id, :p)", {"id": f"id-{n}", "p": b"x" * 60})
            db.execute("commit")
        used = time.perf_counter() - started
        db.close()
        return used / orders * 1e6


async def _filled(node: Node) -> None:
    for n in range(500):
        await node.dispatch(Place(customer=f"c{n}", cents=n), node.context())


def reads_in_a_handler() -> float:
    """Return microseconds of `view.fetch_one` into a typed value."""

    async def main(node: Node) -> float:
        await _filled(node)
        return float(await node.dispatch(TimeReads(), node.context()))

    return _run("process", main)


def queries() -> float:
    """Return microseconds of a whole query: dispatch, a view of its own, one row, typed."""

    async def main(node: Node) -> float:
        await _filled(node)
        started = time.perf_counter()
        for n in range(READS):
            await node.dispatch(ById(id=n % 500 + 1), node.context())
        return (time.perf_counter() - started) / READS * 1e6

    return _run("process", main)


def bare_reads() -> float:
    """Return microseconds of a point read in bare apsw."""
    with tempfile.TemporaryDirectory() as folder:
        db = apsw.Connection(f"{folder}/orders.db")
        db.execute("pragma journal_mode = wal")
        db.execute("create table orders (id integer primary key, customer text, cents integer, lines text)")
        for n in range(500):
            db.execute(INSERT, {"customer": f"c{n}", "cents": n, "lines": "[]"})
        cursor = db.cursor()
        started = time.perf_counter()
        for n in range(READS):
            cursor.execute(BY_ID, {"id": n % 500 + 1}).fetchall()
        used = time.perf_counter() - started
        db.close()
        return used / READS * 1e6


def run() -> list[Result]:
    """Measure."""
    note = "how much group commit buys depends on what an fsync costs on this disk"
    return [
        compare(
            "Order row and outbox row, 64 handlers, FULL",
            {
                "headwater, the store": lambda: store("disk"),
                "headwater, whole commands": lambda: commands("disk"),
                "bare apsw, one commit an order": lambda: commit_per_order("full"),
            },
            base="headwater, the store", unit="us an order", notes=[note],
        ),
        compare(
            "Order row and outbox row, 64 handlers, NORMAL",
            {
                "headwater, the store": lambda: store("process"),
                "headwater, whole commands": lambda: commands("process"),
                "bare apsw, one commit an order": lambda: commit_per_order("normal"),
            },
            base="headwater, the store", unit="us an order",
        ),
        compare(
            "A point read",
            {
                "bare apsw": bare_reads,
                "view.fetch_one, typed": reads_in_a_handler,
                "a whole query through dispatch": queries,
            },
            base="bare apsw", unit="us a read",
        ),
    ]


if __name__ == "__main__":
    pin()
    report(run())

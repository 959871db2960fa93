"""An order and its event in one transaction, and a point read: what the store's promises cost.

    python -m bench.orders [--json]

The write: an order row and an outbox row, 64 handlers at once, through the ports (begin, execute,
append, commit) and through the whole runtime (a command with a Tx), beside bare apsw that commits
each order by itself. The read: one row by its key, typed, beside bare apsw.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal

import apsw

from bench.rounds import Result, compare, pin, report
from headwater import App, Command, Event, Module, Query, Tx, Value, View, contract
from headwater.ports import Record
from headwater.runtime.node import Node
from headwater.runtime.scope import NodeCtx, NodeView
from headwater.topology.assemble import assemble

ORDERS = 2048
READS = 5000
HANDLERS = 64
Durability = Literal["disk", "process"]

TABLE = "create table orders (id integer primary key, customer text not null, total integer not null)"
INSERT = "insert into orders (id, customer, total) values (:id, :customer, :total)"
SELECT = "select id, customer, total from orders where id = :id"
OUTBOX = "insert into outbox (id, payload) values (:id, :payload)"
PAYLOAD = b'{"id":1,"text":"' + b"x" * 80 + b'"}'


class Order(Value):
    """A row, typed."""

    id: int
    customer: str
    total: int


@contract("orders.place", v=1, within="60s")
class Place(Command[None]):
    """Write an order and emit an event."""

    id: int
    customer: str
    total: int


@contract("orders.placed", v=1, key="customer")
class Placed(Event):
    """An order was written."""

    id: int
    customer: str
    text: str


@contract("orders.find", v=1, within="60s")
class Find(Query[Order]):
    """Read an order."""

    id: int


def application(folder: Path) -> App:
    """Return one module with orders."""
    (folder / "sql").mkdir(exist_ok=True)
    (folder / "sql" / "0001_orders.sql").write_text(TABLE + ";")
    orders = Module("orders", migrations=str(folder / "sql"))

    @orders.handle(Place)
    async def place(cmd: Place, tx: Tx) -> None:
        await tx.execute(INSERT, id=cmd.id, customer=cmd.customer, total=cmd.total)
        await tx.emit(Placed(id=cmd.id, customer=cmd.customer, text="x" * 60))

    @orders.handle(Find)
    async def find(query: Find, view: View) -> Order:
        found = await view.fetch_one(Order, SELECT, id=query.id)
        assert found is not None
        return found

    return App("bench", modules=[orders])


@asynccontextmanager
async def running(durability: Durability) -> AsyncIterator[Node]:
    """Run the module in a folder of its own."""
    with tempfile.TemporaryDirectory() as folder:
        node = assemble(application(Path(folder)), data=Path(folder), durability=durability)
        await node.start()
        try:
            yield node
        finally:
            await node.stop()


def run_loop(work: Callable[[], Any]) -> float:
    """Run on the loop that `headwater run` would use."""
    if importlib.util.find_spec("uvloop"):
        import uvloop

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return float(runner.run(work()))
    return float(asyncio.run(work()))


# --- writing -----------------------------------------------------------------------------------


async def _together(one: Callable[[int], Awaitable[object]]) -> float:
    """Return microseconds an order, with every handler busy."""
    numbers = iter(range(ORDERS))

    async def handler() -> None:
        for number in numbers:
            await one(number)

    started = time.perf_counter()
    await asyncio.gather(*(handler() for _ in range(HANDLERS)))
    return (time.perf_counter() - started) / ORDERS * 1e6


def through_ports(durability: Durability) -> float:
    """Write with the store's ports alone."""

    async def main() -> float:
        async with running(durability) as node:
            store = node.stores["orders"]
            deadline = time.monotonic() + 60

            async def one(number: int) -> None:
                unit = await store.begin(deadline=deadline)
                await unit.execute(INSERT, {"id": number, "customer": f"c{number % 50}", "total": number}, user=True)
                await unit.append(
                    [Record(id=f"id-{number}", name="orders.placed", version=1, key="", payload=PAYLOAD, at=0.0)]
                )
                await unit.commit()

            return await _together(one)

    return run_loop(main)


def through_dispatch(durability: Durability) -> float:
    """Write with a command, as a request does."""

    async def main() -> float:
        async with running(durability) as node:

            async def one(number: int) -> None:
                await node.dispatch(Place(id=number, customer=f"c{number % 50}", total=number), node.context())

            return await _together(one)

    return run_loop(main)


@contextlib.contextmanager
def bare(synchronous: str) -> Iterator[apsw.Connection]:
    """Open SQLite as one would by hand, with an outbox."""
    with tempfile.TemporaryDirectory() as folder:
        db = apsw.Connection(f"{folder}/bare.db")
        db.pragma("journal_mode", "wal")
        db.pragma("synchronous", synchronous)
        db.execute(TABLE)
        db.execute("create table outbox (position integer primary key autoincrement, id text unique, payload blob)")
        try:
            yield db
        finally:
            db.close()


def commit_each(synchronous: str) -> float:
    """Write with bare apsw, one commit an order."""
    with bare(synchronous) as db:
        started = time.perf_counter()
        for number in range(ORDERS):
            db.execute("begin immediate")
            db.execute(INSERT, {"id": number, "customer": f"c{number % 50}", "total": number})
            db.execute(OUTBOX, {"id": f"id-{number}", "payload": PAYLOAD})
            db.execute("commit")
        return (time.perf_counter() - started) / ORDERS * 1e6


# --- reading -----------------------------------------------------------------------------------


def read_bare() -> float:
    """Read with bare apsw."""
    with bare("full") as db:
        db.executemany(INSERT, ({"id": n, "customer": f"c{n % 50}", "total": n} for n in range(1000)))
        started = time.perf_counter()
        for number in range(READS):
            list(db.execute(SELECT, {"id": number % 1000}))
        return (time.perf_counter() - started) / READS * 1e6


def read_through(reading: Callable[[Node], Callable[[int], Awaitable[object]]]) -> float:
    """Read with one `reading(node)` a row."""

    async def main() -> float:
        async with running("process") as node:
            unit = await node.stores["orders"].begin(deadline=time.monotonic() + 60)
            for n in range(1000):
                await unit.execute(INSERT, {"id": n, "customer": f"c{n % 50}", "total": n}, user=True)
            await unit.commit()
            read = reading(node)
            started = time.perf_counter()
            for number in range(READS):
                await read(number % 1000)
            return (time.perf_counter() - started) / READS * 1e6

    return run_loop(main)


def by_dispatch(node: Node) -> Callable[[int], Awaitable[object]]:
    """Ask a query."""

    async def read(number: int) -> object:
        return await node.dispatch(Find(id=number), node.context())

    return read


def _ctx(node: Node) -> NodeCtx:
    context = node.context()
    return NodeCtx(node._bound["orders"], context, context.deadline, 0, "bench")


def by_view(node: Node) -> Callable[[int], Awaitable[object]]:
    """Open a view, read, close it."""
    module = node._bound["orders"]

    async def read(number: int) -> object:
        view = NodeView(module, _ctx(node))
        try:
            return await view.fetch_one(Order, SELECT, id=number)
        finally:
            view.close()

    return read


def by_same_view(node: Node) -> Callable[[int], Awaitable[object]]:
    """Read again and again in one view."""
    view = NodeView(node._bound["orders"], _ctx(node))

    async def read(number: int) -> object:
        return await view.fetch_one(Order, SELECT, id=number)

    return read


def run() -> list[Result]:
    """Measure."""

    def writes(durability: Durability, synchronous: str) -> Result:
        return compare(
            f"An order and its event, {HANDLERS} at once, {durability} ({synchronous.upper()})",
            {
                "bare apsw, one commit an order": lambda: commit_each(synchronous),
                "store ports: begin, execute, append, commit": lambda: through_ports(durability),
                "node.dispatch of a command with Tx": lambda: through_dispatch(durability),
            },
            base="bare apsw, one commit an order", unit="us an order", rounds=5,
            notes=["how much a group commit buys depends on what an fsync costs on this disk"],
        )

    return [
        writes("disk", "full"),
        writes("process", "normal"),
        compare(
            "One row by its key",
            {
                "bare apsw": read_bare,
                "a view's second fetch, typed": lambda: read_through(by_same_view),
                "a view: open, fetch, typed, close": lambda: read_through(by_view),
                "node.dispatch of a query": lambda: read_through(by_dispatch),
            },
            base="bare apsw", unit="us a read", rounds=5,
        ),
    ]


if __name__ == "__main__":
    pin()
    report(run())

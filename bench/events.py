"""A typed event, from publish to handled, on the embedded log.

    python -m bench.events [--json]

Publishing is a command whose handler emits; handling is a subscription's transaction with its inbox
row and cursor. Durability is stated in each row. litequeue stands beside it, and FastStream on NATS where
`faststream[nats]` and `nats-server` are installed; the server is started here, on a free port.
"""

from __future__ import annotations

import asyncio
import importlib.util
import shutil
import socket
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import apsw

from bench.rounds import Result, compare, pin, report
from headwater import App, Command, Event, Module, Tx, contract
from headwater.topology.assemble import assemble

EVENTS = 4096
Durability = Literal["disk", "process"]


@contract("origin.happen", v=1, within="60s")
class Happen(Command[None]):
    """Emits one event."""

    n: int


@contract("origin.happened", v=1, key="thing")
class Happened(Event):
    """About a hundred bytes."""

    thing: str
    n: int
    text: str


def application(folder: Path, handled: Callable[[Happened], None]) -> App:
    """Return one module that emits and one that receives."""
    (folder / "sql").mkdir(exist_ok=True)
    (folder / "sql" / "0001_table.sql").write_text("create table t (n integer);")
    origin = Module("origin", migrations=str(folder / "sql"))
    sink = Module("sink")

    @origin.handle(Happen)
    async def happen(cmd: Happen, tx: Tx) -> None:
        await tx.emit(Happened(thing=f"thing-{cmd.n % 50}", n=cmd.n, text="x" * 60))

    @sink.on(Happened)
    async def received(event: Happened, tx: Tx) -> None:
        handled(event)

    return App("bench", modules=[origin, sink])


def _run(main: Callable[[Path], Any]) -> float:
    with tempfile.TemporaryDirectory() as folder:
        if importlib.util.find_spec("uvloop"):
            import uvloop

            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                return float(runner.run(main(Path(folder))))
        return float(asyncio.run(main(Path(folder))))


def headwater(durability: Durability, producers: int, *, clock: Callable[[], float], events: int = EVENTS) -> float:
    """Return microseconds (of `clock`) an event, until the last one is handled."""

    async def main(folder: Path) -> float:
        done, count = asyncio.Event(), 0

        def handled(_event: Happened) -> None:
            nonlocal count
            count += 1
            if count == events:
                done.set()

        node = assemble(application(folder, handled), data=folder, durability=durability)
        await node.start()

        async def produce(first: int) -> None:
            for n in range(first, events, producers):
                await node.dispatch(Happen(n=n), node.context())

        started = clock()
        await asyncio.gather(*(produce(first) for first in range(producers)))
        await done.wait()
        used = clock() - started
        await node.stop()
        return used / events * 1e6

    return _run(main)


def publish(durability: Durability, producers: int, events: int = EVENTS) -> float:
    """Return microseconds an event of publishing alone: nobody subscribes."""

    async def main(folder: Path) -> float:
        app = application(folder, lambda _event: None)
        node = assemble(App("bench", modules=app.modules[:1]), data=folder, durability=durability)
        await node.start()

        async def produce(first: int) -> None:
            for n in range(first, events, producers):
                await node.dispatch(Happen(n=n), node.context())

        started = time.perf_counter()
        await asyncio.gather(*(produce(first) for first in range(producers)))
        used = time.perf_counter() - started
        await node.stop()
        return used / events * 1e6

    return _run(main)


def commit_per_event(synchronous: str, events: int = 1024) -> float:
    """Return microseconds an event of bare SQLite with a commit for each."""
    with tempfile.TemporaryDirectory() as folder:
        db = apsw.Connection(f"{folder}/log.db")
        db.pragma("journal_mode", "wal")
        db.pragma("synchronous", synchronous)
        db.execute("create table log (position integer primary key autoincrement, thing text, payload blob)")
        started = time.perf_counter()
        for n in range(events):
            db.execute("insert into log (thing, payload) values (?, ?)", (f"thing-{n % 50}", b"x" * 100))
        used = time.perf_counter() - started
        db.close()
        return used / events * 1e6


def litequeue(*, clock: Callable[[], float], events: int = 1024) -> float:
    """Return microseconds a message of litequeue: put, pop, done."""
    import litequeue as library

    with tempfile.TemporaryDirectory() as folder:
        queue = library.LiteQueue(f"{folder}/queue.db")
        started = clock()
        for _ in range(events):
            queue.put("x" * 100)
        for _ in range(events):
            message = queue.pop()
            queue.done(message.message_id)
        return (clock() - started) / events * 1e6


def faststream(*, clock: Callable[[], float], producers: int, events: int = 2048) -> float:
    """Return microseconds (of this process's `clock`) an event of FastStream on NATS JetStream.

    Typed with Pydantic, its natural way; acknowledged publishing; a server of its own on a free port, whose
    own work is not counted.
    """
    from faststream.nats import JStream, NatsBroker
    from pydantic import BaseModel

    class Message(BaseModel):
        thing: str
        n: int
        text: str

    async def main(folder: Path) -> float:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        server = await asyncio.create_subprocess_exec(
            "nats-server", "-a", "127.0.0.1", "-p", str(port), "-js", "-sd", str(folder),
            stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            await asyncio.sleep(0.5)
            done, count = asyncio.Event(), 0
            broker = NatsBroker(f"nats://127.0.0.1:{port}", logger=None)  # a line for each message would not be fair
            stream = JStream(name="bench", subjects=["happened"])

            async def received(message: Message) -> None:
                nonlocal count
                count += 1
                if count == events:
                    done.set()

            broker.subscriber("happened", stream=stream, durable="bench")(received)
            await broker.start()

            async def produce(first: int) -> None:
                for n in range(first, events, producers):
                    message = Message(thing=f"thing-{n % 50}", n=n, text="x" * 60)
                    await broker.publish(message, "happened", stream="bench")

            started = clock()
            await asyncio.gather(*(produce(first) for first in range(producers)))
            await done.wait()
            used = clock() - started
            await broker.stop()
            return used / events * 1e6
        finally:
            server.terminate()
            await server.wait()

    return _run(main)


def latency(durability: Durability, events: int = 300) -> float:
    """Return the median milliseconds from the emit to the handler, one event at a time."""

    async def main(folder: Path) -> float:
        arrived: asyncio.Queue[float] = asyncio.Queue()
        app = application(folder, lambda _event: arrived.put_nowait(time.perf_counter()))
        node = assemble(app, data=folder, durability=durability)
        await node.start()
        took: list[float] = []
        for n in range(events):
            started = time.perf_counter()
            await node.dispatch(Happen(n=n), node.context())
            took.append(await arrived.get() - started)
            await asyncio.sleep(0.002)
        await node.stop()
        return statistics.median(took) * 1e3

    return _run(main)


def run() -> list[Result]:
    """Measure."""
    cpu: dict[str, Callable[[], float]] = {
        "headwater, 64 producers, process (NORMAL)": lambda: headwater("process", 64, clock=time.process_time),
        "headwater, 64 producers, disk (FULL)": lambda: headwater("disk", 64, clock=time.process_time),
    }
    if importlib.util.find_spec("litequeue"):
        cpu["litequeue, process"] = lambda: litequeue(clock=time.process_time)
    if importlib.util.find_spec("faststream") and shutil.which("nats-server"):
        cpu["FastStream on NATS JetStream, 64 producers"] = lambda: faststream(clock=time.process_time, producers=64)
    base = next(iter(cpu))
    return [
        compare("Publish to handled, CPU", cpu, base=base, unit="us of CPU an event", rounds=5),
        compare(
            "Publishing at FULL",
            {
                "headwater, 64 producers": lambda: publish("disk", 64),
                "headwater, 1 producer": lambda: publish("disk", 1, events=1024),
                "bare apsw, one commit an event": lambda: commit_per_event("full"),
            },
            base="headwater, 64 producers", unit="us an event", rounds=5,
            notes=["how much a group commit buys depends on what an fsync costs on this disk"],
        ),
        compare(
            "Emit to handler, one at a time",
            {"process (NORMAL)": lambda: latency("process"), "disk (FULL)": lambda: latency("disk")},
            base="process (NORMAL)", unit="ms, p50", rounds=5,
        ),
    ]


if __name__ == "__main__":
    pin()
    report(run())

"""What a call inside the process costs, as a multiple of a bare await.

    python -m bench.dispatch [--json]
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from pathlib import Path

from bench.rounds import Result, compare, pin, report
from headwater import App, Command, Ctx, Module, Value, contract
from headwater.topology.assemble import assemble

CALLS = 20_000


class Item(Value):
    """A small nested value."""

    product_id: str
    quantity: int


class Answer(Value):
    """What the handler returns."""

    order_id: str
    items: tuple[Item, ...]


@contract("callee.work", v=1)
class Work(Command[Answer]):
    """The call that is measured."""

    order_id: str
    items: tuple[Item, ...]


@contract("caller.measure", v=1, within="60s")
class Measure(Command[float]):
    """Runs the calls from inside a handler."""


ITEMS = (Item(product_id="a", quantity=1), Item(product_id="b", quantity=2))
ANSWER = Answer(order_id="o-1", items=ITEMS)
WORK = Work(order_id="o-1", items=ITEMS)


async def bare(_message: Work) -> Answer:
    """Do what the handler does, called directly."""
    return ANSWER


def application() -> App:
    """Return two modules, one calling the other."""
    caller, callee = Module("caller", uses=["callee"]), Module("callee")

    @callee.handle(Work)
    async def work(cmd: Work, ctx: Ctx) -> Answer:
        return ANSWER

    @caller.handle(Measure)
    async def measure(cmd: Measure, ctx: Ctx) -> float:
        call = ctx.call
        started = time.perf_counter()
        for _ in range(CALLS):
            await call(WORK)
        return (time.perf_counter() - started) / CALLS * 1e9

    return App("bench", modules=[caller, callee])


def plain() -> float:
    """Return nanoseconds of a bare await."""

    async def run() -> float:
        started = time.perf_counter()
        for _ in range(CALLS):
            await bare(WORK)
        return (time.perf_counter() - started) / CALLS * 1e9

    return asyncio.run(run())


def through(*, encode: bool) -> float:
    """Return nanoseconds of a call through the runtime."""

    async def run(folder: str) -> float:
        node = assemble(application(), data=Path(folder), encode=encode)
        await node.start()
        try:
            result: float = await node.dispatch(Measure(), node.context(within=60.0))
            return result
        finally:
            await node.stop()

    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(run(folder))


def run() -> list[Result]:
    """Measure."""
    return [
        compare(
            "A call between two modules of one process",
            {
                "bare await": plain,
                "ctx.call: deadline, context, outcome, meter": lambda: through(encode=False),
                "the same, encoded and decoded both ways": lambda: through(encode=True),
            },
            base="bare await", unit="ns",
        )
    ]


if __name__ == "__main__":
    pin()
    report(run())

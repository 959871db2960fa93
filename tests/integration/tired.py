"""An application that blocks, turns in circles, fails and waits when it is told to."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from headwater import Api, App, Command, Ctx, Event, Module, Query, Retry, Tx, contract, public


@contract("tired.low", v=1, priority="low")
class Low(Query[str]):
    """Asked by who can wait."""


@contract("tired.normal", v=1)
class Normal(Query[str]):
    """Asked by most."""


@contract("tired.critical", v=1, priority="critical", slo_p99="50ms", availability=0.99)
class Critical(Query[str]):
    """Asked by who cannot wait. ms: how long to keep everybody from going on. fails: whether to break."""

    ms: int = 0
    fails: bool = False


@contract("tired.spin", v=1, priority="critical", within="30s")
class Spin(Query[int]):
    """Use the processor for a while."""

    ms: int


@contract("tired.sleep", v=1, priority="critical", within="30s")
class Sleep(Query[str]):
    """Keep a thread."""

    ms: int


@contract("tired.tell", v=1, within="30s")
class Tell(Command[None]):
    """Tell of something. fails: how often its subscriber is to fail. gate: a file that it waits for, if any."""

    name: str
    fails: int = 0
    gate: str = ""


@contract("tired.told", v=1, key="name")
class Told(Event):
    """Something was told of."""

    name: str
    fails: int
    gate: str


tired = Module("tired")
listener = Module("listener")
failed: dict[str, int] = {}


@tired.handle(Low)
async def low(_query: Low, _ctx: Ctx) -> str:
    return "low"


@tired.handle(Normal)
async def normal(_query: Normal, _ctx: Ctx) -> str:
    return "normal"


@tired.handle(Critical)
async def critical(query: Critical, _ctx: Ctx) -> str:
    time.sleep(query.ms / 1000)
    if query.fails:
        raise RuntimeError("told to")
    return "critical"


@tired.handle(Spin)
async def spin(query: Spin, _ctx: Ctx) -> int:
    return turn_in_circles(time.monotonic() + query.ms / 1000)


def turn_in_circles(end: float) -> int:
    """Do nothing of use, until a moment."""
    turns = 0
    while time.monotonic() < end:
        turns += 1
    return turns


@tired.handle(Sleep)
def sleep(query: Sleep) -> str:
    time.sleep(query.ms / 1000)
    return "slept"


@tired.handle(Tell)
async def tell(cmd: Tell, tx: Tx) -> None:
    await tx.emit(Told(name=cmd.name, fails=cmd.fails, gate=cmd.gate))


@listener.on(Told, retry=Retry(attempts=3, first=0.02, most=0.05))
async def hear(event: Told, ctx: Ctx) -> None:
    while event.gate and not await asyncio.to_thread(Path(event.gate).exists):
        await asyncio.sleep(0.02)
    failed.setdefault(event.name, 0)
    if failed[event.name] < event.fails:
        failed[event.name] += 1
        raise RuntimeError(f"{event.name}: told to fail")


v1 = Api("v1", auth=public)
v1.get("/low", Low)
v1.get("/normal", Normal)
v1.get("/critical", Critical)
v1.get("/spin", Spin)
v1.get("/sleep", Sleep)
v1.post("/told", Tell)

app = App("tired", modules=[tired, listener], apis=[v1])

"""Handlers run as if each had a task of its own: whatever rests on the current task works, from the first step on."""

from __future__ import annotations

import asyncio
import contextvars
from typing import Any, NamedTuple

import pytest

from headwater import Api, App, Command, Module, Query, contract, public
from headwater.edge.routes import Router
from headwater.edge.server import Server
from headwater.runtime.node import Node
from tests.flow.house import parts

variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="clean")


@contract("tasks.run", v=1, within="1s")
class Run(Query[str]):
    what: str


@contract("tasks.slow", v=1, within="5s")
class Slow(Command[str]):
    name: str


async def timeout_before() -> str:
    """A timer that is set in the first step, before anything waits."""
    try:
        async with asyncio.timeout(0.02):
            await asyncio.sleep(5)
    except TimeoutError:
        return "timed out"
    return "not"


async def timeout_unused() -> str:
    async with asyncio.timeout(5):
        pass
    return str(asyncio.current_task().cancelling())


async def group() -> str:
    found: list[int] = []

    async def child(number: int) -> None:
        await asyncio.sleep(0)
        found.append(number)

    async with asyncio.TaskGroup() as tasks:
        for number in range(3):
            tasks.create_task(child(number))
    return str(sorted(found))


async def group_that_fails() -> str:
    async def fail() -> None:
        raise ValueError("x")

    said = "not"
    try:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(fail())
            await asyncio.sleep(5)
    except* ValueError:
        said = f"caught, {asyncio.current_task().cancelling()} left"
    return said


async def same_task() -> str:
    before = asyncio.current_task()
    await asyncio.sleep(0.001)
    return str(before is asyncio.current_task() and isinstance(before, asyncio.Task))


async def cancels_itself() -> str:
    task = asyncio.current_task()
    task.cancel()
    try:
        await asyncio.sleep(0)
    except asyncio.CancelledError:
        task.uncancel()
        return "cancelled at the next wait"
    return "not"


async def cancels_itself_and_returns() -> str:
    asyncio.current_task().cancel()
    return "returned"


async def sets_variable() -> str:
    before = variable.get()
    variable.set("dirty")
    return before


async def sets_variable_and_waits() -> str:
    before = variable.get()
    variable.set("mine")
    await asyncio.sleep(0.001)
    return before + " " + variable.get()


async def shielded() -> str:
    return await asyncio.shield(asyncio.ensure_future(asyncio.sleep(0.001, "shielded")))


async def wait_for() -> str:
    try:
        await asyncio.wait_for(asyncio.Event().wait(), 0.01)
    except TimeoutError:
        return "timed out"
    return "not"


async def yields_bare() -> str:
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    return "ok"


WHAT = {f.__name__: f for f in (
    timeout_before, timeout_unused, group, group_that_fails, same_task, cancels_itself, cancels_itself_and_returns, sets_variable,
    sets_variable_and_waits, shielded, wait_for, yields_bare,
)}
SAID = {
    "timeout_before": "timed out", "timeout_unused": "0", "group": "[0, 1, 2]", "group_that_fails": "caught, 0 left",
    "same_task": "True", "cancels_itself": "cancelled at the next wait", "cancels_itself_and_returns": "returned",
    "sets_variable": "clean", "sets_variable_and_waits": "clean mine", "shielded": "shielded", "wait_for": "timed out",
    "yields_bare": "ok",
}


class Site(NamedTuple):
    server: Server
    node: Node
    seen: list[str]


@pytest.fixture
async def site(tmp_path: Any) -> Any:
    seen: list[str] = []
    module = Module("tasks")

    @module.handle(Run)
    async def run(query: Run) -> str:
        return await WHAT[query.what]()

    @module.handle(Slow)
    async def slow(cmd: Slow) -> str:
        seen.append(f"{cmd.name} began")
        try:
            await asyncio.sleep(4)
        except asyncio.CancelledError:
            seen.append(f"{cmd.name} cancelled")
            raise
        return "done"

    made = parts(tmp_path)
    node = Node(App("tasks", modules=[module]), made)
    await node.start()
    v1 = Api("v1", auth=public)
    v1.get("/run/{what}", Run)
    v1.post("/slow", Slow)
    server = Server(Router([v1], node), clock=made.clock)
    await server.start()
    yield Site(server, node, seen)
    await server.stop(within=1)
    await node.stop(within=1)


async def ask(server: Server, *whats: str) -> list[str]:
    """Ask one after another on one connection, all sent at once."""
    reader, writer = await asyncio.open_connection(*server.address)
    for what in whats:
        writer.write(f"GET /v1/run/{what} HTTP/1.1\r\nHost: h\r\n\r\n".encode())
    found = []
    for _ in whats:
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
        length = next(int(x.split(b":")[1]) for x in head.split(b"\r\n") if x.startswith(b"content-length"))
        found.append((await reader.readexactly(length)).decode().strip('"'))
    writer.close()
    return found


@pytest.mark.parametrize("what", WHAT)
async def test_what_rests_on_the_current_task_works(site, what):
    assert await ask(site.server, what) == [SAID[what]]


async def test_nothing_of_one_request_is_left_for_the_next(site):
    """All of them, in several orders, on one connection and on many: each finds a clean task and context."""
    names = list(WHAT)
    orders = [names, names[::-1], [n for n in names for _ in range(3)]]
    for order in orders:
        assert await ask(site.server, *order) == [SAID[n] for n in order]
    many = await asyncio.gather(*(ask(site.server, *names) for _ in range(20)))
    assert many == [[SAID[n] for n in names]] * 20


async def test_a_client_that_goes_away_cancels_its_handler(site):
    _, writer = await asyncio.open_connection(*site.server.address)
    body = b'{"name":"a"}'
    writer.write(b"POST /v1/slow HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    while not site.seen:
        await asyncio.sleep(0.01)
    assert site.node.in_flight == 1
    writer.close()
    for _ in range(100):
        await asyncio.sleep(0.01)
        if len(site.seen) == 2:
            break
    assert site.seen == ["a began", "a cancelled"]
    assert site.node.in_flight == 0


async def test_no_tasks_are_left_behind(site):
    """A thousand requests that do not wait share one task; it ends with the server."""
    before = len(asyncio.all_tasks())
    await ask(site.server, *["sets_variable"] * 50, *["timeout_unused"] * 200)
    await asyncio.sleep(0.01)
    assert len(asyncio.all_tasks()) <= before + 1

"""A simulated world for an application: its disks, its processes, its clients, and what goes wrong.

A scenario is an async function that takes a `World`. Everything in it is decided by the seed: who runs
next, when a process dies and at which point, which events come late and twice, which answers get lost.
Clients do what good clients do: they try again with the same request until they have an outcome.
"""

from __future__ import annotations

import asyncio
import functools
import itertools
import platform
import random
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import apsw

from headwater.adapters.sqlite import SqliteStore
from headwater.errors import InvalidMessage, NotExecuted, OutcomeUnknown, StoreUnavailable
from headwater.model.app import App
from headwater.model.identity import ANONYMOUS, Identity
from headwater.model.message import Command, Message, Query
from headwater.model.module import Module
from headwater.ports import POINTS, CrashPoints, Store
from headwater.runtime.meter import Meter
from headwater.runtime.node import Node
from headwater.runtime.operate import dead_letters
from headwater.runtime.parts import DeliveryFaults, Parts
from headwater.runtime.tables import SCHEMA
from headwater.testing import simulation

__all__ = ["Crashed", "Disks", "Faults", "Scenario", "World", "simulate"]

R = TypeVar("R")
T = TypeVar("T")
PATIENCE = 100
"""Tries of one request after which a client's patience is itself a finding."""
START = datetime(2026, 1, 1, tzinfo=UTC)


class Crashed(BaseException):
    """The simulated process is gone. Not an Exception: no code of that process may handle it."""


class Faults:
    """What may go wrong, drawn from the seed ("swarm": each seed has its own mixture)."""

    __slots__ = ("crash_every", "crash_point", "delay", "duplicate", "lost_answer", "processes")

    def __init__(self, chance: random.Random) -> None:
        self.processes = chance.choice((1, 1, 2))
        self.crash_every = chance.choice((0.0, 2.0, 5.0, 15.0))
        self.crash_point = chance.choice((0.0, 0.0005, 0.003))
        self.duplicate = chance.choice((0.0, 0.2, 1.0))
        self.delay = chance.choice((0.0, 0.05, 0.5))
        self.lost_answer = chance.choice((0.0, 0.1))

    def __repr__(self) -> str:
        return ", ".join(f"{name}={getattr(self, name)}" for name in self.__slots__)


class _Clock:
    """The simulation loop's time as a Clock."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.monotonic = loop.time

    def now(self) -> datetime:
        return START + timedelta(seconds=self._loop.time())

    def wall(self) -> float:
        return START.timestamp() + self._loop.time()

    def call_at(self, when: float, callback: Callable[[], object]) -> asyncio.TimerHandle:
        return self._loop.call_at(when, callback)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class _Ids:
    """Ids in the shape of UUIDv7, counted."""

    def __init__(self) -> None:
        self._count = itertools.count(1)

    def new(self) -> str:
        text = f"{next(self._count):012x}"
        return f"{text[:8]}-{text[8:]}-7000-8000-000000000000"


class _InPlace:
    """The Executor port, without threads."""

    async def run(self, work: Callable[[], T]) -> T:
        return work()

    def close(self) -> None:
        pass


class _Bells:
    """Rings between processes: late, sometimes twice, sometimes never."""

    def __init__(self, chance: random.Random, clock: _Clock) -> None:
        self._chance = chance
        self._clock = clock
        self.nodes: list[_Bell] = []

    def ring(self, topic: str) -> None:
        for bell in list(self.nodes):
            for _ in range(self._chance.choice((0, 1, 1, 1, 2))):
                due = self._clock.monotonic() + self._chance.choice((0.0, 0.0, 0.01))
                self._clock.call_at(due, functools.partial(bell.hear, topic))


class _Bell:
    def __init__(self, bells: _Bells) -> None:
        self._bells = bells
        self._listeners: dict[str, list[Callable[[], None]]] = {}

    async def open(self) -> None:
        self._bells.nodes.append(self)

    def listen(self, topic: str, callback: Callable[[], None]) -> None:
        self._listeners.setdefault(topic, []).append(callback)

    def ring(self, topic: str) -> None:
        self._bells.ring(topic)

    def hear(self, topic: str) -> None:
        for callback in self._listeners.get(topic, ()):
            callback()

    async def close(self) -> None:
        if self in self._bells.nodes:
            self._bells.nodes.remove(self)


class Disks:
    """The databases of one simulated machine, in memory, kept while processes come and go.

    `template` fills a new machine's disks with what a first start makes, so that a seed need not do it.
    """

    _numbers = itertools.count()

    def __init__(self, template: dict[str, bytes] | None = None) -> None:
        self._number = next(Disks._numbers)
        self._keepers: dict[str, apsw.Connection] = {}
        self._template = template or {}

    def uri(self, name: str) -> str:
        """Return where a module's database is."""
        uri = f"file:/hw{self._number}-{name}?vfs=memdb"
        if name not in self._keepers:
            flags = apsw.SQLITE_OPEN_URI | apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE
            keeper = self._keepers[name] = apsw.Connection(uri, flags=flags)
            if name in self._template:
                source = apsw.Connection(":memory:")
                source.deserialize("main", self._template[name])
                with keeper.backup("main", source, "main") as copying:
                    copying.step()
                source.close()
        return uri

    def copy(self) -> dict[str, bytes]:
        """Return every database as it is, for a template."""
        return {name: keeper.serialize("main") for name, keeper in self._keepers.items()}

    def close(self) -> None:
        """Throw the disks away."""
        for keeper in self._keepers.values():
            keeper.close()


class _Process:
    """One simulated process: a node, and what runs in it on behalf of clients."""

    def __init__(self, slot: int) -> None:
        self.slot = slot
        self.run = 0
        self.node: Node | None = None
        self.work: dict[asyncio.Task[Any], None] = {}


class World:
    """What a scenario sees. `random` is the scenario's own chance; `crashes` counts what happened."""

    def __init__(self, app: App, seed: int, *, faults: Faults | None = None, disks: Disks | None = None) -> None:
        loop = asyncio.get_running_loop()
        self.app = app
        self.seed = seed
        self.random = random.Random(f"scenario {seed}")  # noqa: S311 - must be replayable
        self._chance = random.Random(f"world {seed}")  # noqa: S311
        self.faults = faults or Faults(self._chance)
        self.crashes = 0
        self.calm = False
        self._clock = _Clock(loop)
        self._ids = _Ids()
        self._bells = _Bells(self._chance, self._clock)
        self._disks = disks or Disks()
        self._processes = [_Process(slot) for slot in range(self.faults.processes)]
        self._trouble: asyncio.Task[None] | None = None

    # --- life ---------------------------------------------------------------------------------

    async def start(self) -> None:
        """Start every process, and the trouble."""
        for process in self._processes:
            await self._start(process)
        if self.faults.crash_every:
            self._trouble = asyncio.get_running_loop().create_task(self._make_trouble())

    async def stop(self) -> None:
        """End everything at once."""
        if self._trouble is not None:
            self._trouble.cancel()
        for process in self._processes:
            self._kill(process)
        self._disks.close()

    async def _start(self, process: _Process) -> None:
        process.run += 1
        while process.node is None:
            node = process.node = Node(self.app, self._parts(process))
            try:
                await self._within(process, node.start())
            except _NoAnswer:
                process.node = None
            except StoreUnavailable:  # the other process is writing; in memory nobody waits inside SQLite
                node.abandon()
                process.node = None
                await asyncio.sleep(0.05)

    async def _within(self, process: _Process, work: Coroutine[Any, Any, T]) -> T:
        """Run work in a task that dies with its process. Raises _NoAnswer when it does."""
        task = asyncio.get_running_loop().create_task(work)
        process.work[task] = None
        try:
            await asyncio.wait([task])
        finally:
            process.work.pop(task, None)
            task.cancel()
        if task.cancelled() or isinstance(task.exception(), Crashed):
            raise _NoAnswer
        return task.result()

    def _parts(self, process: _Process) -> Parts:
        points = CrashPoints(lambda name: self._strike(process, name))

        def store(module: Module) -> SqliteStore:
            return self._store(module, self._disks.uri(module.name), points)

        @asynccontextmanager
        async def scratch(module: Module) -> AsyncGenerator[Store]:
            disks = Disks()
            made = self._store(module, disks.uri(module.name), CrashPoints())
            await made.open()
            try:
                yield made
            finally:
                await made.close()
                disks.close()

        faults = self.faults
        return Parts(
            store=store, scratch=scratch, clock=self._clock, random=self._chance, ids=self._ids, executor=_InPlace(),
            bell=_Bell(self._bells), telemetry=Meter(), points=points, owner=f"sim:{process.slot}:{process.run}",
            faults=DeliveryFaults(duplicate=faults.duplicate, delay=faults.delay),
        )

    def _store(self, module: Module, uri: str, points: CrashPoints) -> SqliteStore:
        return SqliteStore(
            uri, app=self.app.name, module=module.name, migrations=module.migrations, framework_schema=SCHEMA,
            clock=self._clock, executor=_InPlace(), points=points,
        )

    # --- trouble ------------------------------------------------------------------------------

    def _strike(self, process: _Process, name: str) -> None:
        assert name in POINTS
        if not self.calm and self.faults.crash_point and self._chance.random() < self.faults.crash_point:
            self.crash(process.slot)
            raise Crashed(name)

    def crash(self, slot: int = 0) -> None:
        """Kill a process now; it comes back a little later."""
        process = self._processes[slot]
        if process.node is None:
            return
        self.crashes += 1
        self._kill(process)
        loop = asyncio.get_running_loop()
        loop.call_later(self._chance.uniform(0.0, 1.0), lambda: loop.create_task(self._start(process)))

    def _kill(self, process: _Process) -> None:
        node, process.node = process.node, None
        if node is not None:
            node.abandon()
        for task in process.work:
            task.cancel()

    async def _make_trouble(self) -> None:
        while not self.calm:
            await asyncio.sleep(self._chance.uniform(0.0, 2 * self.faults.crash_every))
            if not self.calm:
                self.crash(self._chance.randrange(len(self._processes)))

    # --- clients ------------------------------------------------------------------------------

    async def call(self, message: Command[R], *, identity: Identity = ANONYMOUS) -> R:
        """Run a command as a stubborn client: the same message again until there is an outcome.

        The message must be idempotent. Raises the declared Failure it is refused with.
        """
        result: R = await self._insist(message, identity)
        return result

    async def ask(self, message: Query[R], *, identity: Identity = ANONYMOUS) -> R:
        """Answer a query as a stubborn client."""
        result: R = await self._insist(message, identity)
        return result

    async def _insist(self, message: Message, identity: Identity) -> Any:
        failed: list[BaseException] = []
        while len(failed) < PATIENCE:
            process = self._chance.choice(self._processes)
            if process.node is None or not process.node.ready:
                await asyncio.sleep(self._chance.uniform(0.01, 0.2))
                continue
            try:
                result = await self._within(process, _outcome(process.node, message, identity))
            except InvalidMessage:
                raise
            except (NotExecuted, OutcomeUnknown, _NoAnswer) as error:
                failed.append(error)
                await asyncio.sleep(self._chance.uniform(0.01, 0.2))
                continue
            if not self.calm and self._chance.random() < self.faults.lost_answer:
                continue
            return result
        raise AssertionError(f"{type(message).__name__} got no outcome in {PATIENCE} tries") from failed[-1]

    # --- quiet --------------------------------------------------------------------------------

    async def settled(self, *, within: float = 600.0) -> None:
        """End the trouble, bring everybody back, and wait until all is dealt with.

        Raises AssertionError on a dead letter.
        """
        self.calm = True
        while any(p.node is None or not p.node.ready for p in self._processes):  # noqa: ASYNC110 - virtual time costs nothing
            await asyncio.sleep(0.1)
        node = self._processes[0].node
        assert node is not None
        give_up = self._clock.monotonic() + within
        while True:
            try:
                await node.settled(within=within)
                dead = [letter for store in node.stores.values() for letter in await dead_letters(store)]
                break
            except StoreUnavailable as error:  # the other process was writing, or there is still work
                if self._clock.monotonic() > give_up:
                    raise AssertionError(f"not settled after {within} virtual seconds: {error}") from error
                await asyncio.sleep(0.01)
        assert not dead, f"dead letters: {[(d.subscription, d.error) for d in dead]}"


class _NoAnswer(Exception):
    """The process died, or the answer was lost on its way."""


async def _outcome(node: Node, message: Message, identity: Identity) -> Any:
    return await node.dispatch(message, node.context(identity=identity))


Scenario = Callable[[World], Awaitable[None]]


def simulate(
    app: App, scenario: Scenario, seed: int, *, template: dict[str, bytes] | None = None, seconds: float = 3600.0
) -> simulation.Finished[str]:
    """Run a scenario under one seed; return the run's trace and what went wrong in it.

    A failure carries the seed, the mixture of faults and the Python version as a note.
    """
    told = ""

    async def main() -> str:
        nonlocal told
        world = World(app, seed, disks=Disks(template))
        told = f"seed {seed}, Python {platform.python_version()}, {world.faults}"
        await world.start()
        try:
            await scenario(world)
        finally:
            await world.stop()
        return f"{told}, crashes={world.crashes}"

    try:
        return simulation.run(_quietly(main()), seed=seed, seconds=seconds)
    except BaseException as error:
        error.add_note(f"simulation: {told}")
        raise


async def _quietly(main: Coroutine[Any, Any, T]) -> T:
    """A process that dies takes its tasks with it; the loop need not report each."""
    asyncio.get_running_loop().set_exception_handler(lambda _loop, _context: None)
    return await main


def template_of(app: App) -> dict[str, bytes]:
    """Return the disks of an application after its first start, for `simulate`."""

    async def main() -> dict[str, bytes]:
        disks = Disks()
        calm = Faults(random.Random(0))  # noqa: S311
        calm.processes, calm.crash_every, calm.crash_point = 1, 0.0, 0.0
        world = World(app, 0, faults=calm, disks=disks)
        await world.start()
        copied = disks.copy()
        await world.stop()
        return copied

    return simulation.run(main(), seed=0).value

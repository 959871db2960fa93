"""`TestApp`: a whole application in a test, on real embedded parts in a folder of its own.

Modes: `plain` as in production; `encoded`, where every call between modules is encoded and decoded as
if it were remote; `chaos`, encoded, and every event is delivered twice and late. The same test should
pass in all three.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Coroutine, Mapping
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self, TypeVar, overload

from headwater.adapters.bells import LocalBell
from headwater.edge.routes import Router
from headwater.errors import StoreUnavailable
from headwater.model.app import App
from headwater.model.codec import from_json
from headwater.model.contract import contract_of
from headwater.model.identity import ANONYMOUS, Identity
from headwater.model.message import Command, Event, Failure, Query
from headwater.runtime.node import Node
from headwater.runtime.operate import DeadLetter, dead_letters
from headwater.runtime.parts import DeliveryFaults
from headwater.testing.clock import VirtualClock, let_others_run
from headwater.testing.fakes import Fakes, Spec, failing
from headwater.testing.http import HttpClient, KnownTokens
from headwater.topology.assemble import assemble

__all__ = ["Mode", "TestApp"]

M = TypeVar("M")
R = TypeVar("R")
E = TypeVar("E", bound=Event)
T = TypeVar("T")
Mode = Literal["plain", "encoded", "chaos"]
_MISSING: Any = object()


class TestApp:
    """An application under test. Use with `async with`; it is drained and removed at the end.

    replace: providers (of `Use`) and the values that stand in for them. data: a folder to keep; by
    default a temporary one. at: a virtual clock that begins there and moves by `clock.advance` alone.
    fakes_lock: a file that remembers the shape of faked contracts.
    """

    __test__ = False

    def __init__(
        self, app: App, *, mode: Mode = "plain", replace: Mapping[Callable[..., Any], object] | None = None,
        data: Path | None = None, at: datetime | None = None, fakes_lock: Path | None = None,
    ) -> None:
        self._app = app
        self._mode = mode
        self._replace = replace
        self._data = data
        self._clock = None if at is None else VirtualClock(at)
        self._fakes = Fakes(fakes_lock)
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._node: Node | None = None
        self._http: HttpClient | None = None
        self._expected_dead: set[str] = set()

    # --- life ---------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        folder = self._data
        if folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="headwater-test-")
            folder = Path(self._folder.name)
        chaos = DeliveryFaults(duplicate=1.0, delay=0.01) if self._mode == "chaos" else None
        (folder / "run").mkdir(parents=True, exist_ok=True)
        node = assemble(
            self._app, data=folder, durability="process", encode=self._mode != "plain", faults=chaos,
            replace=self._replace, fakes=self._fakes.answers, clock=self._clock, bell=LocalBell(),
        )
        await node.start()
        self._node = node
        self._http = HttpClient(Router(self._app.apis, node, verifier=KnownTokens()))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self._node is not None:
                await self._node.stop(within=5.0)
        finally:
            if self._folder is not None:
                self._folder.cleanup()

    @property
    def node(self) -> Node:
        """The running node."""
        if self._node is None:
            raise RuntimeError("TestApp is not running: use `async with TestApp(app) as t:`")
        return self._node

    @property
    def clock(self) -> VirtualClock:
        """The virtual clock. Only with `at=`."""
        if self._clock is None:
            raise RuntimeError("TestApp runs on real time; give it at=datetime(..., tzinfo=UTC) for a virtual clock")
        return self._clock

    @property
    def http(self) -> HttpClient:
        """The application's routes, without a socket."""
        if self._http is None:
            raise RuntimeError("TestApp is not running: use `async with TestApp(app) as t:`")
        return self._http

    # --- asking -------------------------------------------------------------------------------

    async def call(
        self, message: Command[R], *, identity: Identity = ANONYMOUS, within: float | None = None,
        key: str | None = None,
    ) -> R:
        """Run a command as from outside. Raises as `ctx.call`."""
        context = self.node.context(within=within, identity=identity, idempotency_key=key)
        result: R = await self.node.dispatch(message, context)
        return result

    async def ask(self, message: Query[R], *, identity: Identity = ANONYMOUS, within: float | None = None) -> R:
        """Answer a query as from outside, having seen everything that was emitted before, as a session would."""
        heads = {name: await store.log.head() for name, store in self.node.stores.items()}
        token = {name: head for name, head in heads.items() if head}
        result: R = await self.node.dispatch(message, self.node.context(within=within, identity=identity, token=token))
        return result

    async def settled(self, *, within: float = 10.0) -> None:
        """Return when every event has been dealt with and no durable command is due.

        Virtual time is moved as far as retries need. Fails with AssertionError on a dead letter that
        `dead_letters` has not shown to the test, naming it.
        """
        if self._clock is None:
            await self.node.settled(within=within)
        else:
            await self._settle(self._clock, within)
        new = [letter for letter in await self._dead() if letter.id not in self._expected_dead]
        if new:
            said = "; ".join(f"{d.subscription}: {d.record.name} {d.record.payload.decode()}: {d.error}" for d in new)
            raise AssertionError(f"{len(new)} dead letter{'s' * (len(new) > 1)}: {said}")

    async def _settle(self, clock: VirtualClock, within: float) -> None:
        passed = 0.0
        while True:
            await let_others_run()
            busy = [worker.name for worker in self.node.workers if await worker.pending()]
            if not busy and not self.node.in_flight:
                return
            step = clock.next_due
            if step is None or passed > within * 60:
                raise StoreUnavailable(f"not settled: {', '.join(busy)}")
            passed += step
            await clock.advance(max(step, 0.0))

    # --- looking ------------------------------------------------------------------------------

    def emitted(self, event: type[E]) -> list[E]:
        """Return every committed event of a class, in commit order."""
        contract = contract_of(event)
        log = self.node.stores[contract.module].log
        records, _ = _at_once(log.read(after=0, names=[contract.name], limit=100_000))
        return [from_json(event, r.payload) for r in records if r.version == contract.version]

    async def dead_letters(self) -> list[DeadLetter]:
        """Return all dead letters; `settled` no longer complains about these."""
        found = await self._dead()
        self._expected_dead |= {letter.id for letter in found}
        return found

    async def _dead(self) -> list[DeadLetter]:
        return [letter for store in self.node.stores.values() for letter in await dead_letters(store)]

    # --- fakes --------------------------------------------------------------------------------

    @overload
    def fake(self, message: Spec[M, R], *, returns: R) -> None: ...
    @overload
    def fake(self, message: Spec[M, R], *, fails: Failure) -> None: ...
    @overload
    def fake(self, message: Spec[M, R], *, answer: Callable[[M], R]) -> None: ...
    def fake(
        self, message: Spec[Any, Any], *, returns: Any = _MISSING, fails: Failure | None = None,
        answer: Callable[[Any], Any] | None = None,
    ) -> None:
        """Answer a contract in place of its module; before `async with`.

        The result is what the contract says, for type checkers and at run time. Raises StaleFake when the
        contract has changed since the fake was recorded.
        """
        if self._node is not None:
            raise RuntimeError("fakes are set before the start: t = TestApp(app); t.fake(...); async with t: ...")
        if fails is not None:
            answer = failing(fails)
        elif answer is None:
            if returns is _MISSING:
                raise TypeError("fake() needs returns=, fails= or answer=")
            answer = lambda _message: returns  # noqa: E731
        self._fakes.add(message, answer)


def _at_once(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that does not wait: embedded logs are read in place."""
    try:
        work.send(None)
    except StopIteration as done:
        value: T = done.value
        return value
    work.close()
    raise RuntimeError("the log could not be read at once; await settled() first")

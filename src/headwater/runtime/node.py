"""A node: the modules that run in this process, the way in, and an orderly way out.

A message from outside comes in through `dispatch`; between modules it goes from handler to handler
through their `ctx`. Both end at the same `Endpoint`, so a call is the same from everywhere.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import math
from collections.abc import Collection, Mapping
from typing import Any

from headwater.errors import ConfigurationError, Draining, HeadwaterError, NoHandler, Overloaded, StoreUnavailable
from headwater.model.app import App
from headwater.model.context import Context
from headwater.model.contract import PRIORITIES, contract_of
from headwater.model.identity import ANONYMOUS, Identity
from headwater.model.message import Message
from headwater.model.module import Handler, Subscription
from headwater.ports import EventLog, Store
from headwater.runtime.bound import (
    BoundModule,
    Endpoint,
    Runs,
    caller,
    command_run,
    query_run,
)
from headwater.runtime.delivery import Pump, Reaction
from headwater.runtime.event_codec import EventCodec, UpcastCodec
from headwater.runtime.fresh import Freshness
from headwater.runtime.housekeeping import Housekeeper
from headwater.runtime.inject import CTX, TX, VIEW, Plan, Providers, plan
from headwater.runtime.parts import Parts
from headwater.runtime.rebuild import Rebuilder
from headwater.runtime.scope import NodeCtx
from headwater.runtime.sends import SendPump
from headwater.runtime.tally import Tally
from headwater.runtime.upcasting import in_order, older_events, upcast_runs
from headwater.runtime.wakeful import Wakeful

__all__ = ["Node"]

log = logging.getLogger("headwater.runtime")

DISPATCH_SECONDS = 30.0
SHARES = (0.6, 0.8, 0.95, 1.0)
"""How full a node is, by calls that wait, when it begins to refuse low, normal, high and critical priority."""
QUIET_POLL_SECONDS = 0.005
QUIET_POLL_SECONDS_MOST = 0.1


class Node:
    """One process's share of an application.

    `table` maps every message class that can be called here to its endpoint; `stores` and `pumps`
    are by name. `ready`: work should be sent here; `taking`: calls from outside are served. `in_flight` counts
    them; `lowest` is the last of the priorities that is served now. Nothing is shared between two nodes but what
    their parts share.
    """

    def __init__(self, app: App, parts: Parts) -> None:
        self.app = app
        self.parts = parts
        self.ready = self.taking = False
        self.table: dict[type[Message], Endpoint] = {}
        self.stores: dict[str, Store] = {}
        self.workers: list[Wakeful] = []
        self.in_flight = 0
        self._bound: dict[str, BoundModule] = {}
        self._providers = Providers(parts.replace)
        self.lowest = -1
        self.shedding = 0
        self._level_at = self._level_below = 0.0
        self._quiet = asyncio.Event()
        self._event_upcasts = {old: up for m in app.modules for old, up in m.event_upcasts.items()}

    # --- life ---------------------------------------------------------------------------------

    async def start(self) -> None:
        """Open stores, resolve what handlers ask for, begin to deliver.

        Raises ConfigurationError and its kin; then nothing is left open.
        """
        try:
            for module in self.app.modules:
                store = self.stores[module.name] = self.parts.store(module)
                await store.open()
                self._bound[module.name] = BoundModule(module, store, self.parts)
            await self._bind()
            await self.parts.bell.open()
            for worker in self.workers:
                if isinstance(worker, Pump):
                    await worker.prepare()
        except BaseException:
            await self._close()
            raise
        for worker in self.workers:
            worker.start()
        self.ready = self.taking = True
        self._level()

    async def stop(self, *, within: float = 10.0) -> None:
        """Drain: refuse new calls, let running ones finish, stop delivering, close the stores.

        Work that still runs after `within` seconds is left to be cancelled, and rolls back.
        """
        self.pause()
        if not self.in_flight:
            self._quiet.set()
        try:
            async with asyncio.timeout(within):
                await self._quiet.wait()
        except TimeoutError:
            pass
        for worker in self.workers:
            try:
                await worker.stop()
            except HeadwaterError:  # a full disk, say, must not keep the rest from closing
                log.exception("%s could not be left in order", worker.name)
        await self._close()

    def retire(self) -> None:
        """Say that others should be sent work instead; what comes nevertheless is still served."""
        self.ready = False

    def pause(self) -> None:
        """Take no more calls from outside; those that run go on."""
        self.ready = self.taking = False
        self._level()

    def abandon(self) -> None:
        """Stop as in a crash: nothing is awaited, nothing uncommitted survives."""
        self.pause()
        for store in self.stores.values():
            store.abandon()
        for worker in self.workers:
            worker.abandon()

    async def _close(self) -> None:
        try:
            await self._providers.close()
        finally:
            await self.parts.bell.close()
            for store in self.stores.values():
                await store.close()

    @property
    def modules(self) -> Collection[BoundModule]:
        """The modules that run here."""
        return self._bound.values()

    # --- the way in ---------------------------------------------------------------------------

    def context(
        self,
        *,
        within: float | None = None,
        identity: Identity = ANONYMOUS,
        request_id: str = "",
        trace_id: str = "",
        span_id: str = "",
        sampled: bool | None = None,
        idempotency_key: str | None = None,
        token: Mapping[str, int] | None = None,
    ) -> Context:
        """Return the surroundings of a call from outside, with `within` seconds of budget."""
        return Context(
            deadline=self.parts.clock.monotonic() + (DISPATCH_SECONDS if within is None else within),
            identity=identity, request_id=request_id, trace_id=trace_id, span_id=span_id,
            sampled=sampled, idempotency_key=idempotency_key, token=dict(token or {}),
        )

    async def dispatch(self, message: Message, context: Context) -> Any:
        """Run a command or query from outside and return its result.

        The contract's `within` caps the context's deadline. Raises a declared Failure, NotExecuted
        (Draining, Overloaded, ...) or OutcomeUnknown; NoHandler for what nobody here handles.
        """
        endpoint = self.table.get(type(message))
        if endpoint is None:
            raise NoHandler(f"nobody handles {contract_of(type(message)).wire_name} in this process")
        if not self.taking:
            raise Draining("this process is starting or shutting down")
        if self.lowest < 0:
            raise Overloaded(f"{self.in_flight} calls are running, which is the most")
        self.enter()
        try:
            return await endpoint.invoke(message, context)
        finally:
            self.leave()

    def enter(self) -> None:
        """Count a call from outside that has begun and may wait."""
        self.in_flight += 1
        if self.in_flight >= self._level_at:
            self._level()

    def leave(self) -> None:
        """Count its end."""
        self.in_flight -= 1
        if self.in_flight < self._level_below:
            self._level()
        if not (self.taking or self.in_flight):
            self._quiet.set()

    def shed(self, refused: int) -> None:
        """Refuse so many priorities, from the lowest, however little there is to do."""
        self.shedding = refused
        self._level()

    def _level(self) -> None:
        """Decide which priorities are served: the fuller the node is, the fewer."""
        share = self.in_flight / self.parts.in_flight_most
        refused = sum(share >= step for step in SHARES) if self.taking else len(SHARES)
        self.lowest = len(PRIORITIES) - 1 - max(refused, self.shedding)
        steps = (0.0, *SHARES, math.inf)
        self._level_below = steps[refused] * self.parts.in_flight_most
        self._level_at = steps[refused + 1] * self.parts.in_flight_most

    async def settled(self, *, within: float = 5.0) -> None:
        """Return when every event has been dealt with and no durable command is due.

        Raises StoreUnavailable saying what is still under way after `within` seconds.
        """
        clock = self.parts.clock
        deadline = clock.monotonic() + within
        pause = QUIET_POLL_SECONDS
        while True:
            busy = [worker.name for worker in self.workers if await worker.pending()]
            if not busy and not self.in_flight:
                return
            if clock.monotonic() > deadline:
                said = ", ".join(busy) or f"{self.in_flight} calls"
                raise StoreUnavailable(f"not settled after {within} s: {said}")
            await clock.sleep(pause)
            pause = min(pause * 1.2, QUIET_POLL_SECONDS_MOST)

    # --- binding ------------------------------------------------------------------------------

    async def _bind(self) -> None:
        for message, fake in self.parts.fakes.items():
            anyone = next(iter(self._bound.values()))
            self._enter(Endpoint(contract_of(message), anyone, _fake_runs(fake), self.parts, handler=None))
        for bound in self._bound.values():
            for handler in bound.module.handlers.values():
                if handler.contract.message not in self.table:
                    self._enter(await self._endpoint(bound, handler))
            self._enter_older(bound)
        by_version = {(e.contract.name, e.contract.version): e for e in self.table.values()}
        for bound in self._bound.values():
            for endpoint in self.table.values():
                if endpoint.module == bound.name or endpoint.module in bound.uses:
                    kind = bound.commands if endpoint.contract.kind == "command" else bound.queries
                    kind[endpoint.contract.message] = endpoint
                    bound.tallies[endpoint.contract.message] = Tally()
            for subscription in bound.module.subscriptions.values():
                await self._subscribe(bound, subscription)
            self.workers.append(SendPump(bound, by_version, self.parts))
        self.workers.append(Housekeeper(self.stores, self.parts))

    def _enter_older(self, bound: BoundModule) -> None:
        for upcast in in_order(bound.module.upcasts.values(), bound.module.handlers):
            if upcast.old.message not in self.table:
                newer = self.table[upcast.new.message]
                runs = upcast_runs(upcast, newer.runs, bound.store)
                self._enter(Endpoint(upcast.old, bound, runs, self.parts, handler=newer.handler, clean=newer.clean))

    def _enter(self, endpoint: Endpoint) -> None:
        self.table[endpoint.contract.message] = endpoint

    async def _endpoint(self, bound: BoundModule, handler: Handler) -> Endpoint:
        if handler.contract.kind == "command":
            read, values = await self._resolve(handler, (CTX, TX))
            runs = command_run(bound, handler, read, values, self.parts)
        else:
            read, values = await self._resolve(handler, (CTX, VIEW))
            runs = query_run(bound, handler, read, values, self.parts)
            runs = self._freshened(bound, runs)
        return Endpoint(handler.contract, bound, runs, self.parts, handler=handler, clean=not read.injected)

    def _freshened(self, bound: BoundModule, runs: Runs) -> Runs:
        projections = [s for s in bound.module.subscriptions.values() if s.tables]
        if not projections:
            return runs
        around = Freshness(bound.store, projections, self.parts.clock).around
        return around(runs[0]), around(runs[1])

    async def _resolve(self, handler: Handler, allowed: tuple[Any, ...]) -> tuple[Plan, tuple[Any, ...]]:
        read = plan(handler, allowed=allowed)
        values = [None if s in (CTX, TX, VIEW) else await self._providers.get(s, handler) for s in read.slots]
        return read, tuple(values)

    async def _subscribe(self, bound: BoundModule, subscription: Subscription) -> None:
        allowed = (TX,) if subscription.tables else (CTX, TX)
        reactions: dict[tuple[str, int], Reaction] = {}
        waits = False
        for handler in subscription.handlers.values():
            read, values = await self._resolve(handler, allowed)
            if read.sync:
                raise ConfigurationError(
                    f"{handler.contract.wire_name}: a subscription's handler is async def", where=handler.where
                )
            waits = waits or CTX in read.slots or read.injected
            contract = handler.contract
            begin = None if self.parts.tracer is None else self.parts.tracer.point(
                f"{subscription.name}: {contract.wire_name}", "consumer", bound.name
            )
            name = f"subscription {subscription.name}: {contract.name}"
            reactions[contract.name, contract.version] = Reaction(
                name, EventCodec(contract), caller(handler, read, values, self.parts), begin
            )
        logs = self._logs(subscription)
        for older, ups, event in older_events(subscription, self._event_upcasts):
            newer = reactions[contract_of(event).name, contract_of(event).version]
            codec = UpcastCodec(older, ups, newer.codec)
            reactions[older.name, older.version] = Reaction(newer.name, codec, newer.call, newer.begin)
        self.workers.append(Pump(subscription, bound, logs, self.parts, reactions, waits=waits))
        if subscription.tables:
            self.workers.append(Rebuilder(subscription, bound, logs, self.parts, reactions))

    def _logs(self, subscription: Subscription) -> dict[str, EventLog]:
        logs: dict[str, EventLog] = {}
        for source in subscription.sources:
            if source not in self.stores:
                raise ConfigurationError(
                    f"subscription {subscription.name}: module {source}, whose events it receives, is not part of "
                    f"the application; add it to App(modules=[...])",
                    where=next(iter(subscription.handlers.values())).where,
                )
            logs[source] = self.stores[source].log
        return logs


def _fake_runs(fake: Any) -> Runs:
    async def run(message: Any, _ctx: NodeCtx) -> Any:
        answer = fake(message)
        return await answer if inspect.isawaitable(answer) else answer

    return run, run

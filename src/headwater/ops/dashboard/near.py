"""A source that looks at the node in its own process."""

from __future__ import annotations

import os
from collections import Counter

from headwater.errors import HeadwaterError
from headwater.model.app import App
from headwater.ops.dashboard.drawn import arrows_of, event_name
from headwater.ops.dashboard.seen import OUTSIDE, Arrow, ContractSeen, Dead, Process, Seen, Subscribed
from headwater.ports import SlowStatement, SpanRecord, Store, TraceRecord
from headwater.runtime import operate
from headwater.runtime.meter import Meter
from headwater.runtime.node import Node

__all__ = ["NearSource", "Paths"]

DEAD_MOST = 20
TRACES_MOST = 100
ACT_SECONDS = 10.0
Way = tuple[str, str, str, str]


class Paths:
    """Counts, from finished traces, which way messages went. It sees what is traced: everything at ratio 1."""

    def __init__(self, app: App) -> None:
        self.counts: Counter[Way] = Counter()
        self.errors: Counter[Way] = Counter()
        self._routed = {route.contract.wire_name for api in app.apis for route in api.routes}

    def take(self, trace: TraceRecord) -> None:
        """Count a trace's spans."""
        by_id = {span.id: span for span in trace.spans}
        for span in trace.spans:
            if span.kind != "store":
                way = self._way(span, by_id.get(span.parent))
                self.counts[way] += 1
                self.errors[way] += span.outcome in ("not_executed", "unknown")

    def _way(self, span: SpanRecord, above: SpanRecord | None) -> Way:
        if span.kind == "consumer":
            subscription, _, event = span.name.partition(": ")
            return event.partition(".")[0], span.module, event_name(event, subscription), "event"
        if above is None and span.name in self._routed:
            return OUTSIDE, span.module, span.name, "request"
        return span.module if above is None else above.module, span.module, span.name, "call"


class NearSource:
    """Looks at one node. version: of the application, as people call it."""

    def __init__(self, app: App, node: Node, *, version: str = "", paths: Paths | None = None) -> None:
        self._app = app
        self._node = node
        self._version = version
        self._paths = paths or Paths(app)
        self._arrows: tuple[Arrow, ...] | None = None
        self._began = node.parts.clock.monotonic()

    async def see(self) -> Seen:
        """Return what there is to see now."""
        dead, (slow, traces) = await self.dead(), self.kept()
        return Seen(
            app=self._app.name, version=self._version, at=self._node.parts.clock.now().timestamp(),
            modules=tuple(m.name for m in self._app.modules), arrows=self._counted(await self.drawn()),
            contracts=self._contracts(), subscriptions=await self._subscriptions(), dead=dead[0], dead_count=dead[1],
            slow=slow, traces=traces, processes=(self._process(),),
        )

    async def drawn(self) -> tuple[Arrow, ...]:
        """Return the arrows that the code could send; it is read once."""
        if self._arrows is None:
            self._arrows = await self._node.parts.executor.run(lambda: arrows_of(self._app))
        return self._arrows

    def kept(self) -> tuple[tuple[SlowStatement, ...], tuple[TraceRecord, ...]]:
        """Return slow statements and recent traces."""
        tracer = self._node.parts.tracer
        return ((), ()) if tracer is None else (tuple(tracer.slowest()), tuple(tracer.recent(TRACES_MOST)))

    async def replay(self, module: str, dead_id: str) -> None:
        """Put a dead letter back in line. Raises HeadwaterError where there is none."""
        await operate.replay(self._store(module), dead_id, deadline=self._deadline())

    async def discard(self, module: str, dead_id: str) -> None:
        """Delete a dead letter. Raises HeadwaterError where there is none."""
        await operate.drop(self._store(module), dead_id, deadline=self._deadline())

    def _store(self, module: str) -> Store:
        found = self._node.stores.get(module)
        if found is None:
            raise HeadwaterError(f"there is no module {module!r}")
        return found

    def _deadline(self) -> float:
        return self._node.parts.clock.monotonic() + ACT_SECONDS

    def _counted(self, drawn: tuple[Arrow, ...]) -> tuple[Arrow, ...]:
        ways = dict.fromkeys([*((a.source, a.target, a.name, a.kind) for a in drawn), *self._paths.counts])
        return tuple(
            Arrow(
                source=way[0], target=way[1], name=way[2], kind=way[3], count=self._paths.counts[way],
                errors=self._paths.errors[way],
            )
            for way in ways
        )

    def _contracts(self) -> tuple[ContractSeen, ...]:
        meter = self._node.parts.telemetry
        assert isinstance(meter, Meter)
        return tuple(
            ContractSeen(
                name=cell.contract.wire_name, kind=cell.contract.kind, module=cell.contract.module,
                buckets=cell.buckets, failure=cell.others["failure"], not_executed=cell.others["not_executed"],
                unknown=cell.others["unknown"],
            )
            for cell in list(meter.cells.values())
        )

    async def _subscriptions(self) -> tuple[Subscribed, ...]:
        states = await operate.subscriptions(self._node.stores, self._app)
        return tuple(
            Subscribed(
                name=s.name, module=s.module, source=s.source, lag=s.lag, retrying=s.retrying, dead=s.dead,
                owner=s.owner, error=s.error,
            )
            for s in states
        )

    async def dead(self) -> tuple[tuple[Dead, ...], int]:
        """Return the newest dead letters, and how many there are."""
        found: list[Dead] = []
        for name, store in self._node.stores.items():
            found += [
                Dead(
                    module=name, id=d.id, subscription=d.subscription, message=f"{d.record.name}@{d.record.version}",
                    key=d.key, attempts=d.attempts, error=d.error, died_at=d.died_at,
                )
                for d in await operate.dead_letters(store)
            ]
        found.sort(key=lambda d: d.died_at, reverse=True)
        return tuple(found[:DEAD_MOST]), len(found)

    def _process(self) -> Process:
        node = self._node
        return Process(
            name="worker 0", pid=os.getpid(), uptime=node.parts.clock.monotonic() - self._began, ready=node.ready,
            reasons=() if node.ready else ("starting or shutting down",), in_flight=node.in_flight,
        )

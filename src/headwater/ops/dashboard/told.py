"""A source that shows what the processes tell of themselves: snapshots, of one worker or of several merged."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from msgspec.structs import replace

from headwater.errors import HeadwaterError
from headwater.model.app import App
from headwater.ops.aims import alert, budget_left, burn
from headwater.ops.dashboard.drawn import event_name
from headwater.ops.dashboard.near import Near
from headwater.ops.dashboard.seen import OUTSIDE, Arrow, Burn, ContractSeen, Dead, Process, Seen, Subscribed
from headwater.ops.dashboard.words import duration
from headwater.ops.health import STORE_SECONDS
from headwater.ops.kept import Kept
from headwater.ops.snapshot import Objective, ProcessFigures, Snapshot
from headwater.ports import Executor
from headwater.runtime.node import Node

__all__ = ["ToldSource", "seen_of"]

ALERTS = {"": "", "fast": "burns fast", "slow": "burns"}


class ToldSource(Near):
    """Asks `tell` and `kept` for what all workers tell; dead letters lie in the stores that they share."""

    def __init__(
        self, app: App, node: Node, tell: Callable[[], Awaitable[Snapshot]], kept: Callable[[], Awaitable[Kept]], *,
        executor: Executor, version: str = "",
    ) -> None:
        super().__init__(app, node, executor)
        self._tell = tell
        self._kept = kept
        self._version = version

    async def see(self) -> Seen:
        """Return what there is to see now."""
        (dead, count, note), kept, told = await asyncio.gather(self._lying(), self._kept(), self._tell())
        seen = seen_of(told, await self.drawn())
        return replace(
            seen, version=self._version, dead=dead, dead_count=count, slow=kept.slow, traces=kept.traces,
            notes=(*seen.notes, *note),
        )

    async def _lying(self) -> tuple[tuple[Dead, ...], int, tuple[str, ...]]:
        """Return dead letters, how many, and what kept us from reading them, if anything."""
        try:
            async with asyncio.timeout(STORE_SECONDS):
                return (*await self.dead(), ())
        except (HeadwaterError, TimeoutError) as error:
            return (), 0, (f"dead letters cannot be read: {str(error) or 'no answer'}",)


def seen_of(told: Snapshot, drawn: Sequence[Arrow]) -> Seen:
    """Return a snapshot as the dashboard shows it. drawn: the arrows that the code could send, counted or not."""
    counted = {(a.source, a.target, a.name, a.kind): a for a in (*drawn, *_arrows(told))}
    return Seen(
        app=told.app, version="", at=told.at, modules=told.modules, arrows=tuple(counted.values()),
        contracts=tuple(
            ContractSeen(
                name=c.name, kind=c.kind, module=c.module, buckets=c.buckets, failure=c.outcomes.get("failure", 0),
                not_executed=c.outcomes.get("not_executed", 0), unknown=c.outcomes.get("unknown", 0),
            )
            for c in told.contracts
        ),
        subscriptions=tuple(
            Subscribed(
                name=b.subscription, module=b.module, source=b.source, lag=b.lag, retrying=b.retrying, dead=b.dead,
                owner=b.owner, error=b.error, oldest=b.oldest if b.lag else None,
            )
            for b in told.backlogs
        ),
        processes=tuple(_process(p) for p in told.processes), burns=tuple(_burn(o) for o in told.objectives),
        stores=told.stores, notes=tuple(f"worker {m.slot} does not tell of itself: {m.reason}" for m in told.missing),
    )


def _arrows(told: Snapshot) -> list[Arrow]:
    """Return the arrows that were counted; those of one name are one, whichever route or verb they took."""
    found: dict[tuple[str, str, str, str], tuple[int, int]] = {}

    def add(source: str, target: str, name: str, kind: str, count: int, errors: int) -> None:
        before = found.get((source, target, name, kind), (0, 0))
        found[source, target, name, kind] = before[0] + count, before[1] + errors

    for route in told.routes:
        add(OUTSIDE, route.module, route.contract, "request", sum(route.statuses), route.statuses[4])
    for way in told.ways:
        add(way.source, way.module, way.contract, "call", way.count, way.errors)
    for d in told.deliveries:
        add(d.source, d.module, event_name(d.event, d.subscription), "event", d.delivered + d.failed, d.failed)
    return [
        Arrow(source=s, target=t, name=n, kind=k, count=count, errors=errors)
        for (s, t, n, k), (count, errors) in found.items()
    ]


def _process(told: ProcessFigures) -> Process:
    return Process(
        name=f"worker {told.slot}", pid=told.pid, uptime=told.uptime, ready=told.status != "not-ready",
        reasons=told.reasons, in_flight=told.in_flight, connections=told.connections,
        memory=told.rss if told.pss is None else told.pss, loop_lag=told.loop_lag_most,
    )


def _burn(aim: Objective) -> Burn:
    said = "available" if aim.threshold is None else f"within {duration(aim.threshold)}"
    return Burn(
        contract=aim.contract, aim=f"{aim.target * 100:.6g} % {said}",
        windows=tuple((duration(w.seconds), burn(w, aim.target)) for w in aim.windows), left=budget_left(aim),
        alert=ALERTS[alert(aim)],
    )

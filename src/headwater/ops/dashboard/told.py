"""A source that shows what the processes tell of themselves: snapshots, of one worker or of several merged."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from msgspec.structs import replace

from headwater.errors import HeadwaterError
from headwater.model.app import App
from headwater.ops.dashboard.drawn import event_name
from headwater.ops.dashboard.near import Near
from headwater.ops.dashboard.seen import OUTSIDE, Arrow, Burn, ContractSeen, Dead, Process, Seen, Subscribed
from headwater.ops.dashboard.words import duration
from headwater.ops.health import STORE_SECONDS
from headwater.ops.kept import Kept
from headwater.ops.snapshot import Objective, ProcessFigures, Snapshot, Window
from headwater.ports import Executor
from headwater.runtime.node import Node

__all__ = ["ToldSource", "seen_of"]

FAST, SLOW = 14.4, 6.0
"""Burn rates that chapter 5 of the Site Reliability Workbook alerts at: 2 % of a month's budget an hour, 5 % in six."""
MINUTE, HOUR = 60.0, 3600.0


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
    rates = {w.seconds: _rate(w, aim.target) for w in aim.windows}
    said = "available" if aim.threshold is None else f"within {duration(aim.threshold)}"
    return Burn(
        contract=aim.contract, aim=f"{aim.target * 100:.6g} % {said}",
        windows=tuple((duration(seconds), rate) for seconds, rate in rates.items()),
        left=1.0 - _rate(aim.since, aim.target), alert=_alert(rates),
    )


def _rate(window: Window, target: float) -> float:
    """Return how many times the allowed share of calls was not good."""
    if not window.total:
        return 0.0
    return (1.0 - window.good / window.total) / max(1e-9, 1.0 - target)


def _alert(rates: dict[float, float]) -> str:
    """Say what an alert would say: a long window shows that it matters, a short one that it goes on."""
    if min(rates.get(HOUR, 0.0), rates.get(5 * MINUTE, 0.0)) > FAST:
        return "burns fast"
    if min(rates.get(6 * HOUR, 0.0), rates.get(30 * MINUTE, 0.0)) > SLOW:
        return "burns"
    return ""

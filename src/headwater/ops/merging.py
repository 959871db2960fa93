"""Several workers' snapshots as one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from msgspec.structs import replace

from headwater.ops.snapshot import (
    ContractFigures,
    DeliveryFigures,
    Objective,
    RouteFigures,
    Snapshot,
    StoreFigures,
    Way,
    Window,
)

__all__ = ["merge"]

T = TypeVar("T")


def merge(snapshots: Sequence[Snapshot]) -> Snapshot:
    """Return one snapshot of all: counts are added up, processes stand side by side.

    What lies in the shared stores is taken from the newest that tells of it. Raises ValueError for none.
    """
    if not snapshots:
        raise ValueError("there is no snapshot to merge")
    newest = max(snapshots, key=lambda s: s.at)
    return Snapshot(
        app=newest.app,
        at=newest.at,
        modules=newest.modules,
        processes=tuple(sorted((p for s in snapshots for p in s.processes), key=lambda p: p.slot)),
        missing=tuple(sorted((m for s in snapshots for m in s.missing), key=lambda m: m.slot)),
        contracts=_by(snapshots, lambda s: s.contracts, lambda c: c.name, _contract),
        routes=_by(snapshots, lambda s: s.routes, lambda r: (r.method, r.path), _route),
        ways=_by(snapshots, lambda s: s.ways, lambda w: (w.source, w.contract, w.kind), _way),
        deliveries=_by(snapshots, lambda s: s.deliveries, lambda d: (d.source, d.event, d.subscription), _delivery),
        stores=_by(snapshots, lambda s: s.stores, lambda s: s.module, _store),
        objectives=_by(snapshots, lambda s: s.objectives, lambda o: (o.contract, o.kind), _objective),
        backlogs=max(snapshots, key=lambda s: (bool(s.backlogs), s.at)).backlogs,
    )


def _by(
    snapshots: Iterable[Snapshot], part: Callable[[Snapshot], Iterable[T]], key: Callable[[T], Any],
    add: Callable[[T, T], T],
) -> tuple[T, ...]:
    """Add up what has the same key, in the order of the first sight."""
    found: dict[Any, T] = {}
    for snapshot in snapshots:
        for one in part(snapshot):
            name = key(one)
            found[name] = add(found[name], one) if name in found else one
    return tuple(found.values())


def _sums(a: Sequence[int], b: Sequence[int]) -> tuple[Any, ...]:
    return tuple(x + y for x, y in zip(a, b, strict=True))


def _contract(a: ContractFigures, b: ContractFigures) -> ContractFigures:
    names = dict.fromkeys([*a.outcomes, *b.outcomes])
    return replace(
        a, outcomes={name: a.outcomes.get(name, 0) + b.outcomes.get(name, 0) for name in names},
        buckets=_sums(a.buckets, b.buckets), seconds=a.seconds + b.seconds,
    )


def _route(a: RouteFigures, b: RouteFigures) -> RouteFigures:
    return replace(a, statuses=_sums(a.statuses, b.statuses))


def _way(a: Way, b: Way) -> Way:
    return replace(a, count=a.count + b.count, errors=a.errors + b.errors)


def _delivery(a: DeliveryFigures, b: DeliveryFigures) -> DeliveryFigures:
    return replace(
        a, delivered=a.delivered + b.delivered, failed=a.failed + b.failed, retries=a.retries + b.retries,
        dead=a.dead + b.dead,
    )


def _store(a: StoreFigures, b: StoreFigures) -> StoreFigures:
    return replace(
        a, commits=a.commits + b.commits, commands=a.commands + b.commands, failed=a.failed + b.failed,
        sizes=_sums(a.sizes, b.sizes), buckets=_sums(a.buckets, b.buckets), seconds=a.seconds + b.seconds,
        waiting=a.waiting + b.waiting, readers=a.readers + b.readers, reading=a.reading + b.reading,
        read_waiting=a.read_waiting + b.read_waiting,
    )


def _objective(a: Objective, b: Objective) -> Objective:
    return replace(
        a, since=_window(a.since, b.since),
        windows=tuple(_window(x, y) for x, y in zip(a.windows, b.windows, strict=True)),
    )


def _window(a: Window, b: Window) -> Window:
    return Window(seconds=max(a.seconds, b.seconds), total=a.total + b.total, good=a.good + b.good)

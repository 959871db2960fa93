"""Snapshots: what several workers tell adds up, and what they share is told once."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from headwater.ops.merging import merge
from headwater.ops.snapshot import (
    Backlog,
    ContractFigures,
    DeliveryFigures,
    Missing,
    Objective,
    ProcessFigures,
    RouteFigures,
    Snapshot,
    StoreFigures,
    Way,
    Window,
    quantile,
)
from headwater.runtime.meter import EDGES


def process(slot: int) -> ProcessFigures:
    return ProcessFigures(
        slot=slot, pid=100 + slot, version="0", python="3", loop="l", started_at=0.0, uptime=1.0, status="ready"
    )


def buckets(**at: int) -> tuple[int, ...]:
    counts = [0] * (len(EDGES) + 1)
    for index, count in at.items():
        counts[int(index[1:])] = count
    return tuple(counts)


def worker(slot: int, at: float, **more: Any) -> Snapshot:
    return Snapshot(app="a", at=at, modules=("m", "n"), processes=(process(slot),), **more)


def test_counts_add_up_and_processes_stand_side_by_side() -> None:
    one = worker(
        1, 5.0,
        contracts=(ContractFigures(
            name="m.do/1", kind="command", module="m", outcomes={"value": 2, "unknown": 1}, buckets=buckets(_3=3),
            seconds=0.5,
        ),),
        routes=(RouteFigures(method="GET", path="/x", contract="m.do/1", module="m", statuses=(0, 1, 0, 2, 3)),),
        ways=(Way(source="n", contract="m.do/1", module="m", kind="call", count=4, errors=1),),
        deliveries=(DeliveryFigures(source="m", event="m.done/1", subscription="n.s", module="n", delivered=3),),
        stores=(StoreFigures(module="m", commits=2, commands=9, buckets=buckets(_0=2), seconds=0.1),),
        objectives=(Objective(
            contract="m.do/1", kind="availability", target=0.9, threshold=None,
            since=Window(seconds=9, total=10, good=9), windows=(Window(seconds=300, total=4, good=3),),
        ),),
    )
    two = msgspec.structs.replace(one, processes=(process(0),), missing=(Missing(slot=2, reason="slow"),))
    other = ContractFigures(name="n.ask/1", kind="query", module="n", outcomes={"value": 1})
    two = msgspec.structs.replace(two, contracts=(*two.contracts, other))
    both = merge([one, two])
    assert [p.slot for p in both.processes] == [0, 1]
    assert both.missing == two.missing
    assert both.contracts[0].outcomes == {"value": 4, "unknown": 2}
    assert (both.contracts[0].calls, both.contracts[0].errors, both.contracts[0].seconds) == (6, 2, 1.0)
    assert both.contracts[0].buckets[3] == 6
    assert both.contracts[1] == other
    assert both.routes[0].statuses == (0, 2, 0, 4, 6)
    assert (both.ways[0].count, both.ways[0].errors) == (8, 2)
    assert both.deliveries[0].delivered == 6
    assert (both.stores[0].commits, both.stores[0].commands, both.stores[0].buckets[0]) == (4, 18, 4)
    assert both.objectives[0].since == Window(seconds=9, total=20, good=18)
    assert both.objectives[0].windows == (Window(seconds=300, total=8, good=6),)


def test_what_is_shared_is_taken_from_the_newest_that_knows() -> None:
    def lag(n: int) -> tuple[Backlog, ...]:
        return (Backlog(subscription="n.s", module="n", source="m", lag=n),)

    assert merge([worker(0, 1.0, backlogs=lag(7)), worker(1, 2.0, backlogs=lag(9)), worker(2, 3.0)]).backlogs == lag(9)


def test_one_is_itself_and_none_is_refused() -> None:
    alone = worker(0, 1.0)
    assert merge([alone]) == alone
    with pytest.raises(ValueError, match="no snapshot"):
        merge([])


def test_a_snapshot_travels_unchanged() -> None:
    snapshot = worker(0, 1.0, contracts=(
        ContractFigures(name="m.do/1", kind="command", module="m", outcomes={"value": 2}, buckets=buckets(_3=2)),
    ))
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(snapshot), type=Snapshot) == snapshot
    assert msgspec.json.decode(msgspec.json.encode(snapshot), type=Snapshot) == snapshot


def test_quantiles_are_upper_edges() -> None:
    assert quantile(buckets(_3=99, _9=1), 0.99) == EDGES[3]
    assert quantile(buckets(_3=98, _9=2), 0.99) == EDGES[9]
    assert quantile(buckets(), 0.5) is None
    assert quantile(buckets(**{f"_{len(EDGES)}": 1}), 0.5) == EDGES[-1]

"""Traces and slow statements of several workers, as one account."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from headwater import Module, Query, contract
from headwater.adapters.system import SystemClock, SystemIds, SystemRandom
from headwater.ops import kept
from headwater.ops.kept import WORKER, Kept, joined, kept_by
from headwater.ports import SlowStatement, SpanRecord, TraceRecord
from headwater.runtime.node import Node
from headwater.runtime.telemetry import Telemetry, TraceSettings
from tests.flow.house import call, running


@contract("desk.look", v=1)
class Look(Query[int]):
    """Look."""


def span(id_: str, parent: str = "", start: float = 1.0, **attributes: str | float) -> SpanRecord:
    return SpanRecord(
        id=id_, parent=parent, name=f"span {id_}", kind="server", module="m", start=start, duration=0.1, outcome="value",
        attributes=dict(attributes),
    )


def trace(id_: str, *spans: SpanRecord) -> TraceRecord:
    return TraceRecord(
        trace_id=id_, name=spans[0].name, start=spans[0].start, duration=0.1, outcome="value", spans=spans
    )


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[Node]:
    desk = Module("desk")

    @desk.handle(Look)
    async def look(_query: Look) -> int:
        return 1

    telemetry = Telemetry.of(TraceSettings(ratio=1.0), clock=SystemClock(), ids=SystemIds(), random=SystemRandom())
    async with running(tmp_path, desk, telemetry=telemetry.meter, tracer=telemetry.tracer) as started:
        yield started


async def test_a_trace_says_in_which_worker_it_ran(node: Node) -> None:
    """To whoever asks, not where it is kept: exporters get it as it was."""
    await call(node, Look())
    (told,) = kept_by(node, 3).traces
    assert told.spans[0].attributes[WORKER] == 3
    assert node.parts.tracer is not None
    assert all(WORKER not in one.attributes for one in node.parts.tracer.recent()[0].spans)


async def test_no_more_spans_are_told_than_somebody_wants_to_read(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    """The newest traces come first, so those are told."""
    for _ in range(20):
        await call(node, Look())
    assert node.parts.tracer is not None
    newest = node.parts.tracer.recent(20)
    monkeypatch.setattr(kept, "SPANS_MOST", sum(len(one.spans) for one in newest[:7]))
    assert [one.trace_id for one in kept_by(node, 0).traces] == [one.trace_id for one in newest[:7]]


async def test_nobody_traces(tmp_path: Path) -> None:
    async with running(tmp_path, Module("desk")) as started:
        assert kept_by(started, 0) == Kept()


def test_a_trace_through_two_workers_is_one_trace() -> None:
    """With the spans of both, each part under its worker's name; the newest trace comes first."""
    here = trace("t1", span("a", start=1.0, worker=0), span("b", "a", start=1.1))
    there = trace("t1", span("c", "a", start=1.2, worker=1))
    later = trace("t2", span("d", start=5.0, worker=1))
    found = joined([Kept(traces=(here,)), Kept(traces=(later, there))]).traces
    assert [one.trace_id for one in found] == ["t2", "t1"]
    assert [one.id for one in found[1].spans] == ["a", "b", "c"]
    assert [one.attributes.get(WORKER) for one in found[1].spans] == [0, None, 1]
    assert found[1].name == "span a"


def test_a_statement_of_two_workers_is_one_statement() -> None:
    """Counts and times add up, the worst is the worst; another module's is another."""
    def slow(module: str, count: int, most: float, total: float) -> SlowStatement:
        return SlowStatement(sql="select 1", module=module, count=count, most=most, total=total)

    found = joined([Kept(slow=(slow("m", 2, 0.5, 0.6), slow("n", 1, 1.0, 1.0))), Kept(slow=(slow("m", 3, 0.4, 0.9),))]).slow
    assert found == (slow("m", 5, 0.5, 1.5), slow("n", 1, 1.0, 1.0))

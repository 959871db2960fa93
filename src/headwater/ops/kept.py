"""What a process has kept of what it did: slow statements and recent traces; of several workers, one account."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from msgspec.structs import replace

from headwater.model.message import Value
from headwater.ports import SlowStatement, TraceRecord
from headwater.runtime.node import Node
from headwater.runtime.records import merged

__all__ = ["WORKER", "Kept", "joined", "kept_by"]

WORKER = "worker"
"""The attribute that tells which worker a span and those below it ran in: its slot."""
TRACES_MOST = 100
SPANS_MOST = 5_000
"""Of all traces together: some megabytes at worst, for who asks every few seconds."""
STATEMENTS_MOST = 100


class Kept(Value, frozen=True):
    """slow: statements that took most time together first. traces: the newest first."""

    slow: tuple[SlowStatement, ...] = ()
    traces: tuple[TraceRecord, ...] = ()


def kept_by(node: Node, slot: int) -> Kept:
    """Return what a node has kept, under the name of its worker; nothing when nobody traces."""
    tracer = node.parts.tracer
    if tracer is None:
        return Kept()
    return Kept(
        slow=tuple(tracer.slowest())[:STATEMENTS_MOST], traces=tuple(_named(tracer.recent(TRACES_MOST), slot))
    )


def _named(traces: Iterable[TraceRecord], slot: int) -> Iterator[TraceRecord]:
    """Give out traces that say where they ran, until there are too many spans. What was kept stays as it is."""
    spans = 0
    for trace in traces:
        spans += len(trace.spans)
        if spans > SPANS_MOST:
            return
        first, *others = trace.spans
        first = replace(first, attributes={**first.attributes, WORKER: slot})
        yield replace(trace, spans=(first, *others))


def joined(found: Iterable[Kept]) -> Kept:
    """Return several workers' accounts as one. A trace that went through several of them is one trace."""
    everything = list(found)
    slow: dict[tuple[str, str], SlowStatement] = {}
    for one in (s for kept in everything for s in kept.slow):
        before = slow.get((one.module, one.sql))
        slow[one.module, one.sql] = one if before is None else SlowStatement(
            sql=one.sql, module=one.module, count=before.count + one.count, most=max(before.most, one.most),
            total=before.total + one.total,
        )
    return Kept(
        slow=tuple(sorted(slow.values(), key=lambda s: s.total, reverse=True)[:STATEMENTS_MOST]),
        traces=tuple(merged((t for kept in everything for t in kept.traces), TRACES_MOST)),
    )

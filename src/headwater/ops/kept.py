"""What a process has kept of what it did: slow statements and recent traces; of several workers, one account."""

from __future__ import annotations

from collections.abc import Iterable

from headwater.model.message import Value
from headwater.ports import SlowStatement, TraceRecord
from headwater.runtime.node import Node
from headwater.runtime.records import merged

__all__ = ["Kept", "joined", "kept_by"]

TRACES_MOST = 100
STATEMENTS_MOST = 100


class Kept(Value, frozen=True):
    """slow: statements that took most time together first. traces: the newest first."""

    slow: tuple[SlowStatement, ...] = ()
    traces: tuple[TraceRecord, ...] = ()


def kept_by(node: Node) -> Kept:
    """Return what a node has kept; nothing when nobody traces."""
    tracer = node.parts.tracer
    if tracer is None:
        return Kept()
    return Kept(slow=tuple(tracer.slowest())[:STATEMENTS_MOST], traces=tuple(tracer.recent(TRACES_MOST)))


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

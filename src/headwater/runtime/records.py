"""Spans as plain records, once their trace has been kept: wall time, attributes, no secret."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from headwater.model.secret import masked
from headwater.ports import SpanRecord, TraceRecord

if TYPE_CHECKING:
    from headwater.runtime.tracing import Root, Span

__all__ = ["merged", "plain_sql", "record_of"]

SQL_CHARACTERS = 1_000
_LITERAL = re.compile(r"'(?:[^']|'')*'|(?<![\w:.])\d+(?:\.\d+)?(?![\w.])")


def record_of(root: Root, spans: Sequence[Span], trace_id: str, wall: float) -> TraceRecord:
    """Return a trace as a record; `wall` is what monotonic time lacks to Unix time."""
    context = root.context
    above = "" if context is None else context.span_id
    records = sorted((_span(span, above, wall) for span in spans), key=lambda r: r.start)
    request = "" if context is None else context.request_id
    if request:
        first = next(r for r in records if r.id == root.id)
        first.attributes["request_id"] = masked(request)
    return _trace(trace_id, records, root.dropped)


def _trace(trace_id: str, records: Sequence[SpanRecord], dropped: int) -> TraceRecord:
    first = _first(records)
    end = max(r.start + r.duration for r in records)
    return TraceRecord(
        trace_id=trace_id, name=first.name, start=first.start, duration=end - first.start, outcome=first.outcome,
        spans=tuple(records), dropped=dropped,
    )


def _first(records: Sequence[SpanRecord]) -> SpanRecord:
    known = {r.id for r in records}
    return next((r for r in records if r.parent not in known), records[0])


def _span(span: Span, above: str, wall: float) -> SpanRecord:
    attributes: dict[str, str | int | float] = {}
    name = span.name
    if span.kind == "store":
        text = plain_sql(name)
        name = " ".join(text.split(None, 2)[:2]) if " " in text else text
        if name != text:
            attributes["db.query.text"] = text
    if span.error:
        attributes["error.type"] = span.error
    for key, value in (span.attributes or {}).items():
        attributes[key] = masked(value) if isinstance(value, str) else value
    return SpanRecord(
        id=span.id, parent=above if span.parent is None else span.parent.id, name=masked(name), kind=span.kind,
        module=span.module, start=span.start + wall, duration=max(span.seconds, 0.0), outcome=span.outcome,
        attributes=attributes,
    )


def plain_sql(sql: str) -> str:
    """Return a statement on one line, with `?` for every literal, masked and not endless."""
    text = _LITERAL.sub("?", " ".join(masked(sql).split()))
    return text if len(text) <= SQL_CHARACTERS else text[: SQL_CHARACTERS - 3] + "..."


def merged(traces: Iterable[TraceRecord], most: int) -> list[TraceRecord]:
    """Return the newest traces first, the parts of one trace as one record."""
    parts: dict[str, list[TraceRecord]] = {}
    for trace in traces:
        parts.setdefault(trace.trace_id, []).append(trace)
    whole = [_join(found) for found in parts.values()]
    return sorted(whole, key=lambda t: t.start, reverse=True)[:most]


def _join(found: Sequence[TraceRecord]) -> TraceRecord:
    if len(found) == 1:
        return found[0]
    spans = sorted((span for part in found for span in part.spans), key=lambda s: s.start)
    return _trace(found[0].trace_id, spans, sum(part.dropped for part in found))

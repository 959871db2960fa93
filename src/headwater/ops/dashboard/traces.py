"""Recent traces as waterfalls: what ran when, within what, and how it ended."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from urllib.parse import quote

from headwater.ops.dashboard.html import Html, breakable, el
from headwater.ops.dashboard.recent import Now
from headwater.ops.dashboard.tables import Column, badge, nothing, table
from headwater.ops.dashboard.words import ago, duration, whole
from headwater.ops.kept import WORKER
from headwater.ports import SpanRecord, TraceRecord

__all__ = ["traces", "waterfall"]

BAR_WIDTH, BAR_HEIGHT = 260.0, 14.0
SHOWN_MOST = 25
SPANS_MOST = 300
LOOK = {"value": "good", "failure": "wait", "not_executed": "bad", "unknown": "bad"}
SAID = {"value": "value", "failure": "refusal", "not_executed": "not executed", "unknown": "unknown"}
SQL, ERROR = "db.query.text", "error.type"
SHOWN = (SQL, ERROR, "subscription", "event_id")
"""Attributes that a column or the name tells already."""
Row = tuple[SpanRecord, int]


def traces(now: Now) -> Html:
    """Return the newest traces, each with a link to its waterfall."""
    if not now.seen.traces:
        return nothing("None was kept yet. Those that are slow or end in an error are kept, and a share of the rest.")
    newest = sorted(now.seen.traces, key=lambda t: t.start, reverse=True)[:SHOWN_MOST]
    columns = (
        Column[TraceRecord]("name", "Trace", _linked, head=True),
        Column[TraceRecord]("end", "End", lambda t: badge(SAID[t.outcome], LOOK[t.outcome])),
        Column[TraceRecord]("errors", "Errors within", lambda t: whole(_errors(t)), number=True,
                            bad=lambda t: _errors(t) > 0),
        Column[TraceRecord]("took", "Took", lambda t: duration(t.duration), number=True),
        Column[TraceRecord]("spans", "Spans", lambda t: whole(len(t.spans) + t.dropped), number=True),
        Column[TraceRecord]("worker", "Worker", _workers),
        Column[TraceRecord]("when", "Began", lambda t: ago(now.seen.at - t.start), number=True),
    )
    return table("traces", "Recent traces, newest first", columns, newest)


def _errors(trace: TraceRecord) -> int:
    return sum(LOOK[span.outcome] == "bad" for span in trace.spans)


def _workers(trace: TraceRecord) -> str:
    return ", ".join(dict.fromkeys(str(span.attributes[WORKER]) for span in trace.spans if WORKER in span.attributes))


def _linked(trace: TraceRecord) -> Html:
    id_ = trace.trace_id
    return el("a", breakable(trace.name), href=f"/dashboard/trace?id={quote(id_)}", id=f"trace-{id_}")


def waterfall(trace: TraceRecord, at: float) -> Html:
    """Return one trace as a waterfall, which is a table whose bars repeat what its numbers say."""
    rows = list(_nested(trace.spans))
    left_out = max(0, len(rows) - SPANS_MOST) + trace.dropped
    columns = (
        Column[Row]("what", "What", lambda r: _named(*r), head=True),
        Column[Row]("bar", f"When, of {duration(trace.duration)}", lambda r: _bar(r[0], trace)),
        Column[Row]("module", "Module", lambda r: r[0].module),
        Column[Row]("start", "After", lambda r: duration(max(0.0, r[0].start - trace.start)), number=True),
        Column[Row]("took", "Took", lambda r: duration(r[0].duration), number=True),
        Column[Row]("end", "End", lambda r: _ended(r[0]), bad=lambda r: LOOK[r[0].outcome] == "bad"),
    )
    return el(
        "div",
        el("p", badge(SAID[trace.outcome], LOOK[trace.outcome]), f" {duration(trace.duration)}, ",
           ago(at - trace.start), ", ", el("code", trace.trace_id)),
        table("spans", f"Spans of {trace.name}", columns, rows[:SPANS_MOST]),
        el("p", f"{left_out} more spans are not shown.") if left_out else None,
    )


def _nested(spans: Sequence[SpanRecord]) -> Iterator[Row]:
    """Return spans under those that they belong to, with their depth. One whose parent is elsewhere comes first."""
    known = {span.id for span in spans}
    under: dict[str, list[SpanRecord]] = {}
    for span in sorted(spans, key=lambda s: s.start):
        under.setdefault(span.parent if span.parent in known and span.parent != span.id else "", []).append(span)
    waiting = [(span, 0) for span in reversed(under.get("", []))]
    while waiting:
        span, depth = waiting.pop()
        yield span, depth
        waiting += [(below, depth + 1) for below in reversed(under.get(span.id, []))]


def _named(span: SpanRecord, depth: int) -> Html:
    kind = {"consumer": "event", "store": "store"}.get(span.kind)
    sql = span.attributes.get(SQL)
    said = ", ".join(_said(key, value) for key, value in span.attributes.items() if key not in SHOWN)
    return el(
        "span", breakable(span.name), " " if kind else None, el("small", kind) if kind else None,
        el("code", sql, class_="said") if sql else None, el("small", said, class_="said") if said else None,
        class_=f"depth-{min(depth, 8)}",
    )


def _said(key: str, value: str | float) -> str:
    return f"{key} {value if isinstance(value, str | int) else duration(value)}"


def _ended(span: SpanRecord) -> str:
    error = span.attributes.get(ERROR, "")
    return f"{SAID[span.outcome]}: {error}" if error else SAID[span.outcome]


def _bar(span: SpanRecord, trace: TraceRecord) -> Html:
    whole = max(trace.duration, 1e-9)
    left = min(1.0, max(0.0, (span.start - trace.start) / whole))
    part = min(1.0 - left, span.duration / whole)
    return el(
        "svg",
        el("rect", x=0.0, y=BAR_HEIGHT / 2 - 0.5, width=BAR_WIDTH, height=1.0, class_="axis"),
        el("rect", x=min(left * BAR_WIDTH, BAR_WIDTH - 2), y=1.0, width=max(2.0, part * BAR_WIDTH),
           height=BAR_HEIGHT - 2, rx=2.0, class_=f"{span.kind} {LOOK[span.outcome]}"),
        viewBox=f"0 0 {BAR_WIDTH:.0f} {BAR_HEIGHT:.0f}", width=BAR_WIDTH, height=BAR_HEIGHT, class_="bar",
        aria_hidden="true",
    )

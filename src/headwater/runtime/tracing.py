"""Traces: light spans while a request runs, kept or thrown away when it has ended.

What is kept is decided twice. At the start by chance, or by the caller if it says so (head sampling).
At the end by what happened: an error, or more time than was aimed at (tail sampling). Until then the
spans of an undecided trace are a short list beside the request. Ids are made when somebody needs
them: for a trace that is kept, for an event that carries them on, for a line in the log.
"""

from __future__ import annotations

import itertools
import logging
import math
from collections import deque
from collections.abc import Callable, Mapping, Sequence

from msgspec import Struct

from headwater.model.context import Context
from headwater.ports import Clock, Ids, Outcome, Random, SlowStatement, SpanKind, TraceRecord, TraceSink
from headwater.runtime.records import merged, record_of
from headwater.runtime.slow import SlowStatements

__all__ = ["Begin", "Root", "Span", "Tracer"]

SPANS_MOST = 512
"""Spans of one trace; more are counted, not kept."""
UNDECIDED_MOST = 50_000
"""Spans of undecided traces at one time, of all requests together; more are counted, not kept."""
BEGIN_SHOWN_SECONDS = 0.0005
"""A wait for the write turn that is shorter than this is not worth a span."""

log = logging.getLogger("headwater.runtime")


class Span(Struct):
    """One span while it is open. root: of its trace, None in the root itself. limit: longer than this is kept."""

    root: Root | None
    parent: Span | None
    name: str
    kind: SpanKind
    module: str
    start: float
    limit: float
    seconds: float = 0.0
    outcome: Outcome = "value"
    id: str = ""
    error: str = ""
    attributes: Mapping[str, str | int | float] | None = None


class Root(Span):
    """A trace's first span in this process. spans: those under it, as they end; None before the first."""

    context: Context | None = None
    sampled: bool = False
    spans: list[Span | Statement] | None = None
    ended: bool = False
    keep: bool = False
    trace_id: str = ""
    dropped: int = 0


Statement = tuple[Span, str, str, float, float, Outcome]
"""What a statement's span is made of, once its trace is kept: above it, SQL, module, start, seconds, outcome."""
Begin = Callable[[Span | None, Context, float, bool], Span | None]
"""Opens a span: under which one, for which request, at what time, and whether it would be the first."""


class Tracer:
    """Records spans, decides what is kept, and shows the newest traces.

    ratio: share of traces that is kept in any case, where no caller has decided. keep_errors: also keep
    those in which a call ended as not executed or unknown. slow: also keep those with a span longer than
    this, in seconds; a contract's own `slo_p99` always counts. slow_statement: from when on a statement
    is listed, in seconds. capacity: finished traces that are held for `recent`.
    """

    def __init__(
        self, clock: Clock, ids: Ids, random: Random, *, ratio: float = 0.01, keep_errors: bool = True,
        slow: float | None = None, slow_statement: float = 0.1, capacity: int = 256,
    ) -> None:
        if not 0.0 <= ratio <= 1.0:
            raise ValueError(f"Tracer(ratio={ratio}): a share of all traces, from 0 to 1")
        self.ratio = ratio
        self.keep_errors = keep_errors
        self.kept = 0
        self.sinks: list[TraceSink] = []
        self.slow_statements = SlowStatements(slow_statement)
        self._clock = clock
        self._ids = ids
        self._chance = random.uniform
        self._slow = math.inf if slow is None else slow
        self._errors = frozenset[Outcome](("not_executed", "unknown") if keep_errors else ())
        self._traces: deque[TraceRecord] = deque(maxlen=capacity)
        self._undecided = 0
        self._prefix = ids.new().replace("-", "")[-8:]
        self._next = itertools.count(1).__next__

    # --- while it runs ------------------------------------------------------------------------

    def point(self, name: str, kind: SpanKind, module: str, *, slow: float | None = None) -> Begin:
        """Return what opens spans of one kind; asked for once, at start."""
        limit = self._slow if slow is None else min(slow, self._slow)
        inner: SpanKind = "internal" if kind == "server" else kind
        tail = self.keep_errors or limit < math.inf
        left = self._gap()

        def begin(above: Span | None, context: Context, now: float, outermost: bool) -> Span | None:
            nonlocal left
            if above is not None:
                return Span(above.root or above, above, name, inner, module, now, limit)  # type: ignore[arg-type]
            if not outermost:
                return None
            sampled = context.sampled
            if sampled is None:
                left -= 1
                sampled = left < 0
                if sampled:
                    left = self._gap()
            if not sampled and not tail:
                return None
            return Root(  # by position: keywords would cost half as much again
                None, None, name, kind, module, now, limit, 0.0, "value", "", "", None, context, sampled
            )

        return begin

    def _gap(self) -> int:
        """Return how many traces to pass over until the next one is kept: chance, drawn once for all of them."""
        if self.ratio in (0.0, 1.0):
            return 0 if self.ratio else 2**62
        return int(math.log(max(self._chance(0.0, 1.0), 1e-300)) / math.log1p(-self.ratio))

    def end(self, span: Span, outcome: Outcome, seconds: float) -> None:
        """Close a span. Never raises."""
        span.seconds = seconds
        root = span.root
        keep = seconds > span.limit
        if outcome != "value":
            span.outcome = outcome
            keep = keep or outcome in self._errors
        if root is not None:
            if keep:
                root.keep = True
            self._add(root, span)
        elif isinstance(span, Root):
            self._finish(span, keep=keep)

    def drop(self, span: Span) -> None:
        """Forget a trace whose first span this is: what it tells of was undone and will be done again."""
        if isinstance(span, Root):
            span.sampled = False
            span.keep = False
            self._finish(span, keep=False)

    def statement(
        self, above: Span | None, module: str, sql: str, started: float, seconds: float, outcome: Outcome
    ) -> None:
        """Note a statement, a commit or a wait for the write turn, which has ended."""
        if seconds >= self.slow_statements.limit:
            self.slow_statements.add(module, sql, seconds)
        if above is None or (sql == "begin" and seconds < BEGIN_SHOWN_SECONDS):
            return
        self._add(_root(above), (above, sql, module, started, seconds, outcome))

    def _add(self, root: Root, span: Span | Statement) -> None:
        spans = root.spans
        if spans is None:
            spans = root.spans = []
        if root.ended or len(spans) >= SPANS_MOST or self._undecided >= UNDECIDED_MOST:
            root.dropped += 1
            return
        spans.append(span)
        self._undecided += 1

    def _finish(self, root: Root, *, keep: bool) -> None:
        root.ended = True
        spans = root.spans
        if spans is None:
            spans = []
        else:
            self._undecided -= len(spans)
            root.spans = None  # breaks the circle between a trace and its spans at once
        if keep or root.keep or root.sampled:
            try:
                self._keep(root, spans)
            except Exception:
                log.exception("a trace could not be kept")

    def _keep(self, root: Root, noted: list[Span | Statement]) -> None:
        spans = [_span(root, one) if isinstance(one, tuple) else one for one in noted]
        spans.append(root)
        trace_id = self.trace_id(root)
        for span in spans:
            self.span_id(span)
            if span.parent is not None:
                self.span_id(span.parent)
        trace = record_of(root, spans, trace_id, self._clock.wall() - self._clock.monotonic())
        self.kept += 1
        self._traces.append(trace)
        for sink in self.sinks:
            sink.take(trace)

    # --- ids ----------------------------------------------------------------------------------

    def trace_id(self, span: Span) -> str:
        """Return the id of the span's trace: the caller's, or one made now."""
        root = _root(span)
        if not root.trace_id:
            context = root.context
            assert context is not None
            if not context.trace_id:
                context.trace_id, context.span_id = self._ids.new().replace("-", ""), ""
            root.trace_id = context.trace_id
        return root.trace_id

    def span_id(self, span: Span) -> str:
        """Return the span's id, made when it is first asked for: chance of this process, and a number."""
        if not span.id:
            span.id = f"{self._prefix}{self._next() & 0xFFFFFFFF:08x}"
        return span.id

    def traceparent(self, span: Span) -> str:
        """Return the W3C header that makes what follows a part of the span's trace."""
        root = _root(span)
        return f"00-{self.trace_id(span)}-{self.span_id(span)}-0{int(root.sampled)}"

    # --- afterwards ---------------------------------------------------------------------------

    def recent(self, most: int = 50) -> Sequence[TraceRecord]:
        """Return the newest finished traces, newest first; what is known of one trace is one record."""
        return merged(self._traces, most)

    def find(self, trace_id: str) -> TraceRecord | None:
        """Return the trace with this id, None when it is not held."""
        found = merged([t for t in self._traces if t.trace_id == trace_id], 1)
        return found[0] if found else None

    def slowest(self) -> Sequence[SlowStatement]:
        """Return slow statements, those that took most time together first."""
        return self.slow_statements.listed()


def _span(root: Root, noted: Statement) -> Span:
    above, sql, module, started, seconds, outcome = noted
    return Span(root, above, sql, "store", module, started, math.inf, seconds, outcome)


def _root(span: Span) -> Root:
    root = span.root or span
    assert isinstance(root, Root)
    return root

"""A snapshot as text for Prometheus: format 0.0.4, or OpenMetrics 1.0 for who asks for it.

Buckets are a fixed part of the meter's scale, so their counts are exact: an edge here is an edge there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate

from headwater.model.contract import PRIORITIES
from headwater.ops.aims import budget_left, burn
from headwater.ops.snapshot import LAG_EDGES, Objective, ProcessFigures, Snapshot
from headwater.runtime.meter import EDGES, SIZE_EDGES

__all__ = ["OPEN_METRICS", "TEXT", "render"]

TEXT = b"text/plain; version=0.0.4; charset=utf-8"
OPEN_METRICS = b"application/openmetrics-text; version=1.0.0; charset=utf-8"

SECONDS: tuple[float, ...] = tuple(2.0**power for power in (-15, -13, *range(-11, 5)))
"""Edges of histograms of seconds: 30 microseconds to 16 seconds."""
_STATUSES = ("1xx", "2xx", "3xx", "4xx", "5xx")
_STATES = ("ready", "degraded", "not-ready")

Labels = dict[str, str]
Sample = tuple[str, Labels, float]
"""What is added to the family's name, labels, value."""


class _Family:
    """One metric. kind: counter, gauge or histogram. A counter's name has no `_total`; its samples bring it."""

    __slots__ = ("help", "kind", "name", "samples")

    def __init__(self, name: str, kind: str, told: str, samples: Iterable[Sample]) -> None:
        self.name = f"headwater_{name}"
        self.kind = kind
        self.help = told
        self.samples = samples


def render(snapshot: Snapshot, *, openmetrics: bool = False) -> bytes:
    """Return the text."""
    lines: list[str] = []
    for family in _families(snapshot):
        samples = list(family.samples)
        if not samples:
            continue
        name = f"{family.name}_total" if family.kind == "counter" and not openmetrics else family.name
        lines.append(f"# TYPE {name} {family.kind}")
        unit = family.name.rpartition("_")[2]
        if openmetrics and unit in ("seconds", "bytes"):
            lines.append(f"# UNIT {name} {unit}")
        lines.append(f"# HELP {name} {_help(family.help, openmetrics=openmetrics)}")
        lines += [f"{family.name}{suffix}{_labels(labels)} {_number(value)}" for suffix, labels, value in samples]
    if openmetrics:
        lines.append("# EOF")
    return ("\n".join(lines) + "\n").encode()


# --- writing --------------------------------------------------------------------------------------


def _labels(labels: Labels) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items()) + "}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _help(text: str, *, openmetrics: bool) -> str:
    return _escaped(text) if openmetrics else text.replace("\\", "\\\\").replace("\n", "\\n")


def _number(value: float) -> str:
    return str(value) if isinstance(value, int) else repr(float(value))


def _counts(pairs: Iterable[tuple[Labels, float]]) -> Iterator[Sample]:
    return (("_total", labels, value) for labels, value in pairs)


def _gauges(pairs: Iterable[tuple[Labels, float | None]]) -> Iterator[Sample]:
    return (("", labels, value) for labels, value in pairs if value is not None)


def _histogram(
    labels: Labels, buckets: Sequence[int], edges: Sequence[float], shown: Sequence[float], total: float
) -> Iterator[Sample]:
    below = list(accumulate(buckets))
    for edge in shown:
        yield "_bucket", {**labels, "le": repr(float(edge))}, below[edges.index(edge)]
    yield "_bucket", {**labels, "le": "+Inf"}, below[-1]
    yield "_sum", labels, float(total)
    yield "_count", labels, below[-1]


# --- what there is --------------------------------------------------------------------------------


def _families(s: Snapshot) -> Iterator[_Family]:
    yield from _calls(s)
    yield from _events(s)
    yield from _stores(s)
    yield from _objectives(s.objectives)
    yield from _processes(s.processes)
    yield _Family(
        "workers_missing", "gauge", "Workers that should be there and did not answer.", [("", {}, len(s.missing))]
    )


def _calls(s: Snapshot) -> Iterator[_Family]:
    yield _Family("calls", "counter", "Calls that have ended, by contract and outcome.", _counts(
        ({"contract": c.name, "kind": c.kind, "module": c.module, "outcome": outcome}, count)
        for c in s.contracts for outcome, count in c.outcomes.items()
    ))
    yield _Family("call_seconds", "histogram", "How long calls took.", (
        sample for c in s.contracts if c.calls
        for sample in _histogram({"contract": c.name}, c.buckets, EDGES, SECONDS, c.seconds)
    ))
    yield _Family("http_responses", "counter", "Answers by route and hundred of status codes.", _counts(
        ({"method": r.method, "route": r.path, "contract": r.contract, "status": status}, count)
        for r in s.routes for status, count in zip(_STATUSES, r.statuses, strict=True) if count or status == "2xx"
    ))
    yield _Family("module_calls", "counter", "Calls that a module's handlers made to a contract.", _counts(
        ({"caller": w.source, "contract": w.contract, "kind": w.kind}, w.count) for w in s.ways
    ))
    yield _Family("module_call_errors", "counter", "Of these, calls that did not run or may not have.", _counts(
        ({"caller": w.source, "contract": w.contract, "kind": w.kind}, w.errors) for w in s.ways
    ))


def _events(s: Snapshot) -> Iterator[_Family]:
    for field, name, told in (
        ("delivered", "event_deliveries", "Events whose effect was committed."),
        ("failed", "event_failures", "Attempts at a delivery that raised."),
        ("retries", "event_retries", "Attempts at a delivery after the first."),
        ("dead", "event_deaths", "Deliveries that were given up."),
    ):
        yield _Family(name, "counter", told, _counts(
            ({"subscription": d.subscription, "event": d.event}, getattr(d, field)) for d in s.deliveries
        ))
    for field, name, told in (
        ("lag", "event_lag", "Events that a subscription has not dealt with; counted up to 10000."),
        ("oldest", "event_lag_seconds", "Age of the first of them."),
        ("retrying", "events_retrying", "Deliveries that wait for another attempt."),
        ("dead", "dead_letters", "Dead letters that lie there."),
    ):
        yield _Family(name, "gauge", told, _gauges(
            ({"subscription": b.subscription, "source": b.source}, getattr(b, field)) for b in s.backlogs
        ))


def _stores(s: Snapshot) -> Iterator[_Family]:
    yield _Family("group_commit_size", "histogram", "Units of work that shared a commit.", (
        sample for m in s.stores
        for sample in _histogram({"module": m.module}, m.sizes, SIZE_EDGES, SIZE_EDGES, m.commands)
    ))
    yield _Family("group_commit_seconds", "histogram", "How long commits took, fsync and all.", (
        sample for m in s.stores
        for sample in _histogram({"module": m.module}, m.buckets, EDGES, SECONDS, m.seconds)
    ))
    yield _Family("group_commit_failures", "counter", "Commits that failed.", _counts(
        ({"module": m.module}, m.failed) for m in s.stores
    ))
    for field, name, told in (
        ("waiting", "store_writers_waiting", "Units of work that wait for the write turn."),
        ("readers", "store_readers_open", "Read connections that are open."),
        ("reading", "store_readers_busy", "Read connections that are in use."),
        ("read_waiting", "store_reads_waiting", "Reads that wait for a connection."),
    ):
        yield _Family(name, "gauge", told, _gauges(({"module": m.module}, getattr(m, field)) for m in s.stores))


def _objectives(objectives: Sequence[Objective]) -> Iterator[_Family]:
    def named(o: Objective) -> Labels:
        return {"contract": o.contract, "objective": o.kind}

    yield _Family("slo_calls", "counter", "Calls that count for an objective.", _counts(
        (named(o), o.since.total) for o in objectives
    ))
    yield _Family("slo_good_calls", "counter", "Of these, calls that were as good as the objective asks.", _counts(
        (named(o), o.since.good) for o in objectives
    ))
    yield _Family("slo_target", "gauge", "Share of calls that shall be good.", _gauges(
        (named(o), o.target) for o in objectives
    ))
    yield _Family("slo_burn_rate", "gauge", "How fast the error budget is used up; 1 uses exactly all of it.", _gauges(
        ({**named(o), "window": f"{w.seconds:.0f}s"}, burn(w, o.target)) for o in objectives for w in o.windows
    ))
    yield _Family("slo_budget_left_ratio", "gauge", "Share of the error budget left since the start.", _gauges(
        (named(o), budget_left(o)) for o in objectives
    ))


_PROCESS: tuple[tuple[str, str, str, Callable[[ProcessFigures], float | None]], ...] = (
    ("process_uptime_seconds", "gauge", "How long the process has served.", lambda p: p.uptime),
    ("process_start_time_seconds", "gauge", "When it started to serve, in Unix time.", lambda p: p.started_at),
    ("process_cpu_seconds", "counter", "Processor time.", lambda p: p.cpu),
    ("process_resident_memory_bytes", "gauge", "Memory, with all that is shared.", lambda p: p.rss),
    ("process_proportional_memory_bytes", "gauge", "Memory, with its part of what is shared.", lambda p: p.pss),
    ("process_open_fds", "gauge", "Open file descriptors.", lambda p: p.fds),
    ("process_threads", "gauge", "Threads.", lambda p: p.threads),
    ("process_tasks", "gauge", "Tasks of the event loop.", lambda p: p.tasks),
    ("requests_in_flight", "gauge", "Requests that have begun and wait.", lambda p: p.in_flight),
    ("http_connections", "gauge", "Clients that are connected.", lambda p: p.connections),
    ("loop_lag_most_seconds", "gauge", "How late the event loop was at most in the last minute.",
     lambda p: p.loop_lag_most),
)


def _processes(processes: Sequence[ProcessFigures]) -> Iterator[_Family]:
    yield _Family("build_info", "gauge", "Versions.", _gauges(
        ({"slot": str(p.slot), "version": p.version, "python": p.python, "loop": p.loop}, 1) for p in processes
    ))
    yield _Family("process_status", "gauge", "1 for the state that a process is in.", _gauges(
        ({"slot": str(p.slot), "status": state}, int(p.status == state)) for p in processes for state in _STATES
    ))
    yield _Family("priority_refused", "gauge", "1 where calls of a priority are refused.", _gauges(
        ({"slot": str(p.slot), "priority": priority}, int(priority in p.refused))
        for p in processes for priority in PRIORITIES
    ))
    for name, kind, told, read in _PROCESS:
        pairs = [({"slot": str(p.slot)}, value) for p in processes if (value := read(p)) is not None]
        yield _Family(name, kind, told, _counts(pairs) if kind == "counter" else _gauges(pairs))
    yield _Family("loop_lag_seconds", "histogram", "How late the event loop was.", (
        sample for p in processes
        for sample in _histogram({"slot": str(p.slot)}, p.loop_lags, LAG_EDGES, LAG_EDGES, p.loop_lag_seconds)
    ))
    for field, name, told in (
        ("gc_collections", "gc_collections", "Runs of the garbage collector."),
        ("gc_collected", "gc_collected_objects", "Objects that it freed."),
        ("gc_uncollectable", "gc_uncollectable_objects", "Objects that it could not free."),
    ):
        yield _Family(name, "counter", told, _counts(
            ({"slot": str(p.slot), "generation": str(generation)}, count)
            for p in processes for generation, count in enumerate(getattr(p, field))
        ))

"""What was asked of the framework, beside what a run measured."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass

from bench.web.contenders import BASE
from bench.web.figures import Ratio, Report, Sample, ratio

__all__ = ["GOALS", "INNER_GOALS", "Goal", "verdict"]

OURS = "headwater"
ASGI = "headwater, ASGI on uvicorn"


@dataclass(frozen=True)
class Goal:
    """One thing asked. measured: what a report says of it, None when nothing. least: whether more is better."""

    what: str
    asked: float
    measured: Callable[[Report], Ratio | None]
    least: bool = True
    unit: str = "x"

    def met(self, found: Ratio) -> bool:
        """Return whether the median is what was asked, to two digits after the point."""
        median = round(found.median, 2)
        return median >= self.asked if self.least else median <= self.asked


def verdict(goal: Goal, found: Ratio | None) -> str:
    """Return in a word or two what came of it."""
    if found is None:
        return "not measured"
    return "met" if goal.met(found) else "**missed**"


def _rate(sample: Sample) -> float:
    return sample.rate


def _per_cpu(case: str, other: str, mine: str = OURS) -> Callable[[Report], Ratio | None]:
    return lambda report: report.ratio(case, mine, other)


def _per_second(case: str, other: str) -> Callable[[Report], Ratio | None]:
    return lambda report: report.ratio(case, OURS, other, by=_rate)


def _tail(case: str) -> Callable[[Report], Ratio | None]:
    def found(report: Report) -> Ratio | None:
        tails = report.tails.get(case, {})
        if OURS not in tails or BASE not in tails:
            return None
        return ratio([t.p99 for t in tails[OURS]], [t.p99 for t in tails[BASE]])

    return found


def _start(report: Report) -> Ratio | None:
    mine, theirs = report.start.get(OURS), report.start.get(BASE)
    return ratio(mine, theirs) if mine and theirs else None


def _calls(case: str) -> Callable[[Report], Ratio | None]:
    def found(report: Report) -> Ratio | None:
        counted = report.calls.get(case, {}).get(OURS)
        return Ratio(statistics.median(counted), min(counted), max(counted)) if counted else None

    return found


def _inner(title: str, name: str, what: str = "ratio") -> Callable[[Report], Ratio | None]:
    """Return a contender's ratio to the base; `inverse`: the base's to it; `median`: its figure itself."""

    def found(report: Report) -> Ratio | None:
        for one in report.inner:
            if one.title == title and name in one.median:
                if what == "inverse":
                    low, high = one.spread[name]
                    return Ratio(1 / one.ratio[name], 1 / high, 1 / low)
                if what == "median":
                    return Ratio(one.median[name], one.median[name], one.median[name])
                return Ratio(one.ratio[name], *one.spread[name])
        return None

    return found


_CALL = "A call between two modules of one process"
_STORE = "An order and its event, 64 at once, disk (FULL)"
GOALS = (
    Goal("hello against bare granian RSGI, per CPU second", 1.8, _per_cpu("hello", BASE)),
    Goal("validated order of 5 lines, likewise", 2.4, _per_cpu("order", BASE)),
    Goal("path + query with 11 headers, likewise", 1.5, _per_cpu("item", BASE)),
    Goal("hello against bare FastAPI on uvicorn, per CPU second", 7.0, _per_cpu("hello", "FastAPI")),
    Goal("validated order, likewise", 7.0, _per_cpu("order", "FastAPI")),
    Goal(
        "hello against FastAPI with OpenTelemetry, Prometheus, auth, timeout", 20.0,
        _per_cpu("hello", "FastAPI, all features"),
    ),
    Goal("validated order, likewise", 20.0, _per_cpu("order", "FastAPI, all features")),
    Goal("system calls for a hello on a kept connection", 2.1, _calls("hello"), least=False, unit=""),
    Goal("system calls for an order on a kept connection", 2.1, _calls("order"), least=False, unit=""),
    Goal("SQLite row by key, against the same query inline on granian, per CPU second", 1.45, _per_cpu("row", BASE)),
    Goal("order + outbox at FULL, against a commit a request on granian, requests/s", 6.0, _per_second("full", BASE)),
    Goal("order + outbox at NORMAL, likewise", 2.0, _per_second("normal", BASE)),
    Goal("p99 of hello at a constant rate, against granian", 1.0, _tail("hello"), least=False),
    Goal("p99 of an order at a constant rate, against granian", 1.0, _tail("order"), least=False),
    Goal("process start to first answer, against granian", 1.0, _start, least=False),
    Goal("the ASGI face on uvicorn, hello, against bare uvicorn", 0.9, _per_cpu("hello", "uvicorn", ASGI)),
)
INNER_GOALS = (
    Goal(
        "a call between two modules, in bare awaits", 15.0,
        _inner(_CALL, "ctx.call: deadline, context, outcome, meter"), least=False,
    ),
    Goal("the same, encoded and decoded both ways", 40.0, _inner(_CALL, "the same, encoded and decoded both ways"),
         least=False),
    Goal(
        "order and event in the store, 64 at once, FULL, against one commit an order", 10.0,
        _inner(_STORE, "store ports: begin, execute, append, commit", "inverse"),
    ),
    Goal("a point read through a view, against bare apsw", 3.0,
         _inner("One row by its key", "a view: open, fetch, typed, close"), least=False),
    Goal(
        "a typed event, publish to handled, NORMAL, CPU", 25.0,
        _inner("Publish to handled, CPU", "headwater, 64 producers, process (NORMAL)", "median"), least=False,
        unit="us",
    ),
    Goal("publishing at FULL, 64 producers, against one commit an event", 25.0,
         _inner("Publishing at FULL", "bare apsw, one commit an event")),
    Goal("emit to handler, one at a time, NORMAL, p50", 0.4,
         _inner("Emit to handler, one at a time", "process (NORMAL)", "median"), least=False, unit="ms"),
)

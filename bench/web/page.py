"""The page: docs/performance.md, written from a report and from what people found out about the misses."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence

from bench.web.cases import CASES, PURE, STORED
from bench.web.contenders import BASE, CONTENDERS, FEATURES
from bench.web.figures import Inner, Ratio, Report
from bench.web.goals import GOALS, INNER_GOALS, Goal, verdict
from bench.web.measure import RATES

__all__ = ["page"]

INTRO = """# Performance, measured

Written by `make bench`, which measures all of this again on your machine. It needs `wrk`, takes about a quarter of an
hour, and may be interrupted; `python -m bench --quick` takes some four minutes and writes no page.

{machine}. Taken {taken}; other processes kept {busy:.1f} cores busy before it began. Every server runs as one worker
on one core, the load comes from the other over 64 kept connections. All contenders take turns in each of {rounds}
rounds of one run, in another order each time, {seconds:g} s a turn. Ratios are taken round by round; what is shown is
their median, with the smallest and the largest behind it. Read ratios, not microseconds."""
LOADED = """Work is counted for each second of CPU of the server's processes, user and kernel, because that is what a
busy machine does not distort much. The number in brackets is microseconds of CPU a request. Everybody gets the same
bytes, bearer token included, and is measured only after it has answered each case with the same JSON and refused a
wrong request."""
TAILS = """Requests are due by a fixed schedule and time counts from when each was due, so a server that stands still is
charged for all who would have come meanwhile. A round counts only if the generator was not kept from its core."""


def page(report: Report, notes: str) -> str:
    """Return the page. notes: what was found out by hand, as Markdown."""
    intro = INTRO.format(
        machine=report.machine, taken=report.taken, busy=report.busy, rounds=report.rounds, seconds=report.seconds
    )
    parts = [
        intro, "![Requests for each second of CPU, against bare granian](performance.svg)",
        "## What was asked", _goals(report, (*GOALS, *INNER_GOALS)), "## HTTP", LOADED,
        f"### Work for each second of CPU, against {BASE}", _by_cpu(report, PURE), "### Requests a second",
        _by_rate(report, PURE), "## HTTP and SQLite",
        "One file, WAL, 64 connections. Bare servers run each statement inline and commit once a request.",
        _by_cpu(report, STORED), "Requests a second, which is what group commit is for:", _by_rate(report, STORED),
        "## At a constant rate", TAILS, _tails(report), "## Start and system calls", _starts(report),
        "## Inside a process", *_inner(report.inner), notes.strip(), "## What everybody does", _features(report),
        "## Versions", _versions(report),
    ]
    if report.left_out:
        parts += ["## Left out", "\n".join(f"* {' '.join(each.split())[:300]}" for each in report.left_out)]
    return "\n\n".join(part for part in parts if part) + "\n"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table; empty when there is nothing to show."""
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([f"| {' | '.join(head)} |", "|" + "---|" * len(head), *lines]) if lines else ""


def _ratio(found: Ratio | None, unit: str = "") -> str:
    if found is None:
        return "-"
    text = f"{_short(found.median)}{unit}"
    return text if found.low == found.high else f"{text} ({_short(found.low)} .. {_short(found.high)})"


def _short(number: float) -> str:
    return f"{number:.0f}" if number >= 100 else f"{number:.1f}" if number >= 10 else f"{number:.2f}"


def _goals(report: Report, goals: Sequence[Goal]) -> str:
    rows = []
    for goal in goals:
        found = goal.measured(report)
        unit = f" {goal.unit}" if goal.unit else ""
        asked = f"at {'least' if goal.least else 'most'} {goal.asked:g}{unit}"
        rows.append((goal.what, asked, _ratio(found), verdict(goal, found)))
    return table(("what", "asked", "measured", ""), rows)


def _by_cpu(report: Report, cases: Sequence[str]) -> str:
    rows = []
    for name in _names(report, cases):
        cells = [name]
        for case in cases:
            samples = report.load.get(case, {}).get(name)
            used = f" [{_short(statistics.median(s.cpu for s in samples))} us]" if samples else ""
            cells.append(_ratio(report.ratio(case, name, BASE)) + used)
        memory = report.memory.get(name)
        rows.append((*cells, "-" if memory is None else f"{memory:.0f}"))
    return table(("contender", *(CASES[case].title for case in cases), "memory, MiB"), rows)


def _by_rate(report: Report, cases: Sequence[str]) -> str:
    rows = []
    for name in _names(report, cases):
        found = [report.load.get(case, {}).get(name) for case in cases]
        rows.append((name, *("-" if not s else f"{statistics.median(x.rate for x in s):,.0f}" for s in found)))
    return table(("contender", *(CASES[case].title for case in cases)), rows)


def _names(report: Report, cases: Sequence[str]) -> list[str]:
    """Return who was measured in one of the cases, by the first case, best first."""
    names = [name for name in CONTENDERS if any(name in report.load.get(case, {}) for case in cases)]

    def place(name: str) -> float:
        found = (report.ratio(case, name, BASE) for case in cases)
        return -next((each.median for each in found if each is not None), 0.0)

    return sorted(names, key=place)


def _tails(report: Report) -> str:
    rows = []
    for case, by_name in report.tails.items():
        for name, tails in by_name.items():
            cells = [statistics.median(getattr(t, field) for t in tails) for field in ("p50", "p99", "worst")]
            what = f"{CASES[case].title}, {RATES[case]:,}/s"
            rows.append((what, name, *(f"{_short(cell)} ms" for cell in cells), str(len(tails))))
    return table(("what", "server", "p50", "p99", "worst", "rounds"), rows) or "Not measured."


def _starts(report: Report) -> str:
    rows = []
    for name, took in sorted(report.start.items(), key=lambda pair: statistics.median(pair[1])):
        calls = [report.calls.get(case, {}).get(name) for case in ("hello", "order")]
        counted = ["-" if not each else f"{statistics.median(each):.2f}" for each in calls]
        rows.append((name, f"{statistics.median(took):.0f} ms ({min(took):.0f} .. {max(took):.0f})", *counted))
    return table(("server", "start to first answer", "system calls, hello", "system calls, order"), rows)


def _inner(results: Sequence[Inner]) -> list[str]:
    parts = []
    for one in results:
        rows = [
            (name, _short(one.median[name]), _ratio(Ratio(one.ratio[name], *one.spread[name])))
            for name in sorted(one.median, key=one.median.__getitem__)
        ]
        parts += [f"**{one.title}**", table(("", one.unit, f"against {one.base}"), rows)]
        parts += [f"Note: {note}." for note in one.notes]
    return parts or ["Not measured in this run."]


def _features(report: Report) -> str:
    measured = {name for by_name in report.load.values() for name in by_name}
    rows = []
    for name, contender in CONTENDERS.items():
        if name in measured:
            has = ["yes" if feature in contender.features else "-" for feature in FEATURES]
            rows.append((name, *has, contender.note))
    return table(("contender", *FEATURES, "note"), rows)


def _versions(report: Report) -> str:
    return ", ".join(f"{name} {version}" for name, version in sorted(report.versions.items())) + "."

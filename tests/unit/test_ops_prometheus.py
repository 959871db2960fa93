"""Text for Prometheus, read back line by line: nothing is lost, nothing escapes its quotes, sums are sums."""

from __future__ import annotations

import random
import re
from typing import Any, NamedTuple

import msgspec
import pytest

from headwater.ops.prometheus import SECONDS, render
from headwater.ops.snapshot import (
    LAG_EDGES,
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
)
from headwater.runtime.meter import EDGES, SIZE_EDGES, Histogram

NASTY = 'a"b\\c\nd}e{f=,# é\u2028'
LINE = re.compile(r'([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{((?:[a-z_]+="(?:[^"\\\n]|\\["\\n])*",?)*)\})? (\S+)')
LABEL = re.compile(r'([a-z_]+)="((?:[^"\\\n]|\\["\\n])*)"')


class Sample(NamedTuple):
    """One line that is no comment."""

    name: str
    labels: dict[str, str]
    value: float


class Family(NamedTuple):
    """One metric, as its comments and lines tell of it."""

    name: str
    kind: str
    told: str
    unit: str
    samples: list[Sample]


def read(text: bytes) -> list[Family]:
    """Read strictly: a comment of each kind before the samples, all of a family together, no line left over."""
    families: list[Family] = []
    said: dict[str, str] = {}
    for line in text.decode().split("\n")[:-1]:
        if line == "# EOF":
            assert text.endswith(b"# EOF\n")
        elif line.startswith("# "):
            _, what, name, rest = line.split(" ", 3)
            if what == "TYPE":
                said = {}
            assert what not in said
            said[what], said["name"] = rest, name
            if what == "HELP":
                families.append(Family(name, said["TYPE"], rest, said.get("UNIT", ""), []))
        else:
            found = LINE.fullmatch(line)
            assert found, line
            labels = {k: re.sub(r"\\(.)", lambda m: {"n": "\n"}.get(m[1], m[1]), v) for k, v in LABEL.findall(found[2] or "")}
            assert found[1].startswith(said["name"])
            families[-1].samples.append(Sample(found[1], labels, float(found[3])))
    assert len({family.name for family in families}) == len(families)
    return families


def histogram(*seconds: float) -> tuple[tuple[int, ...], float]:
    made = Histogram()
    for one in seconds:
        made.take(one)
    return made.buckets, made.seconds


def everything(text: str = "m.do/1") -> Snapshot:
    """Return a snapshot with some of all there is; text: in every label that people name."""
    buckets, seconds = histogram(0.001, 0.002, 0.5, 100.0)
    sizes = (3, 2, *([0] * (len(SIZE_EDGES) - 2)), 1)
    lags = (5, *([0] * (len(LAG_EDGES) - 1)), 1)
    process: dict[str, Any] = {
        "pid": 7, "version": text, "python": "3", "loop": "l", "started_at": 1.5e9, "uptime": 9.0, "status": "degraded",
        "reasons": (text,), "refused": ("normal", "low"), "rss": 1, "pss": 2, "fds": 3, "threads": 4, "loop_lags": lags,
        "loop_lag_seconds": 12.0, "gc_collections": (1, 2, 3), "gc_collected": (4, 5, 6), "gc_uncollectable": (0, 0, 0),
    }
    return Snapshot(
        app=text, at=2e9, modules=(text,), processes=tuple(ProcessFigures(slot=slot, **process) for slot in (0, 1)),
        missing=(Missing(slot=2, reason=text),),
        contracts=(
            ContractFigures(name=text, kind="command", module=text, outcomes={"value": 3, "unknown": 1}, buckets=buckets,
                            seconds=seconds),
            ContractFigures(name="quiet/1", kind="query", module="m", outcomes={"value": 0}),
        ),
        routes=(RouteFigures(method="GET", path=text, contract=text, module=text, statuses=(0, 2, 0, 1, 0)),),
        ways=(Way(source=text, contract=text, module=text, kind="call", count=4, errors=1),),
        deliveries=(DeliveryFigures(source=text, event=text, subscription=text, module=text, delivered=3, dead=1),),
        stores=(StoreFigures(module=text, commits=6, commands=600, sizes=sizes, buckets=buckets, seconds=seconds),),
        objectives=(Objective(
            contract=text, kind="latency", target=0.99, threshold=0.1, since=Window(seconds=9, total=10, good=9),
            windows=(Window(seconds=300, total=10, good=9),),
        ),),
        backlogs=(Backlog(subscription=text, module=text, source=text, lag=2, oldest=3.0, dead=1),),
    )


@pytest.mark.parametrize("openmetrics", [False, True])
def test_every_metric_says_what_it_is(openmetrics: bool) -> None:
    """Type, help and, in its name, the unit; counters end in _total, nothing else does."""
    for family in read(render(everything(), openmetrics=openmetrics)):
        assert family.name.startswith("headwater_")
        assert family.told.endswith("."), family
        assert family.kind in ("counter", "gauge", "histogram")
        assert family.samples, family
        name = family.name.removesuffix("_total")
        assert family.name.endswith("_total") == (family.kind == "counter" and not openmetrics)
        for sample in family.samples:
            if family.kind == "histogram":
                assert sample.name in (f"{name}_bucket", f"{name}_sum", f"{name}_count")
            else:
                assert sample.name == (f"{name}_total" if family.kind == "counter" else name)
        if openmetrics:
            last = name.rpartition("_")[2]
            assert family.unit == (last if last in ("seconds", "bytes") else "")
        assert not re.search(r"_(ms|millis|milliseconds|minutes|kb|mb|percent)(_|$)", name)


@pytest.mark.parametrize("openmetrics", [False, True])
def test_no_series_stands_there_twice(openmetrics: bool) -> None:
    samples = [s for family in read(render(everything(), openmetrics=openmetrics)) for s in family.samples]
    assert len({(s.name, *sorted(s.labels.items())) for s in samples}) == len(samples)


@pytest.mark.parametrize("openmetrics", [False, True])
def test_labels_come_back_as_they_were(openmetrics: bool) -> None:
    """Quotes, backslashes, line ends and all: a name cannot make up a metric."""
    plain = read(render(everything("plain"), openmetrics=openmetrics))
    nasty = read(render(everything(NASTY), openmetrics=openmetrics))
    swapped = [
        family._replace(samples=[
            s._replace(labels={k: NASTY if v == "plain" else v for k, v in s.labels.items()}) for s in family.samples
        ])
        for family in plain
    ]
    assert nasty == swapped
    assert any(NASTY in s.labels.values() for family in nasty for s in family.samples)


def test_histograms_only_rise_and_end_at_the_count() -> None:
    for family in read(render(everything())):
        if family.kind != "histogram":
            continue
        series: dict[tuple[tuple[str, str], ...], list[Sample]] = {}
        for sample in family.samples:
            labels = {k: v for k, v in sample.labels.items() if k != "le"}
            series.setdefault(tuple(sorted(labels.items())), []).append(sample)
        for samples in series.values():
            *buckets, total, count = samples
            edges = [float(s.labels["le"]) for s in buckets]
            assert edges == sorted(edges)
            assert edges[-1] == float("inf")
            counts = [s.value for s in buckets]
            assert counts == sorted(counts)
            assert (total.name, count.name) == (f"{family.name}_sum", f"{family.name}_count")
            assert counts[-1] == count.value > 0


def test_buckets_are_exact_at_every_edge_that_is_shown() -> None:
    """The scale that is shown is part of the one that is measured on, so nothing is estimated."""
    assert set(SECONDS) <= set(EDGES)
    chance = random.Random(7)
    samples = [chance.choice((chance.expovariate(100), chance.choice(SECONDS), chance.uniform(0, 40))) for _ in range(3_000)]
    buckets, seconds = histogram(*samples)
    figures = ContractFigures(
        name="m.do/1", kind="query", module="m", outcomes={"value": len(samples)}, buckets=buckets, seconds=seconds
    )
    families = {f.name: f for f in read(render(Snapshot(app="a", at=1.0, contracts=(figures,))))}
    for sample in families["headwater_call_seconds"].samples:
        if sample.name.endswith("_bucket"):
            assert sample.value == sum(one <= float(sample.labels["le"]) for one in samples)


def test_what_the_system_does_not_tell_is_left_out() -> None:
    told = everything()
    unknown = tuple(
        msgspec.structs.replace(p, rss=None, pss=None, fds=None, threads=None, gc_collections=()) for p in told.processes
    )
    names = {f.name for f in read(render(msgspec.structs.replace(told, processes=unknown)))}
    assert "headwater_process_resident_memory_bytes" not in names
    assert "headwater_gc_collections_total" not in names
    assert "headwater_process_cpu_seconds_total" in names


def test_refused_priorities_are_told_by_name() -> None:
    families = {f.name: f for f in read(render(everything()))}
    told = {(s.labels["slot"], s.labels["priority"]): s.value for s in families["headwater_priority_refused"].samples}
    assert {k: v for k, v in told.items() if k[0] == "0"} == {
        ("0", "critical"): 0, ("0", "high"): 0, ("0", "normal"): 1, ("0", "low"): 1,
    }


def test_an_application_of_which_nothing_is_known() -> None:
    """No family without samples, and still the end that OpenMetrics asks for."""
    text = render(Snapshot(app="a", at=1.0), openmetrics=True)
    assert text.endswith(b"\n# EOF\n")
    assert b"EOF" not in render(Snapshot(app="a", at=1.0))
    (only,) = read(text)
    assert (only.name, only.samples[0].value) == ("headwater_workers_missing", 0)

"""The benchmark's page: its figures, its words about what was missed, and its chart."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import msgspec
import pytest

from bench.web.chart import chart
from bench.web.figures import Inner, Ratio, Report, Sample, Tail, ratio
from bench.web.goals import GOALS, INNER_GOALS, verdict
from bench.web.page import page
from bench.web.syscalls import total_of

STRACE = """% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
 60.11    0.120000           2     60000       12 read
 39.89    0.080000           2     40000           write
------ ----------- ----------- --------- --------- ----------------
100.00    0.200000           2    100000        12 total
"""


def samples(*cpu: float) -> list[Sample]:
    return [Sample(rate=1e6 / each, cpu=each) for each in cpu]


def report(**changed: object) -> Report:
    hello = {"headwater": samples(10, 8, 10), "granian rsgi": samples(20, 16, 10), "FastAPI": samples(80, 80, 80)}
    return Report(**{  # type: ignore[arg-type]
        "taken": "2026-01-01", "machine": "a machine, 2 cores", "busy": 0.25, "rounds": 3, "seconds": 1.0,
        "versions": {"granian": "1.2.3"}, "load": {"hello": hello}, "memory": {"headwater": 30.4}, **changed,
    })


def test_a_ratio_is_taken_round_by_round() -> None:
    # the machine slowed down by ten in the second round, for both: medians of each alone would say 2.75
    assert ratio([20, 200, 22], [10, 100, 4]) == Ratio(2.0, 2.0, 5.5)
    with pytest.raises(ValueError, match="shorter|longer"):
        ratio([1.0], [1.0, 2.0])


def test_more_work_for_a_second_of_cpu_is_a_larger_ratio() -> None:
    assert report().ratio("hello", "headwater", "granian rsgi") == Ratio(2.0, 1.0, 2.0)
    assert report().ratio("hello", "headwater", "Litestar") is None
    assert report().ratio("order", "headwater", "granian rsgi") is None


def test_a_goal_is_met_or_missed_in_so_many_words() -> None:
    hello = GOALS[0]
    assert verdict(hello, Ratio(1.8, 1.0, 2.0)) == "met"
    assert verdict(hello, Ratio(1.79, 1.7, 2.0)) == "**missed**"
    calls = next(goal for goal in GOALS if "system calls" in goal.what)
    assert verdict(calls, Ratio(2.1, 2.1, 2.1)) == "met"
    assert verdict(calls, Ratio(2.2, 2.2, 2.2)) == "**missed**"
    assert verdict(calls, None) == "not measured"


def test_the_page_shows_goal_and_figure_side_by_side() -> None:
    text = page(report(), "## Found out\n\nNothing.\n")
    assert "| hello against bare granian RSGI, per CPU second | at least 1.8 x | 2.00 (1.00 .. 2.00) | met |" in text
    assert "| validated order of 5 lines, likewise | at least 2.4 x | - | not measured |" in text
    assert "| headwater | 2.00 (1.00 .. 2.00) [10.0 us] | - | - | 30 |" in text
    assert "| FastAPI | 12,500 | - | - |" in text
    assert "## Found out\n\nNothing." in text
    assert "granian 1.2.3." in text
    assert "## Left out" not in text


def test_a_miss_and_who_was_left_out_are_told() -> None:
    slow = {"headwater": samples(30), "granian rsgi": samples(20)}
    text = page(report(load={"hello": slow}, left_out=["NestJS does not start:\n  no node"]), "")
    assert "| at least 1.8 x | 0.67 | **missed** |" in text
    assert "* NestJS does not start: no node" in text


def test_rows_are_sorted_and_only_of_those_who_were_measured() -> None:
    text = page(report(), "")
    rows = [line.split(" | ")[0] for line in text.splitlines() if " us]" in line]
    assert rows == ["| headwater", "| granian rsgi", "| FastAPI"]
    assert "Sanic" not in text


def test_tails_starts_and_calls() -> None:
    tails = {"hello": {"headwater": [Tail(0.1, 1.0, 5.0, 0.0)] * 2, "granian rsgi": [Tail(0.2, 2.0, 5.0, 0.0)] * 2}}
    text = page(report(
        tails=tails, start={"headwater": [110.0, 90.0, 95.0], "granian rsgi": [100.0, 100.0, 100.0]},
        calls={"hello": {"headwater": [2.04]}},
    ), "")
    assert "| hello, 15,000/s | headwater | 0.10 ms | 1.00 ms | 5.00 ms | 2 |" in text
    assert "| headwater | 95 ms (90 .. 110) | 2.04 | - |" in text
    assert "| process start to first answer, against granian | at most 1 x | 0.95 (0.90 .. 1.10) | met |" in text
    assert "| p99 of hello at a constant rate, against granian | at most 1 x | 0.50 | met |" in text


def test_figures_from_inside_a_process_are_read_the_right_way_round() -> None:
    store = Inner(
        "An order and its event, 64 at once, disk (FULL)", "us an order", "bare",
        {"store ports: begin, execute, append, commit": 10.0}, {"store ports: begin, execute, append, commit": 0.1},
        {"store ports: begin, execute, append, commit": (0.05, 0.2)},
    )
    found = next(goal for goal in INNER_GOALS if "in the store" in goal.what).measured(report(inner=[store]))
    assert found is not None
    assert (round(found.median, 6), round(found.low, 6), round(found.high, 6)) == (10.0, 5.0, 20.0)


def test_a_report_survives_being_kept() -> None:
    kept = report(tails={"hello": {"headwater": [Tail(0.1, 1.0, 5.0, 0.0)]}})
    assert msgspec.json.decode(msgspec.json.encode(kept), type=Report) == kept


def test_the_chart_has_a_bar_for_each_figure_and_follows_the_page() -> None:
    svg = chart(report())
    root = ET.fromstring(svg)
    titles = [each.text for each in root.iter("{http://www.w3.org/2000/svg}title")]
    assert titles[1:] == ["headwater, hello: 2.00", "granian rsgi, hello: 1.00", "FastAPI, hello: 0.20"]
    assert "prefers-color-scheme: dark" in svg
    widths = [float(r.get("width", "0")) for r in root.iter("{http://www.w3.org/2000/svg}rect") if r.get("rx") == "1.5"]
    assert widths[0] == pytest.approx(2 * widths[1], rel=0.01)
    _, _, width, _ = map(float, root.get("viewBox", "").split())
    assert all(220 + each < width for each in widths)


def test_straces_table_is_read(tmp_path: Path) -> None:
    table = tmp_path / "strace"
    table.write_text(STRACE)
    assert total_of(table) == 100_000
    table.write_text(STRACE.replace("        12 total", "           total"))
    assert total_of(table) == 100_000
    table.write_text("")
    with pytest.raises(RuntimeError, match="ptrace_scope"):
        total_of(table)

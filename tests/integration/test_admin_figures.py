"""Figures of two real workers, compared with what was asked of them and with what their handlers were told to do."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.chaos.test_store_faults import mounted, needs_root
from tests.integration.admin_site import Site, another, ask, eventually, full, promtool, serving

TIRED = another("tests.integration.tired:app")
EVENT = {"subscription": "listener.hear", "event": "tired.told/1"}
FAST, SLOW, FAILED = 40, 3, 2


@pytest.fixture(scope="module")
def busy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Two workers that have answered so many calls in time, late, and not at all."""
    with serving(tmp_path_factory.mktemp("busy"), "--workers", "2", "--admin-port", "0", **TIRED) as site:
        eventually(lambda: full(site))
        for query, count, status in (("", FAST, 200), ("?ms=80", SLOW, 200), ("?fails=true", FAILED, 500)):
            for _ in range(count):
                assert ask(site.public, "GET", f"/v1/critical{query}").status == status
        yield site


def tell(site: Site, name: str, **more: Any) -> None:
    assert ask(site.public, "POST", "/v1/told", body={"name": name, **more}).status == 204


# --- calls and aims -------------------------------------------------------------------------------


def test_calls_add_up_over_both_workers(busy: Site) -> None:
    """By outcome, in the histogram, by status; each worker has had some of them."""
    contract = {"contract": "tired.critical/1"}
    outcomes = {o: busy.summed("headwater_calls_total", **contract, outcome=o) for o in ("value", "failure", "unknown")}
    assert outcomes == {"value": FAST + SLOW, "failure": 0, "unknown": FAILED}
    total = FAST + SLOW + FAILED
    assert busy.summed("headwater_call_seconds_count", **contract) == total
    assert busy.summed("headwater_call_seconds_bucket", **contract, le="+Inf") == total
    assert busy.summed("headwater_call_seconds_bucket", **contract, le="0.0625") <= FAST + FAILED  # a call of 80 ms is no such
    assert busy.summed("headwater_call_seconds_sum", **contract) >= SLOW * 0.08
    route = {"route": "/v1/critical", "method": "GET"}
    assert busy.summed("headwater_http_responses_total", **route, status="2xx") == FAST + SLOW
    assert busy.summed("headwater_http_responses_total", **route, status="5xx") == FAILED


def test_aims_are_counted_exactly_over_both_workers(busy: Site) -> None:
    """`slo_p99="50ms"`: what took 80 is not good; what broke is good in neither sense."""
    aims = {one["objective"]: one for one in ask(busy.admin, "GET", "/slo").json()}
    total = FAST + SLOW + FAILED
    available, latency = aims["availability"], aims["latency"]
    assert (available["since"]["total"], available["since"]["good"]) == (total, FAST + SLOW)
    assert (latency["target"], latency["threshold"]) == (0.99, 0.05)
    assert latency["since"]["total"] == total
    assert latency["since"]["good"] <= FAST  # a pause of the machine may make one of these late
    assert [w["seconds"] for w in available["windows"]] == [300, 1800, 3600, 21600]
    for window in available["windows"]:
        assert window["burn"] == pytest.approx(FAILED / total / 0.01)
    assert available["budget_left"] == pytest.approx(1 - FAILED / total / 0.01)
    told = busy.summed("headwater_slo_good_calls_total", contract="tired.critical/1", objective="availability")
    assert told == FAST + SLOW


def test_promtool_has_nothing_to_say_of_aims_and_failures(busy: Site) -> None:
    tell(busy, "promtool")
    busy.settled()
    judged = promtool(ask(busy.admin, "GET", "/metrics").body)
    assert (judged.returncode, judged.stderr, judged.stdout) == (0, b"", b"")


def test_promtool_reads_every_sample_of_open_metrics(busy: Site, tmp_path: Path) -> None:
    """Its reader of OpenMetrics wants times, which a scrape adds: so does this test."""
    text = ask(busy.admin, "GET", "/metrics", accept="application/openmetrics-text; version=1.0.0").body.decode()
    lines = [line if line.startswith("#") else f"{line} 1700000000" for line in text.splitlines()]
    samples = sum(not line.startswith("#") for line in lines)
    file = tmp_path / "metrics"

    def read() -> subprocess.CompletedProcess[str]:
        words = ("promtool", "tsdb", "create-blocks-from", "openmetrics", str(file), str(tmp_path / "blocks"))
        return subprocess.run(words, capture_output=True, text=True, timeout=30, check=False)

    file.write_text("\n".join(lines) + "\n")
    done = read()
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[1].split()[-4] == str(samples)  # NUM SAMPLES, of NUM CHUNKS, NUM SERIES, SIZE
    file.write_text("\n".join(lines[:-1]) + "\n")
    assert "EOF" in read().stderr  # so it would have said something


@pytest.mark.real
def test_a_real_prometheus_stores_what_was_counted(busy: Site, tmp_path: Path) -> None:
    """It asks for OpenMetrics, finds nothing wrong, and answers with the sums that were made by hand."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    (tmp_path / "prometheus.yml").write_text(
        "global: {scrape_interval: 1s}\nscrape_configs:\n- job_name: headwater\n"
        f"  static_configs: [{{targets: ['127.0.0.1:{busy.admin}']}}]\n"
    )
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [
                "prometheus", f"--config.file={tmp_path / 'prometheus.yml'}", f"--storage.tsdb.path={tmp_path / 'db'}",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            stdout=log, stderr=log,
        )

    def asked(query: str) -> float | None:
        with contextlib.suppress(OSError, ValueError):  # it says that it is starting in words, not in JSON
            found = ask(port, "GET", f"/api/v1/query?query={quote(query)}").json()["data"]["result"]
            return float(found[0]["value"][1]) if found else None
        return None

    try:
        eventually(lambda: asked("up") == 1, within=30)
        calls = 'headwater_calls_total{contract="tired.critical/1"}'
        assert asked(f"sum({calls})") == FAST + SLOW + FAILED
        assert asked('sum(headwater_call_seconds_count{contract="tired.critical/1"})') == FAST + SLOW + FAILED
        slowest = asked('histogram_quantile(1, sum by (le) (headwater_call_seconds_bucket{contract="tired.critical/1"}))')
        assert slowest is not None
        assert slowest >= 0.08
        assert asked("count(headwater_process_resident_memory_bytes)") == 2
    finally:
        process.kill()
        process.wait()


# --- events and commits ---------------------------------------------------------------------------


def test_attempts_are_counted_exactly(busy: Site) -> None:
    """One event fails once, one twice, one until it is given up: 1 + 2 + 3 failures, of these 1 + 2 + 2 tried again."""
    names = ("delivered", "failures", "retries", "deaths")
    metrics = [f"headwater_event_{name}_total" for name in ("deliveries", "failures", "retries", "deaths")]
    busy.settled()
    before = [busy.summed(metric, **EVENT) for metric in metrics]
    for name, fails in (("well", 0), ("once", 1), ("twice", 2), ("ever", 3)):
        tell(busy, name, fails=fails)
    eventually(lambda: busy.summed("headwater_dead_letters", subscription="listener.hear") == 1)
    eventually(lambda: busy.summed("headwater_events_retrying", subscription="listener.hear") == 0)
    busy.settled()
    after = [busy.summed(metric, **EVENT) for metric in metrics]
    counted = {name: b - a for name, a, b in zip(names, before, after, strict=True)}
    assert counted == {"delivered": 3, "failures": 6, "retries": 5, "deaths": 1}


def test_lag_is_what_waits_and_how_long(busy: Site, tmp_path: Path) -> None:
    """A subscriber that waits for a gate lags by all that came meanwhile, and by its age."""
    gate = tmp_path / "gate"
    busy.settled()
    for number in range(7):
        tell(busy, f"held-{number}", gate=str(gate))
    eventually(lambda: busy.summed("headwater_event_lag", subscription="listener.hear") == 7)
    first = busy.summed("headwater_event_lag_seconds", subscription="listener.hear")
    eventually(lambda: busy.summed("headwater_event_lag_seconds", subscription="listener.hear") > first > 0)
    backlog = ask(busy.admin, "GET", "/snapshot").json()["backlogs"]
    assert next(b["owner"] for b in backlog if b["subscription"] == "listener.hear")
    gate.touch()
    busy.settled()
    assert busy.summed("headwater_event_lag_seconds", subscription="listener.hear") == 0


def test_group_commits_are_counted_by_size(busy: Site) -> None:
    """As many units of work as commands, in as many commits as the histogram holds."""
    units, commits = (busy.summed(f"headwater_group_commit_size_{x}", module="tired") for x in ("sum", "count"))
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda number: tell(busy, f"many-{number}"), range(160)))
    now = busy.summed("headwater_group_commit_size_count", module="tired")
    assert busy.summed("headwater_group_commit_size_sum", module="tired") - units == 160
    assert 0 < now - commits <= 160
    assert busy.summed("headwater_group_commit_size_bucket", module="tired", le="+Inf") == now
    assert busy.summed("headwater_group_commit_seconds_count", module="tired") == now
    assert busy.summed("headwater_group_commit_failures_total", module="tired") == 0
    busy.settled()


# --- profile --------------------------------------------------------------------------------------


@pytest.mark.parametrize("slot", [0, 1])
def test_a_profile_finds_the_function_that_uses_the_processor(busy: Site, slot: int) -> None:
    """Of the worker that was asked for; it is on top of most stacks of that worker's loop."""
    over = threading.Event()

    def spin() -> None:
        while not over.is_set():
            ask(busy.public, "GET", "/v1/spin?ms=50")

    clients = [threading.Thread(target=spin) for _ in range(4)]  # whichever worker their connections come to
    for client in clients:
        client.start()
    try:
        answer = ask(busy.admin, "GET", f"/profile?seconds=2&hz=100&slot={slot}")
        drawn = ask(busy.admin, "GET", f"/profile?seconds=1&hz=100&slot={slot}&format=speedscope").json()
    finally:
        over.set()
        for client in clients:
            client.join()
    assert answer.status == 200
    stacks = Counter({line.rpartition(b" ")[0]: int(line.rpartition(b" ")[2]) for line in answer.body.splitlines()})
    busy_ones = {stack: count for stack, count in stacks.items() if b"turn_in_circles" in stack.rpartition(b";")[2]}
    main = sum(count for stack, count in stacks.items() if stack.startswith(b"MainThread"))
    assert sum(busy_ones.values()) > main / 4, stacks.most_common(5)
    frames = [frame["name"] for frame in drawn["shared"]["frames"]]
    assert any("turn_in_circles" in name for name in frames)
    assert drawn["name"] == f"tired worker {slot}"
    for profile in drawn["profiles"]:
        assert profile["endValue"] == pytest.approx(sum(profile["weights"]))
        assert all(0 <= frame < len(frames) for sample in profile["samples"] for frame in sample)


def test_a_look_whose_asker_has_gone_ends(busy: Site) -> None:
    """The next one need not wait out the first one's minute."""
    with socket.create_connection(("127.0.0.1", busy.admin)) as asker:
        asker.sendall(b"GET /profile?seconds=60 HTTP/1.1\r\nhost: localhost\r\n\r\n")
        eventually(lambda: ask(busy.admin, "GET", "/profile?seconds=0.1").status == 409)
    eventually(lambda: ask(busy.admin, "GET", "/profile?seconds=0.1").status == 200)


# --- workers that are not well --------------------------------------------------------------------


def test_a_worker_that_was_killed_is_named_and_comes_again(tmp_path: Path) -> None:
    """Its counts are gone with it; the others' are not."""
    with serving(tmp_path, "--workers", "2", "--admin-port", "0", **TIRED) as site:
        before = {p["slot"]: p["pid"] for p in eventually(lambda: full(site))}
        os.kill(before[1], signal.SIGKILL)
        missing = eventually(lambda: ask(site.admin, "GET", "/snapshot").json()["missing"])
        assert [m["slot"] for m in missing] == [1]
        assert missing[0]["reason"]
        after = {p["slot"]: p["pid"] for p in eventually(lambda: full(site))}
        assert after[0] == before[0]
        assert after[1] != before[1]


@pytest.mark.real
def test_a_worker_that_hangs_holds_up_nobody_for_long(busy: Site) -> None:
    """Told of as missing after a second, in figures, on the dashboard and to whoever wants its profile."""
    pid = next(p["pid"] for p in eventually(lambda: full(busy)) if p["slot"] == 1)
    os.kill(pid, signal.SIGSTOP)
    try:
        begun = time.monotonic()
        assert busy.metrics()["headwater_workers_missing"] == 1
        assert b"worker 1 does not tell of itself" in ask(busy.admin, "GET", "/dashboard").body
        assert ask(busy.admin, "GET", "/livez").status == 200
        assert time.monotonic() - begun >= 1.0  # it was waited for, and answered within what `ask` waits
        silent = ask(busy.admin, "GET", "/profile?seconds=0.1&slot=1")
        assert (silent.status, silent.json()["code"]) == (502, "worker-silent")
    finally:
        os.kill(pid, signal.SIGCONT)
    eventually(lambda: full(busy))


def test_a_disk_that_is_almost_full_is_told_of(tmp_path: Path) -> None:
    """Degraded, not unready: reads still work, and the neighbours are no better."""
    needs_root("mount", "umount")
    with mounted(tmp_path / "small", "-t", "tmpfs", "-o", "size=48m", "tmpfs") as folder:
        with serving(folder, "--admin-port", "0", **TIRED) as site:
            answer = ask(site.admin, "GET", "/readyz")
            assert (answer.status, answer.json()["status"]) == (200, "degraded")
            disk = next(check for check in answer.json()["checks"] if check["name"] == "disk")
            assert "bytes are free" in disk["reason"]
            assert site.summed("headwater_process_status", status="degraded") == 1
            tell(site, "still works")
            assert site.app.stop() == 0

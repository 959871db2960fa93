"""The admin listener of the shop, in real processes: figures that add up, health, profiles, dead letters, who may ask."""

from __future__ import annotations

import base64
import os
import re
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.admin_site import Answer, Site, another, ask, eventually, full, promtool, serving
from tests.integration.shop_server import EXAMPLE, HEADWATER

BOARD = another("tests.browser.board:app")
PATHS = ("/metrics", "/dead", "/profile", "/dashboard", "/docs", "/openapi.json", "/snapshot", "/snapshot.msgpack", "/slo")


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Two workers, some traffic that was counted by hand, two dead letters."""
    folder = tmp_path_factory.mktemp("two")
    said = "[traces]\nratio = 1.0\nslow_statement = 0.000001\n"
    with serving(folder, "--workers", "2", "--admin-port", "0", topology=said, **BOARD) as site:
        site.stock()
        for number in range(20):
            assert site.order(f"o-{number}", "gossip" if number < 2 else "c") == 201
        assert site.order("o-3") == 201  # again: the kept answer
        assert site.order("none", product="no-such-thing") in (404, 409, 422)
        for _ in range(10):
            assert ask(site.public, "GET", "/v1/products").status == 200
        assert ask(site.public, "GET", "/v1/products?limit=none").status == 422
        site.settled()
        yield site


# --- figures --------------------------------------------------------------------------------------


def test_promtool_has_nothing_to_say(two: Site) -> None:
    """Names, units, help and types are as Prometheus wants them."""
    answer = ask(two.admin, "GET", "/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    judged = promtool(answer.body)
    assert (judged.returncode, judged.stderr, judged.stdout) == (0, b"", b"")
    broken = promtool(answer.body.replace(b"# TYPE headwater_calls_total counter\n", b"# TYPE headwater_calls_total histogram\n"))
    assert broken.returncode != 0  # so it would have said something


def test_open_metrics_for_who_asks_for_them(two: Site) -> None:
    answer = ask(two.admin, "GET", "/metrics", accept="application/openmetrics-text; version=1.0.0")
    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    assert answer.body.endswith(b"# EOF\n")
    assert b"# UNIT headwater_call_seconds seconds\n" in answer.body


def test_calls_are_counted_exactly_over_all_workers(two: Site) -> None:
    """What was asked of two processes stands there once, and each histogram holds as many samples."""
    assert two.summed("headwater_calls_total", contract="orders.place/1", outcome="value") == 21
    assert two.summed("headwater_calls_total", contract="orders.place/1", outcome="failure") == 1
    assert two.summed("headwater_calls_total", contract="catalog.search/1", outcome="value") >= 10
    assert two.summed("headwater_call_seconds_count", contract="orders.place/1") == 22
    assert two.summed("headwater_http_responses_total", route="/v1/orders", method="POST", status="2xx") == 21
    assert two.summed("headwater_http_responses_total", route="/v1/products", method="GET", status="2xx") == 10
    assert two.summed("headwater_http_responses_total", route="/v1/products", method="GET", status="4xx") == 1


def test_events_are_counted_to_their_end(two: Site) -> None:
    """Twenty orders were told of; the two that a module chokes on are dead letters, and nothing waits."""
    assert two.summed("headwater_dead_letters", subscription="gossip.repeat") == 2
    assert two.summed("headwater_event_deaths_total", subscription="gossip.repeat") == 2
    assert two.summed("headwater_event_failures_total", subscription="gossip.repeat") == 2
    assert two.summed("headwater_event_deliveries_total", subscription="gossip.repeat") == 18
    assert two.summed("headwater_event_lag") == 0
    assert two.summed("headwater_events_retrying") == 0


def test_stores_processes_and_the_loop_are_there(two: Site) -> None:
    figures = two.metrics()
    assert two.summed("headwater_group_commit_size_count", module="orders") >= 1
    units = two.summed("headwater_group_commit_size_sum", module="orders")
    assert units >= 20
    for name in (
        "process_resident_memory_bytes", "process_open_fds", "process_cpu_seconds_total", "loop_lag_seconds_count",
        "http_connections", "requests_in_flight", "process_start_time_seconds",
    ):
        assert len([told for told in figures if told.startswith(f"headwater_{name}{{slot=")]) == 2, name
    assert two.summed("headwater_process_status", status="ready") + two.summed(
        "headwater_process_status", status="degraded") == 2
    assert figures["headwater_workers_missing"] == 0


def test_the_snapshot_is_the_same_as_json(two: Site) -> None:
    told = ask(two.admin, "GET", "/snapshot").json()
    assert told["app"] == "shop"
    assert sorted(p["slot"] for p in told["processes"]) == [0, 1]
    assert len({p["pid"] for p in told["processes"]}) == 2
    placed = next(c for c in told["contracts"] if c["name"] == "orders.place/1")
    assert placed["outcomes"]["value"] == 21
    assert isinstance(ask(two.admin, "GET", "/slo").json(), list)


def test_traces_of_every_worker_are_on_the_dashboard(two: Site) -> None:
    """Whichever worker answered, its trace can be looked at, under the id that the caller brought."""
    ids = [f"{number:032x}" for number in range(1, 21)]
    for trace in ids:
        ask(two.public, "GET", "/v1/products", traceparent=f"00-{trace}-00000000000000aa-01")
    counts = [
        value for name, value in two.metrics().items() if name.startswith("headwater_http_connections{slot=")
    ]
    assert len(counts) == 2
    workers: Counter[bytes] = Counter()
    for trace in ids:
        page = ask(two.admin, "GET", f"/dashboard/trace?id={trace}")
        assert page.status == 200, trace
        assert b"catalog.search/1" in page.body
        workers.update(re.findall(rb"\bworker ([01])\b", page.body))
    assert sum(workers.values()) == len(ids)  # each says where it ran
    assert len(workers) == 2
    assert b"select" in ask(two.admin, "GET", "/dashboard").body  # slow statements


# --- health ---------------------------------------------------------------------------------------


def test_health_names_what_was_looked_at(two: Site) -> None:
    assert ask(two.admin, "GET", "/livez").json() == {"status": "alive"}
    answer = ask(two.admin, "GET", "/readyz")
    assert answer.status == 200
    assert {"node", "store orders", "disk", "loop", "load"} <= {check["name"] for check in answer.json()["checks"]}


def test_a_worker_that_hangs_is_named_and_the_others_are_told_of(two: Site) -> None:
    """Nobody waits for it longer than a second."""
    pids = {p["slot"]: p["pid"] for p in ask(two.admin, "GET", "/snapshot").json()["processes"]}
    os.kill(pids[1], signal.SIGSTOP)
    try:
        told = ask(two.admin, "GET", "/snapshot").json()
        assert [m["slot"] for m in told["missing"]] == [1]
        assert "no answer" in told["missing"][0]["reason"]
        assert [p["slot"] for p in told["processes"]] == [0]
        assert two.metrics()["headwater_workers_missing"] == 1
    finally:
        os.kill(pids[1], signal.SIGCONT)
    eventually(lambda: not ask(two.admin, "GET", "/snapshot").json()["missing"])


# --- profile --------------------------------------------------------------------------------------


def test_a_profile_shows_where_time_goes(two: Site) -> None:
    """Of any worker, in both formats, one at a time."""
    answers: list[Answer] = []
    first = threading.Thread(target=lambda: answers.append(ask(two.admin, "GET", "/profile?seconds=1.5&hz=200")))
    first.start()
    time.sleep(0.5)
    assert ask(two.admin, "GET", "/profile?seconds=1").json()["code"] == "profile-running"
    first.join()
    assert answers[0].status == 200
    stacks = Counter({line.rpartition(b" ")[0]: int(line.rpartition(b" ")[2]) for line in answers[0].body.splitlines()})
    assert sum(stacks.values()) >= 100
    assert any(b"run_loop" in stack or b"serve" in stack for stack in stacks)
    other = ask(two.admin, "GET", "/profile?seconds=0.3&format=speedscope&slot=1").json()
    assert other["$schema"] == "https://www.speedscope.app/file-format-schema.json"
    assert other["name"] == "shop worker 1"
    assert all(len(p["samples"]) == len(p["weights"]) for p in other["profiles"])


@pytest.mark.parametrize("query", ["seconds=9000", "seconds=nan", "seconds=-1", "hz=0", "format=svg", "colour=red", "slot=x"])
def test_a_profile_has_limits(two: Site, query: str) -> None:
    answer = ask(two.admin, "GET", f"/profile?{query}")
    assert (answer.status, answer.json()["code"]) == (400, "bad-parameter")


def test_a_worker_that_is_not_there_has_no_profile(two: Site) -> None:
    assert ask(two.admin, "GET", "/profile?slot=7").status == 404


# --- dead letters ---------------------------------------------------------------------------------


def test_dead_letters_are_listed_shown_replayed_and_discarded(two: Site) -> None:
    """A change needs the mark that no form can send."""
    dead = ask(two.admin, "GET", "/dead").json()
    assert [letter["subscription"] for letter in dead] == ["gossip.repeat"] * 2
    assert "message" not in dead[0]
    path = f"/dead/gossip.repeat/{dead[0]['id']}"
    assert ask(two.admin, "GET", path).json()["message"]["customer_id"] == "gossip"
    assert ask(two.admin, "GET", f"{path}/replay").status == 405
    assert ask(two.admin, "POST", f"{path}/replay").status == 403
    assert ask(two.admin, "POST", f"{path}/replay", headwater_admin="1", origin="http://evil.example").status == 403
    assert ask(two.admin, "POST", f"{path}/replay", headwater_admin="1", sec_fetch_site="cross-site").status == 403
    assert ask(two.admin, "POST", f"{path}/replay", headwater_admin="1").json()["done"] == "replay"
    eventually(lambda: two.summed("headwater_event_deaths_total", subscription="gossip.repeat") == 3)
    eventually(lambda: len(ask(two.admin, "GET", "/dead?subscription=gossip.repeat").json()) == 2)
    for letter in ask(two.admin, "GET", "/dead").json():
        done = ask(two.admin, "POST", f"/dead/gossip.repeat/{letter['id']}/discard", headwater_admin="1")
        assert done.status == 200
    assert ask(two.admin, "GET", "/dead").json() == []
    assert ask(two.admin, "POST", f"{path}/replay", headwater_admin="1").status == 404
    assert ask(two.admin, "GET", "/dead/nobody.there/1").status == 404


# --- who may ask ----------------------------------------------------------------------------------


@pytest.mark.parametrize("path", PATHS)
def test_nothing_of_it_is_at_the_public_port(two: Site, path: str) -> None:
    """S28."""
    for method in ("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"):
        assert ask(two.public, method, path).status == 404, method


def test_a_name_that_leads_here_from_elsewhere_is_not_answered(two: Site) -> None:
    """DNS rebinding: a page of evil.example whose name now means 127.0.0.1."""
    assert ask(two.admin, "GET", "/snapshot", host=f"evil.example:{two.admin}").status == 421
    assert ask(two.admin, "GET", "/snapshot", host=f"localhost:{two.admin}").status == 200


def test_pages_of_other_sites_learn_nothing(two: Site) -> None:
    answer = ask(two.admin, "GET", "/snapshot", origin="http://evil.example", sec_fetch_site="cross-site")
    assert answer.status == 403
    assert "access-control-allow-origin" not in answer.headers
    assert ask(two.admin, "GET", "/dashboard", sec_fetch_site="cross-site", sec_fetch_mode="navigate").status == 200


def test_browsers_are_led_to_the_dashboard_and_programs_to_a_list(two: Site) -> None:
    assert ask(two.admin, "GET", "/", accept="text/html,*/*").headers["location"] == "/dashboard"
    assert "/metrics" in ask(two.admin, "GET", "/").json()["paths"]
    page = ask(two.admin, "GET", "/dashboard")
    assert page.headers["content-security-policy"].count("default-src") == 1
    assert b"worker 1" in page.body
    assert b'href="/api/v1"' in page.body
    assert ask(two.admin, "GET", "/api/v1").status == 200


def test_a_token_where_there_is_one(tmp_path: Path) -> None:
    """Bearer or Basic; anything else is 401 and learns nothing."""
    said = '[admin]\nport = 0\ntoken = "env:ADMIN_TOKEN"\n'
    with serving(tmp_path, topology=said, ADMIN_TOKEN="open-sesame-open-sesame") as site:
        right = base64.b64encode(b"x:open-sesame-open-sesame").decode()
        for value, status in (
            ("Bearer open-sesame-open-sesame", 200), (f"Basic {right}", 200), ("Bearer wrong", 401), ("Basic ???", 401), ("", 401),
        ):
            headers = {"authorization": value} if value else {}
            assert ask(site.admin, "GET", "/livez", **headers).status == status, value
        assert "open-sesame" not in site.app.log.read_text()


@pytest.mark.parametrize(
    ("said", "told"), [
        ('[admin]\nhost = "0.0.0.0"\nport = 0\n', "set admin.token"),
        ('[admin]\nport = 0\ntoken = "env:ADMIN_TOKEN"\n', "shorter than 16"),
        ('[admin]\nport = 0\ntoken = "hunter2"\n', "admin.token"),
    ],
)
def test_it_does_not_start_where_others_could_look(tmp_path: Path, said: str, told: str) -> None:
    (tmp_path / "t.toml").write_text(said)
    done = subprocess.run(
        [*HEADWATER, "run", "--port", "0", "--data", str(tmp_path / "data"), "--topology", str(tmp_path / "t.toml")],
        cwd=EXAMPLE, env={**os.environ, "ADMIN_TOKEN": "short"}, capture_output=True, text=True, timeout=30, check=False,
    )
    assert done.returncode == 2
    assert told in done.stderr
    assert "hunter2" not in done.stderr


# --- while workers come and go --------------------------------------------------------------------


def test_it_answers_while_workers_are_replaced(tmp_path: Path) -> None:
    """The listener stays, and afterwards there are two new workers to tell of."""
    with serving(tmp_path, "--workers", "2", "--admin-port", "0") as site:
        before = {p["pid"] for p in eventually(lambda: full(site))}
        assert site.app._process is not None
        site.app._process.send_signal(signal.SIGHUP)
        end = time.monotonic() + 30
        while "all workers are new" not in site.app.log.read_text():
            assert ask(site.admin, "GET", "/livez").status == 200
            told = ask(site.admin, "GET", "/snapshot").json()
            slots = [p["slot"] for p in told["processes"]] + [m["slot"] for m in told["missing"]]
            assert sorted(slots) == [0, 1]  # told of once each, or missed
            assert site.metrics()["headwater_workers_missing"] <= 1
            assert time.monotonic() < end
        after = {p["pid"] for p in eventually(lambda: full(site))}
        assert not before & after
        assert site.app.stop() == 0
    assert not list((tmp_path / "data" / "run").glob("admin-*"))


def test_a_process_that_drains_says_so_and_still_answers(tmp_path: Path) -> None:
    """A balancer looks at /readyz; until it has, calls are served."""
    with serving(tmp_path, "--admin-port", "0", topology="[http]\nnotice = 2.0\n") as site:
        assert ask(site.admin, "GET", "/readyz").status == 200
        assert site.app._process is not None
        site.app._process.terminate()
        answer = eventually(lambda: (a := ask(site.admin, "GET", "/readyz")).status == 503 and a)
        assert any(check["reason"] == "draining" for check in answer.json()["checks"])
        assert ask(site.public, "GET", "/readyz").status == 503
        assert ask(site.public, "GET", "/v1/products").status == 200
        assert site.app._process.wait(20) == 0


def test_a_data_folder_may_have_a_long_path(tmp_path: Path) -> None:
    """Longer than the path of a socket may be: workers still find each other."""
    deep = tmp_path / ("d" * 120)
    deep.mkdir()
    with serving(deep, "--workers", "2", "--admin-port", "0") as site:
        assert len(eventually(lambda: full(site))) == 2
        assert site.app.stop() == 0

"""Real processes that have too much to do, or fail on purpose: what is refused, and what the admin listener says of it."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.integration.admin_site import Site, another, ask, eventually, serving

TIRED = another("tests.integration.tired:app")
LATE = "[process]\nlate = 0.05\n"


@contextmanager
def burst(site: Site, ms: int, clients: int = 2) -> Iterator[list[int]]:
    """Keep the event loop blocked, call after call, for as long as the block lasts; yield the calls' statuses."""
    over = threading.Event()
    statuses: list[int] = []

    def client() -> None:
        while not over.is_set():
            statuses.append(ask(site.public, "GET", f"/v1/critical?ms={ms}").status)

    threads = [threading.Thread(target=client) for _ in range(clients)]
    for thread in threads:
        thread.start()
    try:
        yield statuses
    finally:
        over.set()
        for thread in threads:
            thread.join()


def refused_because_late(site: Site, path: str) -> Any:
    answer = ask(site.public, "GET", path)
    return answer if answer.status == 503 else None


def told_as_refusing(site: Site) -> Any:
    told = ask(site.admin, "GET", "/snapshot").json()["processes"][0]
    return told if told["refused"][-2:] == ["normal", "low"] else None


@pytest.mark.real
@pytest.mark.parametrize("arguments", [(), ("--admin-port", "0")], ids=["alone", "with an admin listener"])
def test_a_late_loop_refuses_what_can_wait_and_recovers(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    """What is critical is served throughout; afterwards everything is."""
    with serving(tmp_path, *arguments, topology=LATE, **TIRED) as site:
        assert [ask(site.public, "GET", f"/v1/{name}").status for name in ("low", "normal", "critical")] == [200] * 3
        with burst(site, 300) as statuses:
            answer = eventually(lambda: refused_because_late(site, "/v1/low"))
            assert answer.json()["code"] == "overloaded"
            assert math.ceil(float(answer.headers["retry-after"])) >= 1
            eventually(lambda: refused_because_late(site, "/v1/normal"))
            if arguments:
                told = eventually(lambda: told_as_refusing(site))
                assert told["status"] == "degraded"
                assert any("the event loop is late" in reason for reason in told["reasons"])
                ready = eventually(lambda: (r := ask(site.admin, "GET", "/readyz")).json()["status"] == "degraded" and r)
                assert ready.status == 200
                eventually(lambda: site.summed("headwater_priority_refused", priority="low") == 1)
                assert site.summed("headwater_priority_refused", priority="critical") == 0
        assert set(statuses) == {200}
        for name in ("normal", "low"):
            eventually(lambda name=name: ask(site.public, "GET", f"/v1/{name}").status == 200)
        if arguments:
            eventually(lambda: ask(site.admin, "GET", "/snapshot").json()["processes"][0]["refused"] == [])
            assert site.summed("headwater_priority_refused") == 0
        assert "calls that are refused for it, by priority: none" in site.app.log.read_text()


def test_one_slow_handler_is_told_of_and_nothing_is_refused(tmp_path: Path) -> None:
    """Late for more than a second, once: that degrades a process for a minute, and costs nobody a call."""
    with serving(tmp_path, "--admin-port", "0", topology=LATE, **TIRED) as site:
        assert ask(site.public, "GET", "/v1/critical?ms=1600").status == 200
        assert ask(site.public, "GET", "/v1/low").status == 200
        ready = ask(site.admin, "GET", "/readyz")
        assert (ready.status, ready.json()["status"]) == (200, "degraded")
        loop = next(check for check in ready.json()["checks"] if check["name"] == "loop")
        assert "late within the last minute" in loop["reason"]
        assert site.summed("headwater_loop_lag_most_seconds") >= 1.0
        assert site.summed("headwater_priority_refused") == 0
        assert "calls that are refused" not in site.app.log.read_text()


def test_it_answers_while_handlers_hold_every_thread(tmp_path: Path) -> None:
    """It has threads of its own, and a profile shows who holds the others."""
    with serving(tmp_path, "--admin-port", "0", **TIRED) as site, ThreadPoolExecutor(10) as pool:
        calls = [pool.submit(ask, site.public, "GET", "/v1/sleep?ms=3000") for _ in range(10)]
        eventually(lambda: site.summed("headwater_requests_in_flight") == 10)
        assert ask(site.admin, "GET", "/readyz").status == 200
        assert ask(site.admin, "GET", "/dashboard").status == 200
        profile = ask(site.admin, "GET", "/profile?seconds=0.3")
        assert profile.status == 200
        assert b";sleep (" in profile.body
        assert not any(call.done() for call in calls)  # all this while they were held
        assert {call.result().status for call in calls} == {200}

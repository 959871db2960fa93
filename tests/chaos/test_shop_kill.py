"""The shop's process is killed in the middle of real work, again and again."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.integration.shop_server import finish, need_retail, shop_server


@pytest.mark.real
@pytest.mark.parametrize(("days", "seconds", "times"), [("2010-12-03", 0.4, 5), ("15", 2.0, 10)])
def test_real_days_with_kill_9(tmp_path: Path, days: str, seconds: float, times: int) -> None:
    """Killed and restarted again and again under load, the shop neither loses nor doubles a cent or a unit."""
    need_retail()
    with shop_server(tmp_path) as server:
        replay = server.replay("--days", days)
        kills = 0
        while kills < times and replay.poll() is None:
            time.sleep(seconds)
            server.kill()
            kills += 1
            server.start()
        outcome = finish(replay)
        assert outcome["retries"] > 0
        assert kills >= 3, "the replay was over before the shop was hurt"


@pytest.mark.real
def test_a_replay_that_is_killed_itself(tmp_path: Path) -> None:
    """A replay that died half way is begun again, beside what another day left behind, and comes out exact."""
    need_retail()
    with shop_server(tmp_path) as server:
        other = finish(server.replay("--days", "2010-12-15"))
        first = server.replay("--days", "2010-12-05")
        while first.poll() is None and server.ask("GET", "/v1/reports/revenue")[1]["orders"] <= other["expected"]["orders"]:
            time.sleep(0.05)
        first.kill()
        first.communicate()
        outcome = finish(server.replay("--days", "2010-12-05"))
        assert outcome["before"]["orders"] > other["expected"]["orders"], "the first one had not begun"

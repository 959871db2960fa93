"""The loop's heart, on a clock that is moved by hand: how late it was, and what is refused for it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from headwater import Module
from headwater.model.contract import PRIORITIES
from headwater.ops.health import health_of
from headwater.runtime.heart import BEAT_SECONDS, LAG_EDGES, Heart
from headwater.runtime.node import Node
from headwater.runtime.shedding import Shedding
from headwater.testing.clock import VirtualClock
from tests.flow.house import running

LATE = 0.25


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock(datetime(2026, 1, 1, tzinfo=UTC))


async def blocked(clock: VirtualClock, seconds: float, times: int = 1) -> None:
    """Let a handler run that keeps the loop for so long beyond the next beat."""
    for _ in range(times):
        clock.stall(BEAT_SECONDS + seconds)
        await clock.advance(0)


# --- the heart ------------------------------------------------------------------------------------


async def test_every_beat_is_counted_by_how_late_it_was(clock: VirtualClock) -> None:
    """Each in the bucket whose upper edge it does not pass; the sum is exact."""
    felt: list[float] = []
    heart = Heart(clock, felt.append)
    heart.start()
    await clock.advance(4 * BEAT_SECONDS)
    await blocked(clock, 0.3)
    await blocked(clock, 60.0)
    assert felt == pytest.approx([0, 0, 0, 0, 0.3, 60.0])
    assert heart.counts[0] == 4
    assert heart.counts[LAG_EDGES.index(0.5)] == 1
    assert heart.counts[-1] == 1
    assert sum(heart.counts) == 6
    assert heart.seconds == pytest.approx(60.3)
    assert heart.last == pytest.approx(60.0)


async def test_the_most_is_that_of_the_last_minute(clock: VirtualClock) -> None:
    heart = Heart(clock)
    assert heart.most == 0.0
    heart.start()
    await blocked(clock, 2.0)
    await clock.advance(59)
    assert heart.most == pytest.approx(2.0)
    await clock.advance(2)
    assert heart.most == 0.0


async def test_a_beat_that_is_due_counts_before_it_comes(clock: VirtualClock) -> None:
    """Whoever looks from within what blocks the loop sees how long that has been so."""
    heart = Heart(clock)
    heart.start()
    clock.stall(BEAT_SECONDS + 5.0)
    assert heart.most == pytest.approx(5.0)


async def test_a_stopped_heart_is_not_late(clock: VirtualClock) -> None:
    heart = Heart(clock)
    heart.start()
    await clock.advance(1)
    heart.stop()
    assert clock.next_due is None
    clock.stall(100)
    assert heart.most == 0.0
    assert sum(heart.counts) == 4


# --- what is refused ------------------------------------------------------------------------------


@pytest.fixture
async def node(tmp_path: Path, clock: VirtualClock) -> AsyncIterator[Node]:
    async with running(tmp_path, Module("desk"), clock=clock) as started:
        yield started


@pytest.fixture
def shedding(node: Node) -> Shedding:
    made = Shedding(node, late=LATE)
    made.start()
    return made


def refused(node: Node) -> list[str]:
    return list(PRIORITIES[node.lowest + 1 :])


async def test_one_slow_handler_is_no_reason(node: Node, shedding: Shedding, clock: VirtualClock) -> None:
    """However slow, and even again and again, if the loop is in time in between."""
    for _ in range(10):
        await blocked(clock, 30.0)
        await clock.advance(BEAT_SECONDS)
    assert refused(node) == []


async def test_lateness_below_the_bound_is_no_reason(node: Node, shedding: Shedding, clock: VirtualClock) -> None:
    await blocked(clock, LATE - 0.01, times=20)
    assert refused(node) == []


async def test_priorities_are_refused_one_after_another_but_never_the_first(
    node: Node, shedding: Shedding, clock: VirtualClock
) -> None:
    """Two late beats for each; what is critical is served whatever happens."""
    seen = []
    for _ in range(10):
        await blocked(clock, LATE + 0.05)
        seen.append(len(refused(node)))
    assert seen == [0, 1, 1, 2, 2, 3, 3, 3, 3, 3]
    assert refused(node) == ["high", "normal", "low"]


@pytest.mark.parametrize("before", [0, 1, 2, 3])
async def test_only_beats_in_a_row_count(node: Node, shedding: Shedding, clock: VirtualClock, before: int) -> None:
    """Whatever went before them: two late ones refuse, two in time serve again, one of either changes nothing."""
    await clock.advance(BEAT_SECONDS * before)
    await blocked(clock, 1.0)
    assert refused(node) == []
    await blocked(clock, 1.0)
    assert refused(node) == ["low"]
    await blocked(clock, 1.0)
    await clock.advance(BEAT_SECONDS)
    assert refused(node) == ["low"]
    await clock.advance(BEAT_SECONDS)
    assert refused(node) == []


async def test_priorities_are_served_again_one_after_another(
    node: Node, shedding: Shedding, clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    await blocked(clock, 1.0, times=6)
    assert "1.00 s late" in caplog.messages[-1]
    caplog.clear()
    seen = []
    for _ in range(8):
        await clock.advance(BEAT_SECONDS)
        seen.append(len(refused(node)))
    assert seen == [3, 2, 2, 1, 1, 0, 0, 0]
    assert [said.rpartition(": ")[2] for said in caplog.messages] == ["normal, low", "low", "none"]
    assert all("in time again" in said for said in caplog.messages)


async def test_a_full_node_refuses_what_is_more(node: Node, shedding: Shedding, clock: VirtualClock) -> None:
    """Of the two reasons the stronger one holds, and neither takes the other away."""
    most = node.parts.in_flight_most
    for _ in range(int(most * 0.85)):
        node.enter()
    assert refused(node) == ["normal", "low"]
    await blocked(clock, 1.0, times=2)
    assert refused(node) == ["normal", "low"]
    await blocked(clock, 1.0, times=4)
    assert refused(node) == ["high", "normal", "low"]
    while node.in_flight:
        node.leave()
    assert refused(node) == ["high", "normal", "low"]
    await clock.advance(BEAT_SECONDS * 6)
    assert refused(node) == []


async def test_a_node_that_drains_serves_nobody_and_says_only_that(
    node: Node, shedding: Shedding, clock: VirtualClock
) -> None:
    node.retire()
    assert refused(node) == []
    node.pause()
    await blocked(clock, 1.0, times=2)
    assert refused(node) == list(PRIORITIES)
    await clock.advance(BEAT_SECONDS * 2)
    assert refused(node) == list(PRIORITIES)


async def test_who_stops_to_watch_refuses_nothing(node: Node, shedding: Shedding, clock: VirtualClock) -> None:
    await blocked(clock, 1.0, times=2)
    assert refused(node) == ["low"]
    shedding.stop()
    assert refused(node) == []


async def test_health_says_what_is_refused_and_why(node: Node, shedding: Shedding, clock: VirtualClock) -> None:
    await blocked(clock, 0.5, times=4)
    health = await health_of(node, served=True, disk_free=None, lag=0.0)
    assert health.status == "degraded"
    assert health.reasons == ("load: the event loop is late: refused are calls of priority normal, low",)

"""Objectives: counted exactly in every window, over several workers, and who is called when."""

from __future__ import annotations

import random
from datetime import UTC, datetime

import pytest

from headwater import Query, contract
from headwater.model.contract import contract_of
from headwater.ops.aims import STEP_SECONDS, WINDOWS, Aims, alert, budget_left, burn
from headwater.ops.merging import merge
from headwater.ops.snapshot import Objective, Snapshot, Window
from headwater.runtime.meter import MeterCell
from headwater.testing.clock import VirtualClock

FIVE_MINUTES, HALF_HOUR, HOUR, SIX_HOURS = WINDOWS


@contract("aims.both", v=1, slo_p99="100ms", availability=0.999)
class Both(Query[int]):
    pass


@contract("aims.timely", v=1, slo_p99="100ms")
class Timely(Query[int]):
    pass


@contract("aims.none", v=1)
class Without(Query[int]):
    pass


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock(datetime(2026, 1, 1, tzinfo=UTC))


def watched(clock: VirtualClock, *messages: type[Query[int]]) -> tuple[Aims, list[MeterCell]]:
    cells = [MeterCell(contract_of(message)) for message in messages]
    return Aims(lambda: cells, clock), cells


def by_kind(aims: Aims) -> dict[str, Objective]:
    return {one.kind: one for one in aims.read()}


def windows(one: Objective) -> dict[float, tuple[int, int]]:
    return {w.seconds: (w.total, w.good) for w in one.windows}


async def test_only_contracts_that_aim_at_something_are_told_of(clock: VirtualClock) -> None:
    aims, _ = watched(clock, Both, Timely, Without)
    told = [(one.contract, one.kind, one.target, one.threshold) for one in aims.read()]
    assert told == [
        ("aims.both/1", "availability", 0.999, None), ("aims.both/1", "latency", 0.99, 0.1),
        ("aims.timely/1", "latency", 0.99, 0.1),
    ]


async def test_a_refusal_is_good_and_an_answer_on_the_line_is_in_time(clock: VirtualClock) -> None:
    aims, (cell,) = watched(clock, Both)
    for outcome, seconds in (
        ("value", 0.05), ("failure", 0.1), ("value", 0.1000001), ("failure", 9.0), ("not_executed", 0.0), ("unknown", 0.2),
    ):
        cell.record(outcome, seconds)  # type: ignore[arg-type]
    found = by_kind(aims)
    assert (found["availability"].since.total, found["availability"].since.good) == (6, 4)
    assert (found["latency"].since.total, found["latency"].since.good) == (6, 2)


async def test_windows_hold_what_counting_one_by_one_gives(clock: VirtualClock) -> None:
    """Nine hours of calls in bursts and pauses; a window begins with the last step before it."""
    clock.stall(0.1)  # a beginning that no step divides
    aims, (cell,) = watched(clock, Both)
    aims.start()
    began, chance = clock.monotonic(), random.Random(11)
    calls: list[tuple[float, bool, bool]] = []
    for round_ in range(1_200):
        await clock.advance(chance.choice((0.7, 3.3, 11.0, 40.0, 90.0)))
        for _ in range(chance.randrange(5)):
            well, seconds = chance.random() < 0.9, chance.choice((0.01, 0.1, 0.11))
            cell.record("value" if well else "unknown", seconds)
            calls.append((clock.monotonic() - began, well, well and seconds <= 0.1))
        if round_ % 40:
            continue
        now, found = clock.monotonic() - began, by_kind(aims)
        for length in WINDOWS:
            start = int((now - length) / STEP_SECONDS) * STEP_SECONDS if now >= length else -1.0
            within = [call for call in calls if call[0] > start]
            assert windows(found["availability"])[length] == (len(within), sum(well for _, well, _ in within))
            assert windows(found["latency"])[length] == (len(within), sum(timely for _, _, timely in within))
        assert found["latency"].since.total == len(calls)
    assert clock.monotonic() > 9 * 3600


async def test_a_window_forgets_and_the_budget_does_not(clock: VirtualClock) -> None:
    aims, (cell,) = watched(clock, Both)
    aims.start()
    for number in range(100):
        cell.record("unknown" if number < 10 else "value", 0.01)
    before = by_kind(aims)["availability"]
    assert windows(before) == dict.fromkeys(WINDOWS, (100, 90))
    await clock.advance(FIVE_MINUTES + STEP_SECONDS)
    after = by_kind(aims)["availability"]
    assert windows(after) == {FIVE_MINUTES: (0, 0), HALF_HOUR: (100, 90), HOUR: (100, 90), SIX_HOURS: (100, 90)}
    await clock.advance(SIX_HOURS)
    assert windows(by_kind(aims)["availability"]) == dict.fromkeys(WINDOWS, (0, 0))
    assert budget_left(by_kind(aims)["availability"]) == pytest.approx(1 - 0.1 / 0.001)


async def test_a_loop_that_stood_still_for_hours_loses_no_count(clock: VirtualClock) -> None:
    """Steps that were missed are made up for, also more of them than there is room for."""
    aims, (cell,) = watched(clock, Both)
    aims.start()
    await clock.advance(60)
    cell.record("value", 0.01)
    clock.stall(2 * SIX_HOURS)
    await clock.advance(0)
    cell.record("unknown", 0.01)
    found = by_kind(aims)["availability"]
    assert windows(found) == dict.fromkeys(WINDOWS, (1, 0))
    assert found.since.total == 2


@pytest.mark.parametrize("began", [0.1, 2.3, 98.7, 1234.5678])
async def test_steps_come_one_by_one_whatever_the_clock_says(clock: VirtualClock, began: float) -> None:
    """A timer that rings when it is due does not ring for ever."""
    clock.stall(began)
    aims, _ = watched(clock, Both)
    aims.start()
    for _ in range(500):
        await clock.advance(STEP_SECONDS)
    assert clock.next_due is not None
    assert 0 <= clock.next_due <= STEP_SECONDS
    aims.stop()
    assert clock.next_due is None


async def test_workers_are_told_of_as_one(clock: VirtualClock) -> None:
    """Counts are added before anything is divided: the rate of all is not the mean of their rates."""
    one, (cell,) = watched(clock, Timely)
    two, (other,) = watched(clock, Timely)
    for number in range(1_000):
        cell.record("value", 1.0 if number < 5 else 0.01)
    for _ in range(5):
        other.record("value", 1.0)
    both = merge([Snapshot(app="a", at=float(n), objectives=aims.read()) for n, aims in enumerate((one, two))])
    (aim,) = both.objectives
    assert (aim.since.total, aim.since.good) == (1_005, 995)
    assert burn(aim.windows[0], aim.target) == pytest.approx(10 / 1_005 / 0.01)
    assert budget_left(aim) == pytest.approx(1 - 10 / 1_005 / 0.01)


# --- who is called --------------------------------------------------------------------------------


def burning(**rates: float) -> Objective:
    """Return an objective of 99 % whose windows burn at these rates."""
    lengths = {"m5": FIVE_MINUTES, "m30": HALF_HOUR, "h1": HOUR, "h6": SIX_HOURS}
    return Objective(
        contract="a.b/1", kind="availability", target=0.99, threshold=None, since=Window(seconds=1.0),
        windows=tuple(
            Window(seconds=lengths[name], total=100_000, good=round(100_000 * (1 - rate * 0.01)))
            for name, rate in rates.items()
        ),
    )


def test_burn_rates() -> None:
    """1 uses exactly the whole budget; nothing asked burns nothing."""
    assert burn(Window(seconds=1, total=1_000, good=990), 0.99) == pytest.approx(1.0)
    assert burn(Window(seconds=1, total=1_000, good=0), 0.99) == pytest.approx(100.0)
    assert burn(Window(seconds=1), 0.99) == 0.0


@pytest.mark.parametrize(
    ("rates", "said"), [
        ({"m5": 20, "m30": 20, "h1": 20, "h6": 1}, "fast"),
        ({"m5": 1, "m30": 20, "h1": 20, "h6": 1}, ""),  # it is over
        ({"m5": 90, "m30": 20, "h1": 10, "h6": 1}, ""),  # it does not matter yet
        ({"m5": 0, "m30": 7, "h1": 7, "h6": 7}, "slow"),
        ({"m5": 0, "m30": 5, "h1": 7, "h6": 7}, ""),
        ({"m5": 20, "m30": 20, "h1": 20, "h6": 20}, "fast"),
        ({"m5": 0, "m30": 0, "h1": 0, "h6": 0}, ""),
    ],
)
def test_somebody_is_called_when_a_long_and_a_short_window_burn(rates: dict[str, float], said: str) -> None:
    assert alert(burning(**rates)) == said

"""Meters: counts by outcome, and a histogram that is off by at most a quarter."""

from __future__ import annotations

import random

from headwater import Query, contract
from headwater.model.contract import contract_of
from headwater.runtime.meter import EDGES, Meter, MeterCell


def test_every_call_is_counted_once_in_the_bucket_that_holds_it() -> None:
    """Counts add up, also across folds, and each sample lies at or below its bucket's edge."""
    cell: MeterCell = MeterCell(contract_of(Plain))
    chance = random.Random(4)
    samples = [chance.choice((0.0, EDGES[7], 1e-9, 5_000.0, chance.expovariate(1e4))) for _ in range(5_000)]
    for sample in samples:
        cell.record("value", sample)
    assert sum(cell.buckets) == 5_000
    assert abs(cell.seconds - sum(samples)) < 1e-6 * sum(samples)
    for index, edge in enumerate(EDGES):
        below = 0.0 if index == 0 else EDGES[index - 1]
        wanted = sum((below < s <= edge) if index else s <= edge for s in samples)
        assert cell.buckets[index] == wanted


def test_quantiles_are_near_the_truth() -> None:
    """The upper edge of the right bucket, so never too low and at most a quarter too high."""
    cell = MeterCell(contract_of(Plain))
    chance = random.Random(5)
    samples = sorted(chance.expovariate(1_000) for _ in range(4_000))
    for sample in samples:
        cell.record("value", sample)
    for share in (0.5, 0.9, 0.99):
        truth = samples[int(share * len(samples)) - 1]
        assert truth <= cell.quantile(share) <= truth * 1.26


def test_outcomes_are_told_apart() -> None:
    """What is not a value is counted by its name."""
    cell = MeterCell(contract_of(Plain))
    for outcome in ("value", "value", "failure", "unknown"):
        cell.record(outcome, 0.001)  # type: ignore[arg-type]
    assert cell.outcomes == {"value": 2, "failure": 1, "not_executed": 0, "unknown": 1}


@contract("meter.plain", v=1)
class Plain(Query[int]):
    pass


@contract("meter.aimed", v=1, slo_p99="100ms")
class Aimed(Query[int]):
    pass


def test_what_is_in_time_is_counted_exactly() -> None:
    """Compared with counting one by one, for samples around the aim and on it, across folds."""
    cell = MeterCell(contract_of(Aimed))
    chance = random.Random(6)
    total = good = in_time = 0
    for _ in range(5_000):
        outcome = chance.choice(("value", "value", "value", "failure", "not_executed", "unknown"))
        seconds = chance.choice((0.1, 0.1 + 1e-9, chance.uniform(0.09, 0.11)))
        cell.record(outcome, seconds)  # type: ignore[arg-type]
        total += 1
        good += outcome in ("value", "failure")
        in_time += outcome in ("value", "failure") and seconds <= 0.1
        if chance.random() < 0.01:
            assert cell.answered == (total, good, in_time)
    assert cell.answered == (total, good, in_time)


def test_without_an_aim_every_answer_is_in_time() -> None:
    cell = MeterCell(contract_of(Plain))
    for outcome in ("value", "failure", "unknown"):
        cell.record(outcome, 100.0)  # type: ignore[arg-type]
    assert cell.answered == (3, 2, 2)


def test_group_commits_are_counted_by_size() -> None:
    meter = Meter().store("m")
    for units in (1, 1, 2, 3, 256, 300):
        meter.committed(units, 0.001, well=units != 3)
    assert (meter.units, meter.failed, sum(meter.buckets)) == (563, 1, 6)
    assert meter.sizes[:3] == [2, 1, 1]
    assert meter.sizes[-2:] == [1, 1]

"""Meters: counts by outcome, and a histogram that is off by at most a quarter."""

from __future__ import annotations

import random
from typing import Any

from headwater.runtime.meter import EDGES, MeterCell


def test_every_call_is_counted_once_in_the_bucket_that_holds_it() -> None:
    """Counts add up, also across folds, and each sample lies at or below its bucket's edge."""
    cell: MeterCell = MeterCell(_anything())
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
    cell = MeterCell(_anything())
    chance = random.Random(5)
    samples = sorted(chance.expovariate(1_000) for _ in range(4_000))
    for sample in samples:
        cell.record("value", sample)
    for share in (0.5, 0.9, 0.99):
        truth = samples[int(share * len(samples)) - 1]
        assert truth <= cell.quantile(share) <= truth * 1.26


def test_outcomes_are_told_apart() -> None:
    """What is not a value is counted by its name."""
    cell = MeterCell(_anything())
    for outcome in ("value", "value", "failure", "unknown"):
        cell.record(outcome, 0.001)  # type: ignore[arg-type]
    assert cell.outcomes == {"value": 2, "failure": 1, "not_executed": 0, "unknown": 1}


def _anything() -> Any:
    return None

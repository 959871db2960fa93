"""The shop in the seeded simulation, and proof that the simulation finds what it is for."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from headwater.runtime.delivery import Pump
from headwater.runtime.inbox import Inbox
from headwater.testing.simulate import run_seeds
from headwater.testing.world import simulate, template_of
from tests.flow.shop_scenario import app, ledger

ROOT = Path(__file__).resolve().parents[2]
SCENARIO = "tests.flow.shop_scenario:ledger"
FOUND_BEFORE: tuple[int, ...] = (8, 28, 42)
"""Seeds that have failed once: a snapshot that span without letting time pass, starts that hung in a crash."""


def test_the_books_balance_under_forty_seeds() -> None:
    """Crashes at named points, late and doubled events, lost answers, two processes: the ledger holds."""
    assert run_seeds(SCENARIO, [*FOUND_BEFORE, *range(100, 140)]) == []


@pytest.mark.real
def test_the_books_balance_under_two_thousand_seeds() -> None:
    """The same, two thousand times, in two processes."""
    paths = os.pathsep.join((str(ROOT), str(ROOT / "examples" / "shop")))
    done = subprocess.run(
        [sys.executable, "-m", "headwater.testing.simulate", SCENARIO, "--seeds", "0:2000", "--jobs", "2"],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": paths}, capture_output=True, text=True, timeout=1200, check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert "2000 seeds passed, 0 failed" in done.stdout


def test_a_seed_replays_step_by_step() -> None:
    """Same seed, same run, to the last choice; another seed, another run."""
    template = template_of(app)
    one, two, other = (simulate(app, ledger, seed, template=template) for seed in (7, 7, 8))
    assert (one.trace, one.steps, one.value) == (two.trace, two.steps, two.value)
    assert one.trace != other.trace


def _skip_inbox(patch: pytest.MonkeyPatch) -> None:
    async def always(self: Any, unit: Any, record: Any) -> bool:
        return True

    patch.setattr(Inbox, "first_time", always)


def _cursor_first(patch: pytest.MonkeyPatch) -> None:
    """Move the cursor in a transaction of its own, before the effect."""
    together = Pump._together

    async def wrong(self: Any, source: str, deliveries: Any) -> None:
        unit = await self._begin()
        await self._fence(unit)
        await self._inbox.move(unit, source, deliveries[-1].position)
        await unit.commit()
        await together(self, source, deliveries)

    patch.setattr(Pump, "_together", wrong)


@pytest.mark.plants
@pytest.mark.parametrize("plant", [_skip_inbox, _cursor_first])
def test_a_planted_bug_is_found(plant: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch) -> None:
    """A broken promise of the runtime shows in the shop's books within a few hundred seeds."""
    plant(monkeypatch)
    template = template_of(app)
    for seed in range(300):
        try:
            simulate(app, ledger, seed, template=template)
        except AssertionError as error:
            assert any("seed" in note for note in error.__notes__)
            found = ("is not", "never came to an end", "lost", "dead letters")
            assert any(word in str(error) for word in found), error
            return
    raise AssertionError("300 seeds passed with the bug in place")

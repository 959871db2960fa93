"""Run a scenario under many seeds.

    python -m headwater.testing.simulate MODULE:SCENARIO --seeds 0:2000

The module has `app` and the scenario, an async function that takes a `World`. Seeds that have failed before
stand in a file, one a line, and are played first; a new failure is added to it. The exit code is 0 when
every seed passed, 1 when one failed, 2 when the scenario could not be found.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import importlib
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from headwater.errors import ConfigurationError
from headwater.testing.world import Scenario, simulate, template_of

__all__ = ["Failed", "main", "run_seeds"]

SHARE = 25
"""Seeds that a process takes at a time."""


class Failed:
    """One seed that failed, and how."""

    __slots__ = ("report", "seed")

    def __init__(self, seed: int, report: str) -> None:
        self.seed = seed
        self.report = report


def load(name: str) -> tuple[Any, Scenario]:
    """Return the application and the scenario behind `module:scenario`. Raises ConfigurationError."""
    module_name, _, scenario_name = name.partition(":")
    try:
        module = importlib.import_module(module_name)
        return module.app, getattr(module, scenario_name)
    except (ImportError, AttributeError) as error:
        raise ConfigurationError(f"{name!r}: {error}; write MODULE:SCENARIO, the module has `app` too") from None


def run_seeds(name: str, seeds: Sequence[int]) -> list[tuple[int, str]]:
    """Run some seeds in this process; return those that failed, with a report."""
    app, scenario = load(name)
    template = template_of(app)
    failed: list[tuple[int, str]] = []
    for seed in seeds:
        try:
            simulate(app, scenario, seed, template=template)
        except Exception as error:
            report = "".join(traceback.format_exception(error)[-3:])
            again = f"python -m headwater.testing.simulate {name} --seeds {seed}:{seed + 1}"
            failed.append((seed, f"{report}\nagain: {again}"))
    return failed


def run_all(name: str, seeds: Sequence[int], *, jobs: int, remember: Path | None = None) -> list[Failed]:
    """Run seeds in several processes, remembered ones first; return the failures, fewest seeds first."""
    known = _remembered(remember)
    order = [*known, *(seed for seed in seeds if seed not in set(known))]
    shares = [order[at : at + SHARE] for at in range(0, len(order), SHARE)]
    if jobs == 1:
        found = [item for share in shares for item in run_seeds(name, share)]
    else:
        import multiprocessing

        context = multiprocessing.get_context("spawn")
        with concurrent.futures.ProcessPoolExecutor(max_workers=jobs, mp_context=context) as pool:
            found = [item for part in pool.map(run_seeds, [name] * len(shares), shares) for item in part]
    failed = [Failed(seed, report) for seed, report in sorted(found)]
    if remember is not None and failed:
        lines = sorted({*known, *(f.seed for f in failed)})
        remember.write_text("".join(f"{seed}\n" for seed in lines), encoding="utf-8")
    return failed


def _remembered(path: Path | None) -> list[int]:
    if path is None or not path.exists():
        return []
    return [int(line) for line in path.read_text(encoding="utf-8").split()]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m headwater.testing.simulate", description=__doc__)
    parser.add_argument("scenario", help="MODULE:SCENARIO")
    parser.add_argument("--seeds", default="0:100", help="FIRST:LAST, the last one not included")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--remember", type=Path, help="file of seeds that have failed")
    said = parser.parse_args(arguments)
    first, _, last = said.seeds.partition(":")
    try:
        seeds = range(int(first), int(last or int(first) + 1))
        load(said.scenario)
    except (ValueError, ConfigurationError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    failed = run_all(said.scenario, seeds, jobs=said.jobs, remember=said.remember)
    for failure in failed[:5]:
        print(f"--- seed {failure.seed}\n{failure.report}")
    print(f"{len(seeds) - len(failed)} seeds passed, {len(failed)} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())

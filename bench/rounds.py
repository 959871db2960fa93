"""Interleaved rounds: every contender runs in every round, in a new order each time; medians count.

A machine that is shared drifts; what ran in the same round drifted together, so ratios are taken
round by round and their median is what is reported.
"""

from __future__ import annotations

import json
import os
import platform
import random
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["Result", "compare", "pin", "report"]

Contender = Callable[[], float]


@dataclass
class Result:
    """One comparison: figures by contender and round, lower is better, in `unit`."""

    title: str
    unit: str
    base: str
    figures: dict[str, list[float]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def median(self, name: str) -> float:
        """Return a contender's median."""
        return statistics.median(self.figures[name])

    def ratio(self, name: str) -> float:
        """Return the median of a contender's figure over the base's, round by round."""
        return statistics.median(self._ratios(name))

    def spread(self, name: str) -> tuple[float, float]:
        """Return the smallest and the largest of those ratios."""
        ratios = self._ratios(name)
        return min(ratios), max(ratios)

    def _ratios(self, name: str) -> list[float]:
        pairs = zip(self.figures[name], self.figures[self.base], strict=True)
        return [mine / base for mine, base in pairs]


def pin() -> None:
    """Stay on one core, if the system lets us choose."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


def compare(
    title: str, contenders: Mapping[str, Contender], *, base: str, unit: str, rounds: int = 7, notes: Sequence[str] = ()
) -> Result:
    """Run every contender once to warm up, then `rounds` times interleaved."""
    result = Result(title, unit, base, {name: [] for name in contenders}, list(notes))
    order = list(contenders)
    chance = random.Random(1)
    for number in range(rounds + 1):
        chance.shuffle(order)
        for name in order:
            figure = contenders[name]()
            if number:
                result.figures[name].append(figure)
    return result


def machine() -> str:
    """Return what the figures were taken on."""
    model = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        model = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), model)
    except OSError:
        pass
    system = f"{platform.system()} {platform.release()}"
    return f"{model}, {os.cpu_count()} cores, Python {platform.python_version()}, {system}"


def report(results: Sequence[Result]) -> None:
    """Print tables, or JSON when `--json` was given."""
    if "--json" in sys.argv:
        rows = [
            {
                "title": r.title, "unit": r.unit, "base": r.base, "notes": r.notes,
                "median": {n: r.median(n) for n in r.figures}, "ratio": {n: r.ratio(n) for n in r.figures},
                "spread": {n: r.spread(n) for n in r.figures},
            }
            for r in results
        ]
        print(json.dumps({"machine": machine(), "results": rows}, indent=2))
        return
    print(f"machine: {machine()}")
    for result in results:
        print(f"\n{result.title} ({result.unit}, median of {len(result.figures[result.base])} interleaved rounds)")
        for name in sorted(result.figures, key=result.median):
            figures = result.figures[name]
            print(
                f"  {name:<44} {result.median(name):>12.3f}   {result.ratio(name):>7.2f} x {result.base}"
                f"   ({min(figures):.3f} .. {max(figures):.3f})"
            )
        for note in result.notes:
            print(f"  note: {note}")

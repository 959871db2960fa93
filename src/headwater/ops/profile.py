"""A look at what the threads are doing, on demand: collapsed stacks for flame graphs, or a file for speedscope.

Nothing is measured while nobody asks. The collapsed form is Brendan Gregg's: frames joined by semicolons, outermost
first, a space, a count; speedscope's is its file format of type "sampled".
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from headwater.model.codec import to_json
from headwater.ports import Executor
from headwater.ports.process import Sampler, Stack

__all__ = ["HZ_MOST", "SECONDS_MOST", "Profiler", "collapsed", "speedscope"]

SECONDS_MOST = 60.0
HZ_MOST = 1_000.0
SCHEMA = "https://www.speedscope.app/file-format-schema.json"


class Profiler:
    """Runs one look at a time, in a thread. `sampler` makes a new one for each."""

    def __init__(self, sampler: Callable[[], Sampler], executor: Executor) -> None:
        self._make = sampler
        self._executor = executor
        self._running = False

    async def run(self, seconds: float, hz: float) -> Mapping[Stack, int] | None:
        """Return how often each stack was seen; None while another look is under way.

        Raises ValueError for numbers beyond the limits. Cancelling ends the look.
        """
        if not 0 < seconds <= SECONDS_MOST or not 1 <= hz <= HZ_MOST:
            raise ValueError(f"seconds is up to {SECONDS_MOST:g}, hz from 1 to {HZ_MOST:g}")
        if self._running:
            return None
        self._running = True
        sampler = self._make()
        work = asyncio.ensure_future(self._executor.run(lambda: sampler.run(seconds, hz)))
        work.add_done_callback(self._ended)
        try:
            return await asyncio.shield(work)
        finally:
            sampler.stop()

    def _ended(self, work: asyncio.Future[Any]) -> None:
        self._running = False
        if not work.cancelled():
            work.exception()  # nobody may be there to ask


def collapsed(found: Mapping[Stack, int]) -> bytes:
    """Return collapsed stacks, the most frequent first."""
    lines = [
        ";".join(frame.replace(";", ":") for frame in stack) + f" {count}"
        for stack, count in sorted(found.items(), key=lambda pair: -pair[1])
    ]
    return ("\n".join(lines) + "\n").encode()


def speedscope(found: Mapping[Stack, int], *, hz: float, name: str) -> bytes:
    """Return a speedscope file with a profile for each thread."""
    frames: dict[str, int] = {}
    profiles: dict[str, dict[str, Any]] = {}
    for (thread, *stack), count in found.items():
        profile = profiles.setdefault(thread, {
            "type": "sampled", "name": thread, "unit": "seconds", "startValue": 0.0, "endValue": 0.0,
            "samples": [], "weights": [],
        })
        profile["samples"].append([frames.setdefault(frame, len(frames)) for frame in stack])
        profile["weights"].append(count / hz)
        profile["endValue"] += count / hz
    return to_json({
        "$schema": SCHEMA, "name": name, "exporter": "headwater", "activeProfileIndex": 0,
        "shared": {"frames": [{"name": frame} for frame in frames]}, "profiles": list(profiles.values()),
    })

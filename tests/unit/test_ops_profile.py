"""Profiles: of real threads by the real sampler, in both formats."""

from __future__ import annotations

import asyncio
import json
import threading
import time

import pytest

from headwater.adapters.process import StackSampler
from headwater.adapters.system import ThreadExecutor
from headwater.ops.profile import HZ_MOST, SECONDS_MOST, Profiler, collapsed, speedscope

FOUND = {
    ("MainThread", "main (a.py:1)", "inner (a.py:2)"): 3,
    ("MainThread", "main (a.py:1)"): 5,
    ("worker;1", "run (b.py:7)"): 2,
}


@pytest.fixture
def profiler() -> Profiler:
    return Profiler(StackSampler, ThreadExecutor(threads=4))


def test_collapsed_stacks_are_lines_for_flame_graphs() -> None:
    """Outermost first, most frequent first; a semicolon in a name cannot make up a frame."""
    assert collapsed(FOUND).decode().splitlines() == [
        "MainThread;main (a.py:1) 5", "MainThread;main (a.py:1);inner (a.py:2) 3", "worker:1;run (b.py:7) 2",
    ]


def test_a_speedscope_file_has_what_its_schema_asks_for() -> None:
    """A profile for each thread; samples point at shared frames, weights are seconds."""
    told = json.loads(speedscope(FOUND, hz=100, name="shop worker 0"))
    assert told["$schema"] == "https://www.speedscope.app/file-format-schema.json"
    assert told["name"] == "shop worker 0"
    frames = [frame["name"] for frame in told["shared"]["frames"]]
    assert len(frames) == len(set(frames))
    profiles = {profile["name"]: profile for profile in told["profiles"]}
    main, worker = profiles["MainThread"], profiles["worker;1"]
    assert {profile["type"] for profile in told["profiles"]} == {"sampled"}
    assert {profile["unit"] for profile in told["profiles"]} == {"seconds"}
    stacks = [[frames[index] for index in sample] for sample in main["samples"]]
    assert stacks == [["main (a.py:1)", "inner (a.py:2)"], ["main (a.py:1)"]]
    assert main["weights"] == [0.03, 0.05]
    assert main["endValue"] == pytest.approx(0.08)
    assert worker["endValue"] == pytest.approx(0.02)


def test_an_empty_look() -> None:
    assert collapsed({}) == b"\n"
    assert json.loads(speedscope({}, hz=1, name="x"))["profiles"] == []


async def test_a_thread_that_works_is_seen_where_it_works(profiler: Profiler) -> None:
    over = threading.Event()

    def turn_in_circles() -> None:
        while not over.is_set():
            pass

    thread = threading.Thread(target=turn_in_circles, name="circles")
    thread.start()
    try:
        found = await profiler.run(0.5, 200)
    finally:
        over.set()
        thread.join()
    assert found is not None
    mine = {stack: count for stack, count in found.items() if stack[0] == "circles"}
    inside = sum(count for stack, count in mine.items() if any("turn_in_circles" in frame for frame in stack))
    assert inside == sum(mine.values()) > 5
    assert all(stack[1].startswith("Thread._bootstrap") for stack in mine)  # outermost first
    assert not any("StackSampler" in frame for stack in found for frame in stack)  # it does not see itself


@pytest.mark.parametrize(
    ("seconds", "hz"), [
        (0, 100), (-1, 100), (SECONDS_MOST + 1, 100), (float("nan"), 100), (float("inf"), 100), (1, 0.5), (1, HZ_MOST + 1),
        (1, float("nan")),
    ],
)
async def test_limits(profiler: Profiler, seconds: float, hz: float) -> None:
    with pytest.raises(ValueError, match="seconds is up to 60, hz from 1 to 1000"):
        await profiler.run(seconds, hz)


async def test_one_at_a_time(profiler: Profiler) -> None:
    first = asyncio.create_task(profiler.run(0.3, 100))
    await asyncio.sleep(0.05)
    assert await profiler.run(0.1, 100) is None
    assert await first
    assert await profiler.run(0.1, 100) is not None


async def test_a_look_that_nobody_waits_for_ends(profiler: Profiler) -> None:
    """And until its thread is back, no other begins: a thousand askers that go away do not leave a thousand threads."""
    first = asyncio.create_task(profiler.run(60, 100))
    await asyncio.sleep(0.05)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    begun = time.monotonic()
    while await profiler.run(0.01, 100) is None:
        assert time.monotonic() - begun < 30
        await asyncio.sleep(0.005)


async def test_a_look_that_fails_is_over() -> None:
    class Broken:
        def run(self, seconds: float, hz: float) -> dict[tuple[str, ...], int]:
            raise RuntimeError("no luck")

        def stop(self) -> None:
            pass

    profiler = Profiler(Broken, ThreadExecutor(threads=1))
    for _ in range(2):
        with pytest.raises(RuntimeError, match="no luck"):
            await profiler.run(1, 100)

"""The seeded loop: replay, virtual time, refusals."""

from __future__ import annotations

import asyncio

import pytest

from headwater.testing.simulation import Deadlock, Refused, TooLong, run


async def race() -> list[int]:
    seen: list[int] = []

    async def one(number: int) -> None:
        await asyncio.sleep(0)
        seen.append(number)

    async with asyncio.TaskGroup() as group:
        for number in range(6):
            group.create_task(one(number))
    return seen


def test_a_seed_replays() -> None:
    """The same seed gives the same trace and result; other seeds give other orders."""
    assert run(race(), seed=7) == run(race(), seed=7)
    assert len({tuple(run(race(), seed=seed).value) for seed in range(20)}) > 5


def test_time_is_virtual() -> None:
    """A timeout of an hour's wait fires at its virtual time."""

    async def wait() -> float:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(600):
                await asyncio.sleep(3000)
        return asyncio.get_running_loop().time()

    assert run(wait(), seed=1).value == 600


def test_what_cannot_be_simulated_is_told() -> None:
    """An endless wait, too much virtual time and a thread each have their own error."""

    async def stuck() -> None:
        await asyncio.Queue[int]().get()

    async def thread() -> None:
        await asyncio.to_thread(print)

    with pytest.raises(Deadlock):
        run(stuck(), seed=1)
    with pytest.raises(TooLong):
        run(asyncio.sleep(9), seed=1, seconds=5)
    with pytest.raises(Refused):
        run(thread(), seed=1)

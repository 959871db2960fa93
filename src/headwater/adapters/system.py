"""The real clock, chance, ids and threads."""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import TypeVar

from headwater.errors import Overloaded
from headwater.ports import Timer

__all__ = ["SystemClock", "SystemIds", "SystemRandom", "ThreadExecutor"]

T = TypeVar("T")


class SystemClock:
    """The machine's clocks and the running loop's timers."""

    monotonic = staticmethod(time.monotonic)
    wall = staticmethod(time.time)

    def now(self) -> datetime:
        """Return wall time, aware and in UTC."""
        return datetime.now(UTC)

    def call_at(self, when: float, callback: Callable[[], object]) -> Timer:
        """Call back at a monotonic time, on the event loop."""
        # uvloop's clock has another zero than time.monotonic, so only the distance carries over
        return asyncio.get_running_loop().call_later(max(0.0, when - time.monotonic()), callback)

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)


class SystemRandom:
    """Chance for jitter; not for secrets."""

    def __init__(self) -> None:
        self.uniform = random.Random().uniform  # noqa: S311 - jitter is no secret


class SystemIds:
    """UUIDv7 (RFC 9562): 48 bits of milliseconds, 12 bits that count within one, 62 bits of chance."""

    def __init__(self) -> None:
        self._last = 0
        self._chance = ""
        self._used = 0

    def new(self) -> str:
        """Return a new id; ids of one process ascend."""
        ticks = time.time_ns() * 4096 // 1_000_000
        if ticks <= self._last:
            ticks = self._last + 1
        self._last = ticks
        at = self._used
        if at == len(self._chance):  # the kernel's chance, 512 bytes at a time
            self._chance, at = os.urandom(512).hex(), 0
        self._used = at + 16
        head, tail = f"{ticks:015x}", self._chance[at : at + 16]
        variant = "89ab"[int(tail[0], 16) & 3]
        return f"{head[:8]}-{head[8:12]}-7{head[12:]}-{variant}{tail[1:4]}-{tail[4:]}"


class ThreadExecutor:
    """A bounded pool of threads; `waiting_most` jobs may wait, more are refused."""

    def __init__(self, *, threads: int = 8, waiting_most: int = 256) -> None:
        self._pool = ThreadPoolExecutor(max_workers=threads, thread_name_prefix="headwater")
        self._most = threads + waiting_most
        self._count = 0

    async def run(self, work: Callable[[], T]) -> T:
        """Run `work` off the loop."""
        if self._count >= self._most:
            raise Overloaded(f"{self._count} jobs wait for a thread, which is the most")
        self._count += 1
        future = asyncio.get_running_loop().run_in_executor(self._pool, work)
        future.add_done_callback(self._done)
        return await future

    def _done(self, _future: object) -> None:
        self._count -= 1

    def close(self) -> None:
        """Take no more work and wait for what runs."""
        self._pool.shutdown(wait=True)

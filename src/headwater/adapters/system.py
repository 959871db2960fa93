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
        self.uniform = random.Random().uniform


class SystemIds:
    """UUIDv7 (RFC 9562): 48 bits of milliseconds, 12 bits that count within one, 62 bits of chance."""

    def __init__(self) -> None:
        self._last = 0

    def new(self) -> str:
        """Return a new id; ids of one process ascend."""
        ticks = time.time_ns() * 4096 // 1_000_000
        if ticks <= self._last:
            ticks = self._last + 1
        self._last = ticks
        tail = int.from_bytes(os.urandom(8)) & 0x3FFF_FFFF_FFFF_FFFF | 0x8000_0000_0000_0000
        text = f"{ticks >> 12:012x}7{ticks & 0xFFF:03x}{tail:016x}"
        return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


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

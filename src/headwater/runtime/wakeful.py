"""A background worker that sleeps until somebody rings, something is due, or a ring may have been lost."""

from __future__ import annotations

import asyncio
import logging

from headwater.errors import NotExecuted
from headwater.runtime.parts import Parts

__all__ = ["IDLE_SECONDS", "Wakeful"]

log = logging.getLogger("headwater.runtime")

IDLE_SECONDS = 1.0
"""A ring may be lost; then work waits this long, not for ever."""
BACKOFF_FIRST_SECONDS = 0.02


class Wakeful:
    """Runs `step` whenever there may be work. Subclasses say what a step is and what wakes them.

    `failure` is the newest error that stopped a step, None after a good one: health reads it.
    """

    def __init__(self, name: str, parts: Parts) -> None:
        self.name = name
        self.stopping = False
        self.failure: Exception | None = None
        self._parts = parts
        self._clock = parts.clock
        self._points = parts.points
        self._bell = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def topics(self) -> tuple[str, ...]:
        """Return the bell topics that wake it."""
        raise NotImplementedError

    async def step(self) -> bool:
        """Do what there is to do; return whether there was anything."""
        raise NotImplementedError

    async def next_due(self) -> float | None:
        """Return when something is due by itself, in wall seconds, or None."""
        raise NotImplementedError

    async def pending(self) -> bool:
        """Return whether work is under way or due: nothing is settled before it is done."""
        return False

    async def leave(self) -> None:
        """Tidy up after the last step."""

    def start(self) -> None:
        """Begin to serve."""
        for topic in self.topics():
            self._parts.bell.listen(topic, self._bell.set)
        self._task = asyncio.get_running_loop().create_task(self._serve(), name=self.name)

    async def stop(self, *, within: float = 5.0) -> None:
        """Finish the step that runs, then leave; a step longer than `within` seconds is cancelled."""
        self.stopping = True
        self._bell.set()
        if self._task is None:
            return
        finished, _ = await asyncio.wait([self._task], timeout=within)
        if not finished:
            self._task.cancel()
            await asyncio.wait([self._task])
        await self.leave()

    @property
    def alive(self) -> bool:
        """Whether it serves."""
        return self._task is not None and not self._task.done()

    def abandon(self) -> None:
        """Stop as in a crash."""
        self.stopping = True
        if self._task is not None:
            self._task.cancel()

    async def _serve(self) -> None:
        backoff = BACKOFF_FIRST_SECONDS
        while not self.stopping:
            self._bell.clear()
            try:
                worked = await self.step()
                pause = 0.0 if worked else await self._idle()
                backoff, self.failure = BACKOFF_FIRST_SECONDS, None
            except NotExecuted as error:  # busy, full, or somebody else's turn: later, and later still
                self.failure = error
                pause = self._parts.random.uniform(backoff / 2, backoff)
                backoff = min(backoff * 2, IDLE_SECONDS)
            except Exception as error:  # one bad round must not end the worker; health tells of it
                self.failure = error
                log.exception("%s: a round failed", self.name)
                pause = IDLE_SECONDS
            if pause:
                await self._pause(pause)

    async def _idle(self) -> float:
        due = await self.next_due()
        return IDLE_SECONDS if due is None else min(max(due - self._clock.wall(), 0.001), IDLE_SECONDS)

    async def _pause(self, seconds: float) -> None:
        if self._bell.is_set():
            return
        timer = self._clock.call_at(self._clock.monotonic() + seconds, self._bell.set)
        try:
            await self._bell.wait()
        finally:
            timer.cancel()

"""A seeded event loop: virtual time, a seeded choice of what runs next, nothing from outside."""

from __future__ import annotations

import asyncio
import hashlib
import heapq
import random
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, Generic, NoReturn, TypeVar

__all__ = ["Deadlock", "Finished", "Refused", "SimulationLoop", "TooLong", "run"]

T = TypeVar("T")


class Deadlock(Exception):
    """Nothing is ready and no timer is set: the scenario would wait for ever."""


class TooLong(Exception):
    """The scenario went past its limit of virtual seconds or of steps."""


class Refused(Exception):
    """The scenario asked for a thread, a socket or a name look-up."""


@dataclass(frozen=True, kw_only=True)
class Finished(Generic[T]):
    """What a run returned; `trace` is equal when every choice and every virtual time was equal."""

    value: T
    trace: str
    steps: int


def _raise_refused(*_args: Any, **_options: Any) -> NoReturn:
    raise Refused("a simulation has no threads, sockets or name look-ups; pass simulated parts instead")


_refuse: Any = _raise_refused


class SimulationLoop(asyncio.BaseEventLoop):
    """Runs one ready callback a step, chosen by the seed; time moves only when nothing is ready."""

    def __init__(self, seed: int, *, seconds: float = 3600.0, steps: int = 1_000_000) -> None:
        self._virtual = 0.0
        super().__init__()
        self.seed = seed
        self.steps = 0
        self._limit = seconds
        self._most = steps
        self._chance = random.Random(seed)  # noqa: S311 - must be replayable
        self._digest = hashlib.blake2b(digest_size=16)

    @property
    def trace(self) -> str:
        """Return a hash of every step so far."""
        return self._digest.hexdigest()

    def time(self) -> float:
        """Return virtual seconds since the start."""
        return self._virtual

    def wind_up(self) -> None:
        """Cancel what is left, let it end, close. Raises Deadlock or TooLong when a task will not end."""
        self._limit, self._most = float("inf"), self.steps + 10_000
        try:
            left = sorted(asyncio.all_tasks(self), key=lambda task: task.get_name())
            for task in left:
                task.cancel()
            if left:
                self.run_until_complete(asyncio.wait(left))
            self.run_until_complete(self.shutdown_asyncgens())
        finally:
            self.close()

    def _run_once(self) -> None:
        state: Any = self  # asyncio keeps its queues in attributes the type stubs do not name
        ready, timers = state._ready, state._scheduled
        if not any(not handle._cancelled for handle in ready):
            ready.clear()
            self._advance(timers)
        while timers and timers[0]._when <= self._virtual:
            timer = heapq.heappop(timers)
            timer._scheduled = False
            ready.append(timer)
        index = self._chance.randrange(len(ready))
        handle = ready[index]
        self._count(index, len(ready))
        del ready[index]
        if not handle._cancelled:
            handle._run()

    def _advance(self, timers: list[Any]) -> None:
        while timers and timers[0]._cancelled:
            heapq.heappop(timers)._scheduled = False
        if not timers:
            raise Deadlock(f"seed {self.seed}: nothing is ready and no timer is set after {self.steps} steps")
        self._virtual = max(self._virtual, timers[0]._when)
        if self._virtual > self._limit:
            raise TooLong(f"seed {self.seed}: past {self._limit} virtual seconds")

    def _count(self, index: int, among: int) -> None:
        self.steps += 1
        if self.steps > self._most:
            raise TooLong(f"seed {self.seed}: past {self._most} steps")
        self._digest.update(f"{index}/{among}@{self._virtual!r};".encode())

    run_in_executor = getaddrinfo = getnameinfo = _refuse
    create_connection = create_server = create_datagram_endpoint = _refuse
    add_reader = add_writer = sock_connect = sock_recv = sock_sendall = sock_accept = _refuse
    subprocess_exec = subprocess_shell = call_soon_threadsafe = _refuse


def run(main: Coroutine[Any, Any, T], *, seed: int, seconds: float = 3600.0) -> Finished[T]:
    """Run `main` to its end. Raises what it raises, Deadlock, TooLong or Refused."""
    loop = SimulationLoop(seed, seconds=seconds)
    try:
        value = loop.run_until_complete(main)
        return Finished(value=value, trace=loop.trace, steps=loop.steps)
    finally:
        loop.wind_up()

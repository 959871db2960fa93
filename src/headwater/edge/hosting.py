"""Running a request's coroutine at once, inside a task that most requests never need.

A handler may use everything that rests on the current task: `asyncio.timeout`, cancellation,
TaskGroup. A task for each request would cost more than the request. So a spare task stands ready; a
coroutine is stepped by hand *as* that task (the hooks for this are the ones that asyncio documents for
third parties, "Extending", `_enter_task` and `_leave_task`). If it finishes without waiting, the task
has not been used up and serves the next one. If it waits, the coroutine moves into the task, which
is then its own until the end.
"""

from __future__ import annotations

import asyncio
import contextvars
from asyncio import _enter_task, _leave_task
from collections.abc import Callable, Generator
from typing import Any, TypeVar

from headwater.runtime.waiting import Waiting

__all__ = ["Hosts"]

A = TypeVar("A")
T = TypeVar("T")


class _Host:
    """The coroutine of one spare task: waits for work, and goes on with it."""

    __slots__ = ("_done", "_started", "_wake", "_work", "alive", "context", "task", "values")

    def __init__(self, loop: asyncio.AbstractEventLoop, context: contextvars.Context) -> None:
        self._work: Generator[Any, Any, Any] | None = None
        self._started = False
        self._done: Callable[[Any], None] | None = None
        self._wake: asyncio.Future[None] | None = None
        self.alive = True
        self.context = context
        self.values = len(self.context)
        itself: Any = self  # a coroutine in all but its base: native classes have no other parents
        self.task: asyncio.Task[None] = loop.create_task(itself, context=self.context)

    def take(self, work: Generator[Any, Any, Any], done: Callable[[Any], None]) -> None:
        """Go on with `work`; tell `done` its result."""
        self._work, self._done = work, done
        self.alive = False
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    # --- what the task calls ------------------------------------------------------------------

    def send(self, value: None, /) -> Any:
        """Step."""
        if self._work is None:  # the task's first step, and nothing to do yet
            self._wake = asyncio.get_running_loop().create_future()
            self._wake._asyncio_future_blocking = True  # as `await` would
            return self._wake
        self._started = True
        return self._step(self._work.send, None)

    def throw(self, kind: Any, value: Any = None, traceback: Any = None, /) -> Any:
        """Step with an exception: a cancellation, mostly."""
        self.alive = False
        error = kind if value is None else value
        work = self._work
        if work is None:
            raise error
        if not self._started:  # cancelled before its first turn; it must see that from the place where it waits
            self._started = True
            waits_for = work.send(None)
            if waits_for is not None:
                waits_for._asyncio_future_blocking = False
        return self._step(work.throw, error)

    def _step(self, step: Callable[[Any], Any], given: Any) -> Any:
        try:
            return step(given)
        except StopIteration as stopped:
            assert self._done is not None
            self._done(stopped.value)
            raise

    def close(self) -> None:
        """Give up."""
        if self._work is not None:
            self._work.close()

    def __await__(self) -> Generator[Any, None, None]:
        """A task drives it; nothing else does."""
        raise NotImplementedError


class Hosts:
    """The spare task of one loop. Not thread-safe.

    Every request begins with a copy of the context in which this was made.
    """

    __slots__ = ("_context", "_loop", "_spare")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._context = contextvars.copy_context()
        self._spare: _Host | None = None

    def run(
        self, start: Callable[[A], T | Waiting], given: A, done: Callable[[T], None]
    ) -> T | asyncio.Task[None]:
        """Call `start(given)` as a task would. Return its result, or the task in which it goes on.

        Then `done` is told the result later; cancelling the task cancels the work, and `done` is not told of work
        that ends with an exception.
        """
        loop, host = self._loop, self._spare
        if host is None or not host.alive:
            host = self._spare = _Host(loop, self._context.copy())
        task = host.task
        try:
            _enter_task(loop, task)
        except RuntimeError:  # called from inside another task
            return loop.create_task(_tell(start, given, done), context=self._context.copy())
        try:
            result = host.context.run(start, given)
        finally:
            _leave_task(loop, task)
        if isinstance(result, Waiting):
            self._spare = None
            host.take(result.rest, done)
            return task
        if task.cancelling() or len(host.context) != host.values:
            self._spare = None  # what this request did to its task or context is not for the next one
            task.cancel()
        return result

    def close(self) -> None:
        """Let the spare task go."""
        if self._spare is not None:
            self._spare.task.cancel()
            self._spare = None


async def _tell(start: Callable[[A], T | Waiting], given: A, done: Callable[[T], None]) -> None:
    result = start(given)
    done((await result) if isinstance(result, Waiting) else result)  # pyright: ignore[reportArgumentType]

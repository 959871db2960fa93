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
from collections.abc import Callable, Coroutine, Generator
from typing import Any, TypeVar

__all__ = ["Hosts"]

T = TypeVar("T")
Work = Coroutine[Any, Any, T]


class _Host(Coroutine[Any, Any, None]):
    """The coroutine of one spare task: waits for work that has been stepped once, and goes on with it."""

    __slots__ = ("_done", "_first", "_wake", "_work", "alive", "context", "task", "values")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._work: Work[Any] | None = None
        self._first: Any = None
        self._done: Callable[[Any], None] | None = None
        self._wake: asyncio.Future[None] | None = None
        self.alive = True
        self.context = contextvars.copy_context()
        self.values = len(self.context)
        self.task: asyncio.Task[None] = loop.create_task(self, context=self.context)

    def take(self, work: Work[Any], first: Any, done: Callable[[Any], None]) -> None:
        """Go on with `work`, which waits for `first`; tell `done` its result."""
        self._work, self._first, self._done = work, first, done
        self.alive = False
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    # --- what the task calls ------------------------------------------------------------------

    def send(self, value: None, /) -> Any:
        """Step."""
        work = self._work
        if work is None:  # the task's first step, and nothing to do yet
            self._wake = asyncio.get_running_loop().create_future()
            self._wake._asyncio_future_blocking = True
            return self._wake
        if self._first is not None:
            first, self._first = self._first, None
            return first
        return self._step(work.send, value)

    def throw(self, kind: Any, value: Any = None, traceback: Any = None, /) -> Any:
        """Step with an exception: a cancellation, mostly."""
        self.alive = False
        error = kind if value is None else value
        work = self._work
        if work is None:
            raise error
        waited, self._first = self._first, None
        if waited is not None and getattr(waited, "_asyncio_future_blocking", False):
            waited._asyncio_future_blocking = False  # it never came to wait for this
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
    """The spare task of one loop. Not thread-safe."""

    __slots__ = ("_loop", "_spare")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._spare: _Host | None = None

    def run(self, work: Work[T], done: Callable[[T], None]) -> asyncio.Task[None] | None:
        """Run `work` now and tell `done` its result, at once if it does not wait; then return None.

        Otherwise return the task it goes on in; cancelling that cancels the work. `done` is not told of work that
        ends with an exception.
        """
        loop, host = self._loop, self._spare
        if host is None or not host.alive:
            host = self._spare = _Host(loop)
        try:
            _enter_task(loop, host.task)
        except RuntimeError:  # called from inside another task
            return loop.create_task(_tell(work, done))
        try:
            first = host.context.run(work.send, None)
        except StopIteration as stopped:
            result = stopped.value
        except BaseException:
            self._spare = None
            host.task.cancel()
            raise
        else:
            self._spare = None
            host.take(work, first, done)
            return host.task
        finally:
            _leave_task(loop, host.task)
        if host.task.cancelling() or len(host.context) != host.values:
            self._spare = None  # what this request did to its task or context is not for the next one
            host.task.cancel()
        done(result)
        return None

    def close(self) -> None:
        """Let the spare task go."""
        if self._spare is not None:
            self._spare.task.cancel()
            self._spare = None


async def _tell(work: Work[T], done: Callable[[T], None]) -> None:
    done(await work)

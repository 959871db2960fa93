"""A deadline that costs nothing until the work waits.

Most calls inside a process finish without waiting for anything. So the work is stepped once by hand;
only when it yields (it waits) is a timer set. Timeouts and cancellation behave as `asyncio.timeout`.
"""

from __future__ import annotations

import asyncio
import types
from collections.abc import Coroutine, Generator
from typing import Any, TypeVar

from headwater.errors import DeadlineExceeded
from headwater.ports import Clock

__all__ = ["bounded", "finish"]

T = TypeVar("T")


@types.coroutine
def bounded(work: Coroutine[Any, Any, T], deadline: float, clock: Clock, what: str) -> Generator[Any, Any, T]:
    """Run `work` until `deadline` (monotonic seconds); then cancel it and raise DeadlineExceeded.

    `work` is always finished or closed when this returns. Cancelling from outside passes through.
    """
    try:
        waits_for = work.send(None)
    except StopIteration as done:
        return done.value  # type: ignore[no-any-return]
    return (yield from finish(work, waits_for, deadline, clock, what))


def finish(
    work: Coroutine[Any, Any, T], waits_for: Any, deadline: float, clock: Clock, what: str
) -> Generator[Any, Any, T]:
    """Go on with work that has been stepped once and waits for something; as `bounded`."""
    task = asyncio.current_task()
    if task is None:
        work.close()
        raise RuntimeError(f"{what}: a call that waits must run inside an asyncio task")
    before = task.cancelling()
    expired = False

    def expire() -> None:
        nonlocal expired
        expired = True
        task.cancel()

    timer = clock.call_at(deadline, expire)
    try:
        while True:
            try:
                answer = yield waits_for
            except GeneratorExit:
                work.close()
                raise
            except BaseException as error:
                waits_for = work.throw(error)
            else:
                waits_for = work.send(answer)
    except StopIteration as done:
        if expired:
            task.uncancel()
        return done.value  # type: ignore[no-any-return]
    except asyncio.CancelledError:
        if expired and task.uncancel() <= before:
            raise DeadlineExceeded(f"{what}: the budget ran out while it was running") from None
        raise
    finally:
        timer.cancel()

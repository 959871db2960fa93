"""A deadline that costs nothing until the work waits.

Most calls inside a process finish without waiting for anything. So the work is stepped once by hand;
only when it yields (it waits) is a timer set. Timeouts and cancellation behave as `asyncio.timeout`.
"""

from __future__ import annotations

import asyncio
import types
from collections.abc import Generator
from typing import TYPE_CHECKING, Any

from headwater.errors import DeadlineExceeded
from headwater.ports import Clock
from headwater.runtime.frames import STEPS, Steps

if TYPE_CHECKING:
    from headwater.runtime.scope import NodeCtx

__all__ = ["bounded", "finish"]


@types.coroutine
def bounded(ctx: NodeCtx, clock: Clock, what: str) -> Generator[Any, Any, Any]:
    """Run a context's work until its deadline; then cancel it and raise DeadlineExceeded.

    The work is always finished or closed when this returns. Cancelling from outside passes through.
    """
    steps = STEPS.pop() if STEPS else Steps()
    try:
        return (yield from finish(steps, steps.send(ctx), ctx.deadline, clock, what))
    finally:
        ctx.work = None


def finish(steps: Steps, waits_for: Any, deadline: float, clock: Clock, what: str) -> Generator[Any, Any, Any]:
    """Go on with work that has been stepped once; as `bounded`. `deadline`: in monotonic seconds."""
    task = asyncio.current_task()
    if task is None:
        steps.close()
        raise RuntimeError(f"{what}: a call that waits must run inside an asyncio task")
    before = task.cancelling()
    expired = False

    def expire() -> None:
        nonlocal expired
        expired = True
        task.cancel()

    timer = clock.call_at(deadline, expire)
    try:
        while waits_for is not steps:
            try:
                answer = yield waits_for
            except GeneratorExit:
                steps.close()
                raise
            except BaseException as error:
                waits_for = steps.throw(error)
            else:
                waits_for = steps.send(answer)
        if expired:
            task.uncancel()
    except asyncio.CancelledError:
        if expired and task.uncancel() <= before:
            raise DeadlineExceeded(f"{what}: the budget ran out while it was running") from None
        raise
    finally:
        timer.cancel()
    result, steps.value = steps.value, None
    STEPS.append(steps)
    return result

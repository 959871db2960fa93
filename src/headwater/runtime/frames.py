"""Frames that say whose work runs. What stands on a handler's stack below it is here, and is never compiled.

Who wants to know which handler runs looks at the stack (`headwater.runtime.running`); native code leaves no
frames there, so the last step into a handler is Python's.
"""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable, Generator, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from headwater.runtime.scope import NodeCtx

__all__ = ["STEPS", "Steps", "Threaded", "run", "step_code"]


@types.coroutine
def _steps(mine: Steps) -> Generator[Any, NodeCtx, None]:
    ctx = yield mine
    while True:
        mine.value = yield from ctx.work  # type: ignore[misc]
        ctx = yield mine


step_code = inspect.unwrap(_steps).__code__
"""Of the frame whose `ctx` says what it runs."""


class Steps:
    """Runs the work of one `NodeCtx` after another, as far as it goes without waiting.

    `send(ctx)` starts `ctx.work` and returns this object once the work has ended; its result is `value` then, and
    the next may be sent. Anything else that it returns is what the work waits for: then go on with `send` and
    `throw`, as with a coroutine. It is of no use any more when the work has raised. Unlike stepping a coroutine by
    hand, this makes no exception of every result.
    """

    __slots__ = ("close", "generator", "send", "throw", "value")

    def __init__(self) -> None:
        self.generator: Any = _steps(self)
        steps = self.generator
        next(steps)
        self.value: Any = None
        self.send: Callable[[Any], Any] = steps.send
        self.throw: Callable[[BaseException], Any] = steps.throw
        self.close: Callable[[], None] = steps.close


STEPS: list[Steps] = []
"""Those that nobody uses now."""


async def run(ctx: NodeCtx) -> Any:
    """Run the work of a context to its end."""
    try:
        return await ctx.work  # type: ignore[misc]
    finally:
        ctx.work = None


class Threaded:
    """One run of a plain function in a thread, and for whom."""

    __slots__ = ("_function", "_message", "_names", "ctx")

    def __init__(self, function: Callable[..., Any], message: Any, names: Mapping[str, Any], ctx: NodeCtx) -> None:
        self._function = function
        self._message = message
        self._names = names
        self.ctx = ctx

    def __call__(self) -> Any:
        """Run it."""
        return self._function(self._message, **self._names)



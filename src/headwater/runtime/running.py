"""Which handler is running: found by looking at the stack, so that nobody pays for it until somebody asks.

A call leaves nothing behind for this, no context variable and no list. Whoever wants to know (a line in
the log, the watchdog) walks up the frames to the innermost place that runs a handler. A task that a handler
starts by itself has a stack of its own; whose it is, is known where the watchdog notes tasks.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
from collections.abc import Callable
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, Literal
from weakref import WeakKeyDictionary

from headwater.runtime import frames
from headwater.runtime.scope import NodeCtx

__all__ = ["Running", "running", "task_owners", "user_place", "whose"]

FRAMES_MOST = 400


class Running:
    """A handler that runs: what for, and its way out."""

    __slots__ = ("ctx", "name")

    def __init__(self, ctx: NodeCtx) -> None:
        self.ctx = ctx
        self.name = ctx.name


task_owners: WeakKeyDictionary[asyncio.Task[Any], Running] = WeakKeyDictionary()
"""Tasks that handlers have started, where somebody notes them."""

_PLACES: dict[CodeType, Callable[[dict[str, Any]], NodeCtx | None]] = {
    frames.step_code: lambda names: names.get("ctx"),
    frames.run.__code__: lambda names: names["ctx"],
    frames.Threaded.__call__.__code__: lambda names: names["self"].ctx,
}


def running(frame: FrameType | None = None) -> Running | None:
    """Return the innermost handler of a stack, the caller's own when none is given; None outside of handlers."""
    at: FrameType | None = sys._getframe(1) if frame is None else frame
    for _ in range(FRAMES_MOST):
        if at is None:
            break
        read = _PLACES.get(at.f_code)
        if read is not None:
            found = read(at.f_locals)
            if found is not None:
                return Running(found)
        at = at.f_back
    if frame is None and task_owners:
        with contextlib.suppress(RuntimeError):  # no loop runs here
            task = asyncio.current_task()
            return None if task is None else task_owners.get(task)
    return None


_HOUSE = str(Path(__file__).parents[1])
_LIBRARY = str(Path(logging.__file__).parents[1])


def whose(file: str) -> Literal["house", "library", "user"]:
    """Return whether code is ours, the standard library's, or somebody else's."""
    if file.startswith(_HOUSE):
        return "house"
    return "library" if file.startswith((_LIBRARY, "<frozen")) and "site-packages" not in file else "user"


def user_place(frame: FrameType | None) -> str:
    """Return `file:line` of the innermost frame that is neither ours nor the standard library's."""
    at = frame
    while at is not None:
        if whose(at.f_code.co_filename) == "user":
            return f"{at.f_code.co_filename}:{at.f_lineno}"
        at = at.f_back
    return "?" if frame is None else f"{frame.f_code.co_filename}:{frame.f_lineno}"

"""Work that is done by hand until it waits, and then goes on as a coroutine."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

__all__ = ["Waiting"]


class Waiting:
    """Work that has begun and waits for something; await it, inside an asyncio task, for its result.

    `rest` goes on with it: started, it first hands out what the work waits for, and returns its result. It has to be
    run or closed.
    """

    __slots__ = ("rest",)

    def __init__(self, rest: Generator[Any, Any, Any]) -> None:
        self.rest = rest

    def __await__(self) -> Generator[Any, Any, Any]:
        """Go on with it."""
        return self.rest

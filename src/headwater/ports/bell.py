"""Waking others: "module X has committed new events". Losing a ring is allowed, ringing twice too."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

__all__ = ["Bell"]


class Bell(Protocol):
    """Carries rings between the processes that share a data folder, and inside one process."""

    async def open(self) -> None:
        """Begin to listen."""
        ...

    def listen(self, topic: str, callback: Callable[[], None]) -> None:
        """Call back, on the event loop, whenever the topic rings, here or elsewhere."""
        ...

    def ring(self, topic: str) -> None:
        """Wake every listener of the topic. Never waits and never raises."""
        ...

    async def close(self) -> None:
        """Stop listening."""
        ...

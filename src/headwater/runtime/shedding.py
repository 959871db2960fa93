"""Refuses what is least urgent while the event loop is late. It costs four looks a second, not the requests.

A loop that is late makes every call late, and new ones make it later. So priorities are refused one after another,
from the lowest, until the loop is in time, and are served again one after another. One slow handler is no reason:
only beats in a row count. What is critical is never refused for this.
"""

from __future__ import annotations

import logging

from headwater.model.contract import PRIORITIES
from headwater.runtime.heart import Heart
from headwater.runtime.node import Node

__all__ = ["BEATS", "LATE_SECONDS", "Shedding"]

LATE_SECONDS = 0.25
BEATS = 2
"""So many beats in a row, late or in time, change what is refused by one priority."""

log = logging.getLogger("headwater.runtime")


class Shedding:
    """Watches the loop of a started node. late: how late a beat may be, in seconds. heart: what is felt."""

    def __init__(self, node: Node, *, late: float = LATE_SECONDS) -> None:
        self.heart = Heart(node.parts.clock, self._felt)
        self._node = node
        self._late = late
        self._row = 0  # beats in a row, counted down from 0 while they are in time

    def start(self) -> None:
        """Begin, on the running loop."""
        self.heart.start()

    def stop(self) -> None:
        """Watch no more; nothing is refused for lateness then."""
        self.heart.stop()
        self._node.shed(0)

    def _felt(self, late: float) -> None:
        if late > self._late:
            self._row = max(self._row, 0) + 1
        else:
            self._row = min(self._row, 0) - 1
        if abs(self._row) < BEATS:
            return
        before = self._node.shedding
        refused = min(max(before + (1 if self._row > 0 else -1), 0), len(PRIORITIES) - 1)
        self._row = 0
        if refused != before:
            self._node.shed(refused)
            how = f"{late:.2f} s late" if refused > before else "in time again"
            names = ", ".join(PRIORITIES[len(PRIORITIES) - refused :]) or "none"
            log.warning("the event loop is %s; calls that are refused for it, by priority: %s", how, names)

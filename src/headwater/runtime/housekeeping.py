"""Forgetting what can no longer be needed: inbox rows and kept answers older than any redelivery."""

from __future__ import annotations

from collections.abc import Mapping

from headwater.ports import Store
from headwater.runtime.answers import KEEP_SECONDS
from headwater.runtime.parts import Parts
from headwater.runtime.wakeful import Wakeful

__all__ = ["Housekeeper"]

EVERY_SECONDS = 600.0


class Housekeeper(Wakeful):
    """Tidies every store of the node, ten minutes after the last time."""

    def __init__(self, stores: Mapping[str, Store], parts: Parts) -> None:
        super().__init__("housekeeping", parts)
        self._stores = stores
        self._next = parts.clock.wall() + EVERY_SECONDS

    def topics(self) -> tuple[str, ...]:
        """Nothing wakes it but time."""
        return ()

    async def next_due(self) -> float | None:
        """Return when it is time again."""
        return self._next

    async def step(self) -> bool:
        """Tidy, if it is time."""
        now = self._clock.wall()
        if now < self._next:
            return False
        self._next = now + EVERY_SECONDS
        for store in self._stores.values():
            unit = await store.begin(deadline=self._clock.monotonic() + 5.0)
            try:
                for forget in ("delete from hw_inbox where at < :before", "delete from hw_answer where at < :before"):
                    await unit.execute(forget, {"before": now - KEEP_SECONDS})
            except BaseException:
                await unit.rollback()
                raise
            await unit.commit()
        return True

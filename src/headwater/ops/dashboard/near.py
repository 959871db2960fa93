"""What the dashboard sees for itself: the arrows that the code could send, and the dead letters."""

from __future__ import annotations

from headwater.errors import HeadwaterError
from headwater.model.app import App
from headwater.ops.dashboard.drawn import arrows_of
from headwater.ops.dashboard.seen import Arrow, Dead
from headwater.ports import Executor, Store
from headwater.runtime import operate
from headwater.runtime.node import Node

__all__ = ["Near"]

DEAD_MOST = 20
ACT_SECONDS = 10.0


class Near:
    """Looks at one node, and deals with its dead letters. executor: threads to read the code in."""

    def __init__(self, app: App, node: Node, executor: Executor) -> None:
        self._app = app
        self._node = node
        self._executor = executor
        self._arrows: tuple[Arrow, ...] | None = None

    async def drawn(self) -> tuple[Arrow, ...]:
        """Return the arrows that the code could send; it is read once."""
        if self._arrows is None:
            self._arrows = await self._executor.run(lambda: arrows_of(self._app))
        return self._arrows

    async def dead(self) -> tuple[tuple[Dead, ...], int]:
        """Return the newest dead letters, and how many there are."""
        found: list[Dead] = []
        for name, store in self._node.stores.items():
            found += [
                Dead(
                    module=name, id=d.id, subscription=d.subscription, message=f"{d.record.name}@{d.record.version}",
                    key=d.key, attempts=d.attempts, error=d.error, died_at=d.died_at,
                )
                for d in await operate.dead_letters(store)
            ]
        found.sort(key=lambda d: d.died_at, reverse=True)
        return tuple(found[:DEAD_MOST]), len(found)

    async def replay(self, module: str, dead_id: str) -> None:
        """Put a dead letter back in line. Raises HeadwaterError where there is none."""
        await operate.replay(self._store(module), dead_id, deadline=self._deadline())

    async def discard(self, module: str, dead_id: str) -> None:
        """Delete a dead letter. Raises HeadwaterError where there is none."""
        await operate.drop(self._store(module), dead_id, deadline=self._deadline())

    def _store(self, module: str) -> Store:
        found = self._node.stores.get(module)
        if found is None:
            raise HeadwaterError(f"there is no module {module!r}")
        return found

    def _deadline(self) -> float:
        return self._node.parts.clock.monotonic() + ACT_SECONDS

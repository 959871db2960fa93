"""A session sees its own writes, also through a read model that events fill a little later.

What a session has written travels as its token: the log position of each module it wrote to. A
query over a projection waits, a bounded moment, until the projection has come that far.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from headwater.model.module import Subscription
from headwater.ports import Clock, Store
from headwater.runtime.bound import Run
from headwater.runtime.scope import NodeCtx

__all__ = ["Freshness"]

WAIT_SECONDS = 0.25
POLL_SECONDS = 0.004


class Freshness:
    """Waits for a module's projections."""

    def __init__(self, store: Store, projections: Sequence[Subscription], clock: Clock) -> None:
        self._store = store
        self._cursors = [(p.name, source) for p in projections for source in p.sources]
        self._clock = clock

    def around(self, run: Run) -> Run:
        """Return `run` behind the wait. A session that has written nothing pays one comparison."""

        async def fresh(message: Any, ctx: NodeCtx) -> Any:
            if ctx.context.token:
                await self.wait(ctx.context.token, ctx.deadline)
            return await run(message, ctx)

        return fresh

    async def wait(self, token: Mapping[str, int], deadline: float) -> None:
        """Wait until the token is reached, at most a quarter of a second or the call's own budget.

        What cannot be reached in time (a parked event, a slow consumer) does not fail the query: it is
        answered from what there is.
        """
        wanted = [(n, s, token[s]) for n, s in self._cursors if s in token]
        give_up = min(self._clock.monotonic() + WAIT_SECONDS, deadline)
        while wanted and not await self._reached(wanted) and self._clock.monotonic() < give_up:
            await self._clock.sleep(POLL_SECONDS)

    async def _reached(self, wanted: Sequence[tuple[str, str, int]]) -> bool:
        snapshot = self._store.read()
        try:
            rows = await snapshot.fetch("select subscription, source, position from hw_cursor", {})
        finally:
            snapshot.close()
        at = {(name, source): position for name, source, position in rows}
        return all(at.get((name, source), position) >= position for name, source, position in wanted)

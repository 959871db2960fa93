"""Filling a read model again while the old one serves.

The projection's handlers fold the whole history into a scratch store with the same schema. When that
has caught up, one transaction of the module puts the new rows in place of the old, moves the cursors
and voids the pump's lease, so that the pump goes on from there. Readers see the old model or the new.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from headwater.errors import HeadwaterError
from headwater.model.context import Context
from headwater.model.identity import SYSTEM
from headwater.model.module import Subscription
from headwater.ports import EventLog, Record, Store, Unit
from headwater.runtime.bound import BoundModule
from headwater.runtime.delivery import HANDLER_SECONDS, Reaction
from headwater.runtime.frames import run
from headwater.runtime.inbox import ERROR_CHARACTERS
from headwater.runtime.lease import Lease
from headwater.runtime.parts import Parts
from headwater.runtime.scope import NodeCtx, NodeTx
from headwater.runtime.wakeful import Wakeful

__all__ = ["Rebuilder"]

BATCH_MOST = 512
ROWS_MOST = 50_000_000


class Rebuilder(Wakeful):
    """Rebuilds one projection whenever somebody asks for it."""

    def __init__(
        self, subscription: Subscription, bound: BoundModule, logs: Mapping[str, EventLog], parts: Parts,
        reactions: Mapping[tuple[str, int], Reaction],
    ) -> None:
        super().__init__(f"rebuild of {subscription.name}", parts)
        self._subscription = subscription
        self._bound = bound
        self._logs = logs
        self._reactions = reactions
        self._names = [r.codec.contract.name for r in reactions.values()]
        self._lease = Lease(f"{subscription.name}:rebuild", parts.owner, parts.clock)
        self._lease.seconds = HANDLER_SECONDS

    def topics(self) -> tuple[str, ...]:
        """Return what wakes it."""
        return (f"rebuild:{self._bound.name}",)

    async def next_due(self) -> float | None:
        """Nothing is due by itself."""
        return None

    async def step(self) -> bool:
        """Rebuild, if somebody asked."""
        if not await self._asked():
            return False
        try:
            async with self._parts.scratch(self._bound.module) as scratch:
                await self._rebuild(scratch)
        except HeadwaterError as error:
            await self._give_up(error)
        return True

    async def pending(self) -> bool:
        """Return whether a rebuild is asked for or under way."""
        snapshot = self._bound.store.read()
        try:
            rows = await snapshot.fetch(
                "select 1 from hw_rebuild where name = :name and error = ''", {"name": self._subscription.name}
            )
        finally:
            snapshot.close()
        return bool(rows)

    async def _asked(self) -> bool:
        if not await self.pending():
            return False
        unit = await self._begin(self._bound.store)
        try:
            claim = await self._lease.claim(unit)
        except BaseException:
            await unit.rollback()
            raise
        await unit.commit()
        return claim is not None

    async def _rebuild(self, scratch: Store) -> None:
        bound = BoundModule(self._bound.module, scratch, self._parts)
        positions = dict.fromkeys(self._logs, 0)
        while True:
            await self._fold_all(bound, positions)
            unit = await self._begin(self._bound.store)
            try:
                if await self._behind(unit, positions):
                    await unit.rollback()
                    continue
                await self._swap(unit, scratch, positions)
                self._points.hit("projection.before_swap")
            except BaseException:
                await unit.rollback()
                raise
            await unit.commit()
            self._parts.bell.ring(f"retry:{self._bound.name}")
            return

    async def _fold_all(self, bound: BoundModule, positions: dict[str, int]) -> None:
        for source, log in self._logs.items():
            while True:
                records, looked = await log.read(after=positions[source], names=self._names, limit=BATCH_MOST)
                if records:
                    await self._fold(bound, records)
                positions[source] = max(positions[source], looked)
                if len(records) < BATCH_MOST or self.stopping:
                    break
                await self._clock.sleep(0)  # let requests in between batches

    async def _fold(self, bound: BoundModule, records: Sequence[Record]) -> None:
        unit = await self._begin(bound.store)
        try:
            for record in records:
                await self._fold_one(bound, unit, record)
        except BaseException:
            await unit.rollback()
            raise
        await unit.commit()

    async def _fold_one(self, bound: BoundModule, unit: Unit, record: Record) -> None:
        reaction = self._reactions.get((record.name, record.version))
        if reaction is None:
            raise HeadwaterError(f"event {record.id}: {record.name}/{record.version} is a version it does not know")
        context = Context(deadline=self._clock.monotonic() + HANDLER_SECONDS, identity=SYSTEM, request_id=record.id)
        ctx = NodeCtx(bound, context, context.deadline, 0, reaction.name)
        ctx.tx_open = True
        tx = NodeTx(bound, ctx, unit=unit, emits=False)
        try:
            tx.work = ctx.work = reaction.call(reaction.codec.from_json(record.payload), ctx, tx, None)
            await run(ctx)
        except Exception as error:
            raise HeadwaterError(f"event {record.id} ({record.name}) cannot be folded: {error}") from error
        finally:
            tx.detach()

    async def _behind(self, unit: Unit, positions: Mapping[str, int]) -> bool:
        rows = await unit.fetch(
            "select source, position from hw_cursor where subscription = :s", {"s": self._subscription.name}
        )
        return any(position > positions.get(source, position) for source, position in rows)

    async def _swap(self, unit: Unit, scratch: Store, positions: Mapping[str, int]) -> None:
        name = {"s": self._subscription.name}
        snapshot = scratch.read()
        try:
            for table in self._subscription.tables:
                await self._replace(unit, snapshot, table)
        finally:
            snapshot.close()
        for source, position in positions.items():
            await unit.execute(
                "update hw_cursor set position = :p where subscription = :s and source = :source",
                {**name, "source": source, "p": position},
            )
        for forget in (
            "delete from hw_retry where subscription = :s",
            "delete from hw_dead where subscription = :s",
            "delete from hw_rebuild where name = :s",
            "update hw_lease set owner = '', token = token + 1, expires = 0, clean = 1 where name = :s",
        ):
            await unit.execute(forget, name)

    async def _replace(self, unit: Unit, snapshot: Any, table: str) -> None:
        everything = f'select * from "{table}"'  # noqa: S608 - the table's name is the module's own literal
        rows = await snapshot.fetch(everything, {}, most=ROWS_MOST)
        columns = await snapshot.columns(everything)
        slots = ", ".join(f":c{i}" for i in range(len(columns)))
        names = ", ".join(f'"{c}"' for c in columns)
        await unit.execute(f'delete from "{table}"', {})  # noqa: S608
        insert = f'insert into "{table}" ({names}) values ({slots})'  # noqa: S608
        for row in rows:
            await unit.execute(insert, {f"c{i}": value for i, value in enumerate(row)})

    async def _give_up(self, error: HeadwaterError) -> None:
        """Keep the old model, and say why the new one could not be made."""
        unit = await self._begin(self._bound.store)
        try:
            await unit.execute(
                "update hw_rebuild set error = :error where name = :name",
                {"name": self._subscription.name, "error": str(error)[:ERROR_CHARACTERS]},
            )
        except BaseException:
            await unit.rollback()
            raise
        await unit.commit()

    async def _begin(self, store: Store) -> Unit:
        return await store.begin(deadline=self._clock.monotonic() + HANDLER_SECONDS)

"""Durable commands: written by `tx.send` in the sender's transaction, run later, effect once.

The row stays until there is an outcome. A crash between the effect and the row's removal runs the
command again with the same key, and the kept answer of the first run is what comes back.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from headwater.errors import NotExecuted, OutcomeUnknown
from headwater.model.codec import from_json, to_json
from headwater.model.context import Context
from headwater.model.identity import SYSTEM, Identity
from headwater.model.message import Failure
from headwater.model.module import Retry
from headwater.model.secret import masked
from headwater.ports import Record, Row, Unit
from headwater.runtime.bound import BoundModule, Endpoint
from headwater.runtime.delivery import TRANSIENT, Fenced
from headwater.runtime.inbox import ERROR_CHARACTERS
from headwater.runtime.lease import Lease
from headwater.runtime.parts import Parts
from headwater.runtime.tally import Tally
from headwater.runtime.traceparent import parsed
from headwater.runtime.wakeful import Wakeful

__all__ = ["SendPump"]

Change = Callable[[Unit, Record, int, str], Coroutine[Any, Any, None]]
RETRY = Retry(8, first=0.2, most=300.0)


class SendPump(Wakeful):
    """Runs one module's durable commands, oldest due first."""

    def __init__(self, bound: BoundModule, endpoints: dict[tuple[str, int], Endpoint], parts: Parts) -> None:
        super().__init__(f"sends of {bound.name}", parts)
        self._bound = bound
        self._endpoints = endpoints
        self.module = bound.name
        self.tallies: dict[str, Tally] = {}
        self._lease = Lease(f"{bound.name}:sends", parts.owner, parts.clock)
        self._lease.seconds = 60.0

    def topics(self) -> tuple[str, ...]:
        """Return what wakes it."""
        return (f"sends:{self._bound.name}",)

    async def next_due(self) -> float | None:
        """Return when the next command is due."""
        rows = await self._read("select min(due) from hw_send", {})
        due: float | None = rows[0][0]
        return due

    async def step(self) -> bool:
        """Run what is due."""
        rows = await self._read(
            "select attempts, record from hw_send where due <= :now order by due, id limit 64",
            {"now": self._clock.wall()},
        )
        for attempts, data in rows:
            if self.stopping:
                break
            await self._send(from_json(Record, data), attempts)
        return bool(rows)

    async def pending(self) -> bool:
        """Return whether a command is due or being tried; one sent for later is not waited for."""
        rows = await self._read(
            "select 1 from hw_send where due <= :now or attempts > 0 limit 1", {"now": self._clock.wall()}
        )
        return bool(rows)

    async def _send(self, record: Record, attempts: int) -> None:
        if attempts >= RETRY.attempts:
            await self._change(self._bury, record, attempts, "it ended the process each time")
            return
        if not await self._count(record, attempts + 1):
            return
        endpoint = self._endpoints.get((record.name, record.version))
        if endpoint is None:
            await self._change(self._bury, record, attempts + 1, f"nobody handles {record.name}/{record.version}")
            return
        self._points.hit("send.before_run")
        tally = self.tallies.setdefault(endpoint.contract.wire_name, Tally())
        tally.count += 1
        try:
            await endpoint.invoke(
                endpoint.message_codec.from_json(record.payload), self._context(record, endpoint)
            )
        except TRANSIENT as error:
            tally.errors += 1
            await self._change(self._later, record, attempts, str(error))
        except (NotExecuted, OutcomeUnknown) as error:
            tally.errors += 1
            done = self._bury if attempts + 1 >= RETRY.attempts else self._later
            await self._change(done, record, attempts + 1, f"{type(error).__name__}: {error}")
        except Failure as failure:
            await self._change(self._bury, record, attempts + 1, f"refused: {failure}")
        else:
            self._points.hit("send.after_run")
            await self._change(self._forget, record, attempts, "")

    def _context(self, record: Record, endpoint: Endpoint) -> Context:
        trace_id, span_id, sampled = parsed(record.trace)
        return Context(
            deadline=self._clock.monotonic() + endpoint.within,
            identity=from_json(Identity, record.identity) if record.identity else SYSTEM, request_id=record.id,
            trace_id=trace_id, span_id=span_id, sampled=sampled, idempotency_key=f"send:{record.id}",
        )

    async def _count(self, record: Record, attempts: int) -> bool:
        """Count an attempt before it begins; False when the row is gone."""
        unit = await self._begin()
        try:
            if await self._lease.claim(unit) is None:
                raise Fenced(f"{self.name}: somebody else holds the lease")
            found = await unit.execute(
                "update hw_send set attempts = :attempts, due = :due where id = :id",
                {"attempts": attempts, "due": self._due(attempts), "id": record.id},
            )
        except BaseException:
            await unit.rollback()
            raise
        await unit.commit()
        return found == 1

    async def _change(self, change: Change, record: Record, attempts: int, error: str) -> None:
        unit = await self._begin()
        try:
            await change(unit, record, attempts, masked(error)[:ERROR_CHARACTERS])
        except BaseException:
            await unit.rollback()
            raise
        await unit.commit()

    async def _forget(self, unit: Unit, record: Record, _attempts: int, _error: str) -> None:
        await unit.execute("delete from hw_send where id = :id", {"id": record.id})

    async def _later(self, unit: Unit, record: Record, attempts: int, error: str) -> None:
        await unit.execute(
            "update hw_send set attempts = :attempts, due = :due, error = :error where id = :id",
            {"attempts": attempts, "due": self._due(max(attempts, 1)), "error": error, "id": record.id},
        )

    async def _bury(self, unit: Unit, record: Record, attempts: int, error: str) -> None:
        name = f"{self._bound.name}:sends"
        await unit.execute(
            """insert into hw_dead (id, subscription, source, position, key, attempts, error, record, died_at)
            values (:id, :s, :source, 0, '', :attempts, :error, :record, :now) on conflict do nothing""",
            {
                "id": f"{name}:{record.id}", "s": name, "source": self._bound.name, "attempts": attempts,
                "error": error, "record": to_json(record), "now": self._clock.wall(),
            },
        )
        await self._forget(unit, record, attempts, error)

    def _due(self, attempts: int) -> float:
        wait = min(RETRY.first * 2.0 ** (attempts - 1), RETRY.most)
        return self._clock.wall() + self._parts.random.uniform(wait / 2, wait)

    async def _begin(self) -> Unit:
        return await self._bound.store.begin(deadline=self._clock.monotonic() + 30.0)

    async def _read(self, sql: str, params: dict[str, object]) -> list[Row]:
        snapshot = self._bound.store.read()
        try:
            return list(await snapshot.fetch(sql, params))
        finally:
            snapshot.close()

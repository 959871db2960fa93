"""Delivery: from a module's log to the effect of each event, exactly once, in order of its key.

One pump serves one subscription, under a lease. An effect, the event's id in the inbox and the
cursor's move are one transaction of the subscriber's own database, so they cannot part.

A batch shares one transaction. When one of a batch fails, the batch is rolled back and run again
event by event; what fails is *parked*: set aside with its attempts and the time of the next one.
Later events with the same key are parked behind it, other keys flow on. After the last attempt it
becomes a dead letter. An attempt is counted before it begins, so that an event which kills the
process is given up as well: whoever takes over from a dead holder parks the first batch unseen.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Sequence
from typing import Any

from headwater.errors import (
    CommitUnknown,
    DeadlineExpired,
    DecodeError,
    Draining,
    NotExecuted,
    Overloaded,
    StoreCorrupt,
    StoreFull,
    StoreUnavailable,
)
from headwater.model.codec import from_json
from headwater.model.context import Context
from headwater.model.identity import SYSTEM, Identity
from headwater.model.module import Subscription
from headwater.model.secret import masked
from headwater.ports import EventLog, Outcome, Record, Unit
from headwater.runtime.bound import BoundModule, Call
from headwater.runtime.deadline import bounded
from headwater.runtime.event_codec import EventCodec
from headwater.runtime.frames import run
from headwater.runtime.inbox import Inbox, Parked
from headwater.runtime.lease import Lease
from headwater.runtime.parts import Parts
from headwater.runtime.scope import NodeCtx, NodeTx
from headwater.runtime.tally import DeliveryTally
from headwater.runtime.traceparent import parsed
from headwater.runtime.tracing import Begin
from headwater.runtime.wakeful import IDLE_SECONDS, Wakeful

__all__ = ["Fenced", "Pump", "Reaction"]

BATCH_MOST = 128
TURN_SECONDS = 0.004
"""A batch gives the write turn back after this long, so that commands do not wait for events."""
HANDLER_SECONDS = 30.0
"""The budget of one delivery; a lease is held a little longer."""
LOOKED_MOST = 1_000
"""Positions without an event for a subscription after which its cursor is stored all the same."""
TRANSIENT = (StoreFull, StoreUnavailable, Overloaded, Draining, DeadlineExpired)
"""Not the event's fault: tried again without counting."""

log = logging.getLogger("headwater.delivery")


class Fenced(NotExecuted):
    """Somebody else holds the lease: what was done must not be committed."""

    code = "fenced"


class Reaction:
    """What a subscription does with one event type. `name`: what a handler is said to run for."""

    __slots__ = ("begin", "call", "codec", "name")

    def __init__(self, name: str, codec: EventCodec, call: Call, begin: Begin | None = None) -> None:
        self.name = name
        self.codec = codec
        self.call = call
        self.begin = begin


class Pump(Wakeful):
    """Serves one subscription until it is stopped. `waits`: a handler may wait for other modules.

    tallies: what became of each event type, by source, name and version.
    """

    def __init__(
        self, subscription: Subscription, bound: BoundModule, logs: dict[str, EventLog], parts: Parts,
        reactions: dict[tuple[str, int], Reaction], *, waits: bool,
    ) -> None:
        super().__init__(f"subscription {subscription.name}", parts)
        self.subscription = subscription
        self._bound = bound
        self._logs = logs
        self._reactions = reactions
        self._names = {
            source: sorted({r.codec.contract.name for r in reactions.values() if r.codec.contract.module == source})
            for source in logs
        }
        self._waits = waits
        self._inbox = Inbox(subscription.name, bound.store, parts.clock)
        self._lease = Lease(subscription.name, parts.owner, parts.clock)
        if waits:
            self._lease.seconds = HANDLER_SECONDS + 1.0
        self._tracer = parts.tracer
        self.tallies = {(r.codec.contract.module, *key): DeliveryTally() for key, r in reactions.items()}
        self._noted: list[tuple[DeliveryTally, bool]] = []
        self._identity: tuple[bytes, Identity] = (b"", SYSTEM)
        self._token = 0
        self._held_until = 0.0
        self._parked = True  # unless looked
        self._look_again = 0.0
        self._seen: dict[str, int] = {}
        self._stored: dict[str, int] = {}

    def topics(self) -> tuple[str, ...]:
        """Return what wakes it."""
        return (*self._logs, f"retry:{self._bound.name}")

    async def prepare(self) -> None:
        """Give a new subscription its cursors; find out whether a source has lost what was consumed.

        Raises StoreCorrupt when a source's log ends before the cursor.
        """
        unit = await self._begin()
        try:
            for source, log in self._logs.items():
                head = await log.head()
                start = head if self.subscription.start == "now" else 0
                position = await self._inbox.begin_at(unit, source, start)
                if position > head:
                    raise StoreCorrupt(
                        f"{self.name} has consumed {source}'s events up to {position}, but that log ends at {head}: "
                        f"committed data of module {source} was lost; restore it from a backup"
                    )
                self._seen[source] = self._stored[source] = position
        except BaseException:
            await unit.rollback()
            raise
        await unit.commit()

    async def leave(self) -> None:
        """Leave the lease in order."""
        unit = await self._begin()
        try:
            await self._lease.release(unit)
        except BaseException:
            await unit.rollback()
            raise
        await unit.commit()

    # --- one round ----------------------------------------------------------------------------

    async def step(self) -> bool:
        """Deal with what is due and with one batch of each source; return whether there was any."""
        worked = await self._retry_due() if self._may_be_parked() else False
        for source in self._logs:
            worked = await self._take(source) or worked
        return worked

    async def next_due(self) -> float | None:
        """Return when the next parked delivery is due, in wall seconds."""
        return await self._inbox.next_due() if self._parked else None

    def _may_be_parked(self) -> bool:
        """Whether to look for parked deliveries: this pump parks them, but people may put dead letters back in line."""
        now = self._clock.monotonic()
        if not self._parked and now < self._look_again:
            return False
        self._look_again = now + IDLE_SECONDS
        return True

    async def pending(self) -> bool:
        """Return whether an event has not been dealt with, or waits for another attempt."""
        if await self._inbox.any_parked():
            return True
        for source, position in (await self._inbox.cursors()).items():
            if source in self._logs:
                waiting, _ = await self._logs[source].read(after=position, names=self._names[source], limit=1)
                if waiting:
                    return True
        return False

    async def _take(self, source: str) -> bool:
        records, looked = await self._logs[source].read(
            after=self._seen[source], names=self._names[source], limit=BATCH_MOST
        )
        if not records:
            self._seen[source] = max(self._seen[source], looked)
            if looked - self._stored[source] >= LOOKED_MOST:
                await self._note_looked(source)
            return False
        await self._hold()
        if records[0].position <= self._seen[source]:
            return True  # the lease was somebody else's meanwhile; look again from the stored cursor
        self._points.hit("subscription.received")
        deliveries = await self._disturb(records)
        if self._waits:
            await self._one_by_one(source, deliveries)
            return True
        try:
            await self._together(source, deliveries)
        except (Fenced, *TRANSIENT):
            self._held_until = 0.0
            raise
        except Exception:  # one of them failed; event by event will tell which
            await self._one_by_one(source, deliveries)
        return True

    async def _note_looked(self, source: str) -> None:
        """Store how far the log holds nothing for this subscription, so that nobody looks through it again."""
        self._stored[source] = self._seen[source]  # also when somebody else holds the lease: then it is theirs to note
        with contextlib.suppress(Fenced):
            await self._hold()
            unit = await self._begin()
            try:
                await self._fence(unit)
                await self._inbox.move(unit, source, self._seen[source])
            except BaseException:
                await unit.rollback()
                raise
            await unit.commit()

    async def _disturb(self, records: Sequence[Record]) -> Sequence[Record]:
        """Deliver late and twice, when asked to."""
        faults = self._parts.faults
        if faults is None:
            return records
        uniform = self._parts.random.uniform
        if faults.delay:
            await self._clock.sleep(uniform(0.0, faults.delay))
        return [*records, *(r for r in records if uniform(0.0, 1.0) < faults.duplicate)]

    # --- the lease ----------------------------------------------------------------------------

    async def _hold(self) -> None:
        """Hold the lease before any work. Raises Fenced while somebody else has it."""
        if self._clock.monotonic() < self._held_until:
            return
        unit = await self._begin()
        try:
            claim = await self._lease.claim(unit)
            if claim is None:
                raise Fenced(f"{self.name}: somebody else holds the lease")
            for source in self._logs:
                self._stored[source] = await self._inbox.cursor(unit, source)
                self._seen[source] = max(self._seen[source], self._stored[source])
            if claim.token != self._token:  # somebody else may have parked something meanwhile
                self._parked = True
            if claim.careful:
                await self._park_unseen(unit)
        except BaseException:
            await unit.rollback()
            raise
        await unit.commit()
        self._token = claim.token
        self._held_until = self._clock.monotonic() + self._lease.seconds / 2

    async def _fence(self, unit: Unit) -> None:
        """Renew inside a unit. Raises Fenced when the lease was lost since `_hold`."""
        claim = await self._lease.claim(unit)
        if claim is None or claim.token != self._token:
            self._held_until = 0.0
            raise Fenced(f"{self.name}: the lease was lost while it worked")
        self._held_until = self._clock.monotonic() + self._lease.seconds / 2

    async def _park_unseen(self, unit: Unit) -> None:
        for source, log in self._logs.items():
            records, _ = await log.read(after=self._seen[source], names=self._names[source], limit=BATCH_MOST)
            for record in records:
                await self._park(unit, source, record)
            if records:
                await self._inbox.move(unit, source, records[-1].position)
                self._seen[source] = records[-1].position

    # --- a batch in one transaction -----------------------------------------------------------

    async def _together(self, source: str, deliveries: Sequence[Record]) -> None:
        """Handle deliveries in one transaction; raise what a handler raises, nothing kept."""
        unit = await self._begin()
        spoke: list[NodeTx] = []
        self._noted.clear()
        try:
            await self._fence(unit)
            position = await self._handle_many(unit, source, deliveries, spoke)
            await self._inbox.move(unit, source, position)
            self._points.hit("subscription.before_commit")
        except BaseException:
            self._forget_spans(spoke)
            await unit.rollback()
            raise
        await self._finish(unit, spoke)
        self._count_noted()
        self._seen[source] = max(self._seen[source], position)

    def _count_noted(self) -> None:
        """Count what was delivered or buried in a transaction, now that it is committed."""
        for tally, delivered in self._noted:
            tally.delivered += delivered
            tally.dead += not delivered
        self._noted.clear()

    def _tally(self, source: str, record: Record) -> DeliveryTally:
        key = source, record.name, record.version
        found = self.tallies.get(key)
        if found is None:
            found = self.tallies[key] = DeliveryTally()  # a version that nobody here knows
        return found

    async def _handle_many(
        self, unit: Unit, source: str, deliveries: Sequence[Record], spoke: list[NodeTx]
    ) -> int:
        give_back = self._clock.monotonic() + TURN_SECONDS
        blocked = await self._blocked(unit, source)
        position = self._seen[source]
        for record in deliveries:
            event = await self._admit(unit, source, record, blocked)
            if event is not None and await self._inbox.first_time(unit, record):
                await self._react(unit, record, event, spoke)
                self._noted.append((self._tally(source, record), True))
            position = max(position, record.position)
            if self._clock.monotonic() > give_back:
                break
        return position

    async def _admit(self, unit: Unit, source: str, record: Record, blocked: set[str]) -> Any | None:
        """Return the event, or None when the record was parked behind its key or buried as unreadable."""
        if record.key and record.key in blocked:
            await self._park(unit, source, record)
            return None
        try:
            return self._decode(record)
        except DecodeError as error:
            await self._inbox.bury(unit, source, record, attempts=1, error=str(error))
            self._noted.append((self._tally(source, record), False))
            return None

    async def _react(self, unit: Unit, record: Record, event: Any, spoke: list[NodeTx]) -> None:
        context = self._context(record)
        reaction = self._reactions[record.name, record.version]
        ctx = NodeCtx(self._bound, context, context.deadline, 0, reaction.name)
        ctx.tx_open = True
        tx = NodeTx(self._bound, ctx, unit=unit, emits=not self.subscription.tables)
        spoke.append(tx)
        started = self._open_span(ctx, reaction, record)
        self._bound.writing = tx
        tx.work = ctx.work = reaction.call(event, ctx, tx, None)
        try:
            await run(ctx)
            await tx.write_out()
        finally:
            tx.detach()
        if ctx.span is not None:
            ctx.span.seconds = self._clock.monotonic() - started

    async def _finish(self, unit: Unit, spoke: Sequence[NodeTx]) -> None:
        started = self._clock.monotonic()
        try:
            head = await unit.commit()
        except BaseException:
            self._forget_spans(spoke)
            raise
        seconds = self._clock.monotonic() - started
        self._points.hit("subscription.after_commit")
        for tx in spoke:
            tx.announce(head)
            span = tx.ctx.span
            if span is not None and self._tracer is not None:
                self._tracer.statement(span, self._bound.name, "commit", started, seconds, "value")
                self._tracer.end(span, "value", span.seconds)

    # --- spans --------------------------------------------------------------------------------

    def _open_span(self, ctx: NodeCtx, reaction: Reaction, record: Record) -> float:
        """Open the delivery's span, if anybody traces; return the time."""
        now = self._clock.monotonic()
        if reaction.begin is not None:
            span = ctx.span = reaction.begin(None, ctx.context, now, True)
            if span is not None:
                waited = max(0.0, self._clock.wall() - record.at)
                span.attributes = {"subscription": self.name, "event_id": record.id, "waited": waited}
        return now

    def _end_span(self, ctx: NodeCtx, started: float, outcome: Outcome, error: BaseException | None = None) -> None:
        if ctx.span is not None and self._tracer is not None:
            ctx.span.error = "" if error is None else type(error).__name__
            self._tracer.end(ctx.span, outcome, self._clock.monotonic() - started)

    def _forget_spans(self, spoke: Sequence[NodeTx]) -> None:
        """Forget what a batch that was rolled back has recorded: its events are run again, one by one."""
        for tx in spoke:
            if tx.ctx.span is not None and self._tracer is not None:
                self._tracer.drop(tx.ctx.span)

    # --- one record, one transaction ----------------------------------------------------------

    async def _one_by_one(self, source: str, deliveries: Sequence[Record]) -> None:
        for record in deliveries:
            if self.stopping:
                return
            await self._hold()
            await self._deliver(source, record)
            self._seen[source] = max(self._seen[source], record.position)

    async def _deliver(self, source: str, record: Record) -> None:
        unit = await self._begin()
        self._noted.clear()
        try:
            await self._fence(unit)
            event = await self._admit(unit, source, record, await self._blocked(unit, source))
            if event is None:
                await self._inbox.move(unit, source, record.position)
        except BaseException:
            await unit.rollback()
            raise
        if event is None:
            await unit.commit()
            self._count_noted()
            return
        await unit.rollback()
        error = await self._attempt(source, record, event, parked=False)
        if error is not None:
            await self._set_aside(source, record, 1, error, parked=False)

    async def _attempt(self, source: str, record: Record, event: Any, *, parked: bool) -> Exception | None:
        """Run one record's handler and commit; return what the handler raised, rolled back.

        Raises Fenced and what is transient: then nothing has changed.
        """
        context = self._context(record)
        reaction = self._reactions[record.name, record.version]
        ctx = NodeCtx(self._bound, context, context.deadline, 0, reaction.name)
        tx = NodeTx(self._bound, ctx, emits=not self.subscription.tables)
        started = 0.0
        try:
            if not await self._inbox.known(record):
                started = self._open_span(ctx, reaction, record)
                tx.work = ctx.work = reaction.call(event, ctx, tx, None)
                await bounded(ctx, self._clock, self.name)
            unit = await tx.unit()
            await self._fence(unit)
            if not await self._inbox.first_time(unit, record):
                await tx.abort()
                await self._settle(source, record, parked=parked)
                return None
            await self._clear(unit, source, record, parked=parked)
            self._points.hit("subscription.before_commit")
            await tx.commit()
        except (Fenced, CommitUnknown, *TRANSIENT) as error:
            self._end_span(ctx, started, "not_executed", error)
            await tx.abort()
            raise
        except Exception as error:
            self._end_span(ctx, started, "unknown", error)
            await tx.abort()
            return error
        except BaseException as error:
            self._end_span(ctx, started, "unknown", error)
            await tx.abort()
            raise
        self._end_span(ctx, started, "value")
        self._tally(source, record).delivered += 1
        self._points.hit("subscription.after_commit")
        return None

    async def _settle(self, source: str, record: Record, *, parked: bool) -> None:
        """Forget a delivery whose effect is there already."""
        unit = await self._begin()
        try:
            await self._fence(unit)
            await self._clear(unit, source, record, parked=parked)
        except BaseException:
            await unit.rollback()
            raise
        await unit.commit()

    async def _clear(self, unit: Unit, source: str, record: Record, *, parked: bool) -> None:
        if parked:
            await self._inbox.unpark(unit, record)
        else:
            await self._inbox.move(unit, source, record.position)

    # --- what failed --------------------------------------------------------------------------

    async def _retry_due(self) -> bool:
        due = await self._inbox.due()
        if not due:
            self._parked = await self._inbox.any_parked()
            return False
        self._parked = True
        await self._hold()
        for parked in due:
            if self.stopping:
                break
            await self._retry(parked)
        return True

    async def _retry(self, parked: Parked) -> None:
        record, attempt = parked.record, parked.attempts + 1
        retry = self.subscription.retry
        if attempt > retry.attempts:
            await self._set_aside(parked.source, record, parked.attempts, None, parked=True)
            return
        try:
            event = self._decode(record)
        except DecodeError as unreadable:
            await self._set_aside(parked.source, record, retry.attempts, unreadable, parked=True)
            return
        if not await self._count(record, attempt):
            return
        self._tally(parked.source, record).retries += 1
        error = await self._attempt(parked.source, record, event, parked=True)
        if error is not None:
            await self._set_aside(parked.source, record, attempt, error, parked=True)

    async def _count(self, record: Record, attempt: int) -> bool:
        """Count an attempt before it begins; False when the row is gone meanwhile."""
        unit = await self._begin()
        try:
            await self._fence(unit)
            found = await self._inbox.count(unit, record, attempts=attempt, due=self._due(attempt))
        except BaseException:
            await unit.rollback()
            raise
        await unit.commit()
        return found

    async def _set_aside(
        self, source: str, record: Record, attempts: int, error: Exception | None, *, parked: bool
    ) -> None:
        """Park a delivery that failed, or bury it after its last attempt."""
        said = "" if error is None else masked(f"{type(error).__name__}: {error}")
        last = attempts >= self.subscription.retry.attempts
        tally = self._tally(source, record)
        tally.failed += error is not None
        log.log(
            logging.ERROR if last else logging.WARNING, "%s: event %s (%s) failed, attempt %d of %d%s", self.name,
            record.id, record.name, attempts, self.subscription.retry.attempts, "; now a dead letter" if last else "",
            exc_info=error,
        )
        unit = await self._begin()
        try:
            await self._fence(unit)
            if not last:
                if parked:
                    await self._inbox.count(unit, record, attempts=attempts, due=self._due(attempts), error=said)
                else:
                    await self._park(unit, source, record, attempts=attempts, due=self._due(attempts), error=said)
                    await self._inbox.move(unit, source, record.position)
            else:
                await self._inbox.bury(unit, source, record, attempts=attempts, error=said or "it ended the process")
                await self._clear(unit, source, record, parked=parked)
        except BaseException:
            await unit.rollback()
            raise
        await unit.commit()
        tally.dead += last

    def _due(self, attempts: int) -> float:
        retry = self.subscription.retry
        wait = min(retry.first * 2.0 ** (attempts - 1), retry.most)
        return self._clock.wall() + self._parts.random.uniform(wait / 2, wait)

    # --- small things -------------------------------------------------------------------------

    async def _blocked(self, unit: Unit, source: str) -> set[str]:
        return await self._inbox.blocked(unit, source) if self._parked else set()

    async def _park(
        self, unit: Unit, source: str, record: Record, *, attempts: int = 0, due: float = 0.0, error: str = ""
    ) -> None:
        self._parked = True
        await self._inbox.park(unit, source, record, attempts=attempts, due=due, error=error)

    async def _begin(self) -> Unit:
        return await self._bound.store.begin(deadline=self._clock.monotonic() + HANDLER_SECONDS)

    def _decode(self, record: Record) -> Any:
        reaction = self._reactions.get((record.name, record.version))
        if reaction is None:
            raise DecodeError(f"{record.name}/{record.version}: {self.name} knows no such version")
        return reaction.codec.from_json(record.payload)

    def _context(self, record: Record) -> Context:
        if record.identity != self._identity[0]:  # mostly one and the same: events come in runs
            self._identity = (record.identity, from_json(Identity, record.identity) if record.identity else SYSTEM)
        identity = self._identity[1]
        trace_id, span_id, sampled = parsed(record.trace)
        return Context(
            deadline=self._clock.monotonic() + HANDLER_SECONDS, identity=identity, request_id=record.id,
            trace_id=trace_id, span_id=span_id, sampled=sampled,
        )

"""What a running handler really holds: its way out (`NodeCtx`), its transaction, its view.

A scope lives as long as its handler. The transaction opens with its first statement, never earlier,
so that calls to other modules happen before anybody holds the store's write turn.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

from headwater.errors import (
    CallInsideTransaction,
    DeadlineExceeded,
    DecodeError,
    HandlerError,
    InvalidMessage,
    NoHandler,
    NotExecuted,
    TransactionClosed,
    UndeclaredUse,
)
from headwater.model.codec import field_error, to_json
from headwater.model.context import Context
from headwater.model.contract import contract_of
from headwater.model.identity import Identity
from headwater.model.message import Command, Event, Failure, Message, Query
from headwater.ports import Outcome, Record, Row, Snapshot, Unit
from headwater.runtime.rows import reader, stored
from headwater.runtime.rules import Judge
from headwater.runtime.tracing import Span, Tracer
from headwater.runtime.waiting import Waiting

if TYPE_CHECKING:
    from headwater.runtime.bound import BoundModule

__all__ = ["DEPTH_MOST", "NodeCtx", "NodeTx", "NodeView"]

R = TypeVar("R")
T = TypeVar("T")

ROWS_MOST = 10_000
DEPTH_MOST = 32
"""Calls under one another; more is a circle."""


class NodeCtx:
    """`Ctx` of one running handler.

    context: of the request it works for. deadline: its own, in monotonic seconds. depth: calls above it.
    acted: calls after which another module may have changed something on this handler's behalf; from
    then on a `NotExecuted` no longer means that nothing happened. tx_open: the transaction has begun.
    span: its own, None when nobody traces. name: what it runs for. work: what runs the handler, None once
    that has ended. view: what it reads through, closed by whoever runs it.
    """

    __slots__ = ("_module", "acted", "context", "deadline", "depth", "name", "span", "tx_open", "view", "work")

    def __init__(self, module: BoundModule, context: Context, deadline: float, depth: int, name: str) -> None:
        self._module = module
        self.context = context
        self.deadline = deadline
        self.depth = depth
        self.name = name
        self.acted = 0
        self.span: Span | None = None
        self.tx_open = False
        self.view: NodeView | None = None
        self.work: Coroutine[Any, Any, Any] | None = None

    @property
    def identity(self) -> Identity:
        """Who is asking."""
        return self.context.identity

    @property
    def request_id(self) -> str:
        """The id of the request at the edge."""
        return self.context.request_id

    @property
    def tracer(self) -> Tracer | None:
        """Who records spans, None when nobody traces."""
        return self._module.tracer

    @property
    def remaining(self) -> float:
        """Seconds left of the budget."""
        return max(0.0, self.deadline - self._module.clock.monotonic())

    async def call(self, message: Command[R], *, within: float | None = None) -> R:
        """Run a command and return its result."""
        endpoint = self._module.commands.get(type(message))
        if endpoint is None or self.tx_open:
            raise self._refusal(message, Command, "call")
        tally = self._module.tallies[type(message)]
        tally.count += 1
        self.acted += 1
        try:
            begun = endpoint.near(message, self, within)
            return await begun if isinstance(begun, Waiting) else begun  # type: ignore[no-any-return]
        except Failure:
            raise
        except BaseException as error:
            tally.errors += 1
            if isinstance(error, NotExecuted):
                self.acted -= 1
            raise

    async def ask(self, message: Query[R], *, within: float | None = None) -> R:
        """Answer a query."""
        endpoint = self._module.queries.get(type(message))
        if endpoint is None or self.tx_open:
            raise self._refusal(message, Query, "ask")
        tally = self._module.tallies[type(message)]
        tally.count += 1
        try:
            begun = endpoint.near(message, self, within)
            return await begun if isinstance(begun, Waiting) else begun  # type: ignore[no-any-return]
        except Failure:
            raise
        except BaseException:
            tally.errors += 1
            raise

    def now(self) -> datetime:
        """Return the time."""
        return self._module.clock.now()

    async def sleep(self, seconds: float) -> None:
        """Wait, within the budget."""
        if self.tx_open:
            raise CallInsideTransaction(
                f"ctx.sleep after tx has begun in module {self._module.name}: every other writer would wait too; "
                "sleep before the first tx statement"
            )
        if seconds > self.remaining:
            raise DeadlineExceeded(f"ctx.sleep({seconds}) is longer than the {self.remaining:.3f} s that are left")
        await self._module.clock.sleep(seconds)

    def new_id(self) -> str:
        """Return a new id."""
        return self._module.ids.new()

    def _refusal(self, message: object, kind: type[Message], verb: str) -> HandlerError:
        """Return the error that says why this message cannot be sent from here, now."""
        if self.tx_open and isinstance(message, kind):
            return CallInsideTransaction(
                f"module {self._module.name} calls {contract_of(type(message)).wire_name} after tx has begun: a "
                "transaction never waits for another module; call first, or tx.send / tx.emit"
            )
        return _refusal(self._module, message, kind, f"ctx.{verb}")


def _refusal(module: BoundModule, message: object, kind: type[Message], verb: str) -> HandlerError:
    name = type(message).__name__
    if not isinstance(message, kind):
        right = "ctx.ask" if isinstance(message, Query) else "ctx.call" if isinstance(message, Command) else "tx.emit"
        return HandlerError(f"{verb}({name}): a {name} is not a {kind.__name__}; use {right}")
    contract = contract_of(type(message))
    if contract.module != module.name and contract.module not in module.uses:
        return UndeclaredUse(
            f"module {module.name} calls {contract.wire_name} of module {contract.module}, which it does not "
            f"declare: add uses=[{contract.module!r}] to Module({module.name!r})"
        )
    return NoHandler(f"nobody handles {contract.wire_name}: no module of this application registers it")


class _Reading:
    """The fetch verbs, over whatever the subclass reads from. `_judge` is set where the module has rules.

    `_open` is what `_source` would return, while that is known.
    """

    __slots__ = ("_ctx", "_judge", "_module", "_open")

    _ctx: NodeCtx
    _module: BoundModule
    _judge: Judge | None
    _open: Unit | Snapshot | None

    async def _source(self) -> Unit | Snapshot:
        raise NotImplementedError

    async def fetch_one(self, kind: type[T], sql: Any, /, **params: object) -> T | None:
        """Return the one row as a `kind`, or None."""
        rows, read = self._at_once(kind, sql, params, 1) or await self._fetch(kind, sql, params, most=1)
        result: T | None = read(rows[0]) if rows else None
        if self._judge is not None and result is not None:
            self._judge.one(result)
        return result

    async def fetch_all(self, kind: type[T], sql: Any, /, **params: object) -> list[T]:
        """Return every row as a `kind`."""
        rows, read = self._at_once(kind, sql, params, ROWS_MOST) or await self._fetch(kind, sql, params, most=ROWS_MOST)
        results = [read(row) for row in rows]
        if self._judge is not None:
            self._judge.all(results)
        return results

    def _at_once(
        self, kind: Any, sql: Any, params: Mapping[str, object], most: int
    ) -> tuple[Sequence[Row], Callable[[Row], Any]] | None:
        """Return the rows and what reads them, where neither has to be waited for or learnt first."""
        module, source = self._module, self._open
        read = module.readers.get((kind, sql)) if type(sql) is str else None
        if read is None or source is None:
            return None
        monotonic, tracer = module.monotonic, module.tracer
        outcome: Outcome = "unknown"
        started = monotonic()
        rows: Sequence[Row] | None = None
        try:
            rows = source.fetch_at_once(sql, stored(params), True, most)
            outcome = "value"
        finally:
            if tracer is not None and (rows is not None or outcome != "value"):
                tracer.statement(self._ctx.span, module.name, sql, started, monotonic() - started, outcome)
        return None if rows is None else (rows, read)

    async def _fetch(self, kind: Any, sql: Any, params: Any, *, most: int) -> tuple[Any, Callable[[Row], Any]]:
        if type(sql) is not str:
            sql, params = self._module.statement(sql, params)
        source = self._open or await self._source()
        module = self._module
        tracer, started = module.tracer, module.clock.monotonic()
        outcome: Outcome = "unknown"
        try:
            rows = await source.fetch(sql, stored(params), user=True, most=most)
            outcome = "value"
        finally:
            if tracer is not None:
                tracer.statement(
                    self._ctx.span, module.name, sql, started, module.clock.monotonic() - started, outcome
                )
        readers = module.readers
        read = readers.get((kind, sql))
        if read is None:
            read = reader(kind, await source.columns(sql, user=True), sql)
            if len(readers) < 1024:  # statements are literals; a program that builds them gains nothing here
                readers[kind, sql] = read
        return rows, read

    async def _timed(self, sql: str, work: Awaitable[T]) -> T:
        """Wait for the store's work and tell the tracer how long it took."""
        module = self._module
        monotonic, tracer = module.clock.monotonic, module.tracer
        assert tracer is not None
        outcome: Outcome = "unknown"
        started = monotonic()
        try:
            result = await work
            outcome = "value"
        finally:
            tracer.statement(self._ctx.span, module.name, sql, started, monotonic() - started, outcome)
        return result


class NodeView(_Reading):
    """`View` of one running handler: a snapshot that opens with the first fetch."""

    __slots__ = ("_snapshot",)

    def __init__(self, module: BoundModule, ctx: NodeCtx, judge: Judge | None = None) -> None:
        self._module = module
        self._ctx = ctx
        self._judge = judge
        # what the session has written must be seen, so it shares with nobody
        self._snapshot = self._open = module.store.read(shared=not ctx.context.token)

    async def _source(self) -> Snapshot:
        raise TransactionClosed(f"a View of module {self._module.name} was used after its handler had returned")

    def close(self) -> None:
        """End the snapshot; harmless when it has ended."""
        self._open = None
        self._snapshot.close()


class NodeTx(_Reading):
    """`Tx` of one running handler.

    `emits` is false in projections, which may be replayed and so must not speak. work: the handler that has it, as
    a coroutine.
    """

    __slots__ = ("_closed", "_emits", "_records", "_sends", "_unit", "work")

    def __init__(
        self, module: BoundModule, ctx: NodeCtx, *, unit: Unit | None = None, emits: bool = True,
        judge: Judge | None = None,
    ) -> None:
        self._module = module
        self._judge = judge
        self._ctx = ctx
        self._unit = unit
        self._open = None
        self._emits = emits
        self._records: list[Record] = []
        self._sends: list[tuple[Record, float]] = []
        self._closed = False
        self.work: Coroutine[Any, Any, Any] | None = None

    async def unit(self) -> Unit:
        """Return the unit, waiting for the write turn the first time."""
        if self._closed:
            raise TransactionClosed(f"a Tx of module {self._module.name} was used after its handler had returned")
        if self._unit is None:
            module = self._module
            begun = module.store.begin(deadline=self._ctx.deadline)
            self._unit = await (begun if module.tracer is None else self._timed("begin", begun))
            self._ctx.tx_open = True
            module.writing = self
        self._open = self._unit
        return self._unit

    async def _source(self) -> Unit:
        return await self.unit()

    async def execute(self, sql: Any, /, **params: object) -> int:
        """Run one statement on the module's own tables."""
        text, values = (sql, params) if type(sql) is str else self._module.statement(sql, params)
        unit = self._unit or await self.unit()
        values = stored(values)
        module = self._module
        tracer, monotonic = module.tracer, module.monotonic
        outcome: Outcome = "unknown"
        started = monotonic()
        try:
            changed = unit.execute_at_once(text, values, True)
            if changed is None:
                changed = await unit.execute(text, values, user=True)
            outcome = "value"
        finally:
            if tracer is not None:
                tracer.statement(self._ctx.span, module.name, text, started, monotonic() - started, outcome)
        return changed

    async def emit(self, event: Event) -> None:
        """Record an event; it joins the commit."""
        self._check_may_speak("emit")
        module = self._module
        codec = module.events.get(type(event))
        if codec is None:
            codec = module.learn_event(event)
        payload = codec.to_json(event)
        if codec.checked:
            _check(codec.name, lambda: codec.from_json(payload))
        context = self._ctx.context
        contract = codec.contract
        self._records.append(
            Record(
                id=module.ids.new(), name=contract.name, version=contract.version,
                key="" if contract.key is None else str(getattr(event, contract.key)), payload=payload,
                at=module.clock.wall(), trace=_traceparent(self._ctx), identity=module.written(context.identity),
            )
        )

    async def send(self, command: Command[Any], *, after: float = 0.0) -> None:
        """Record a command to be run later."""
        self._check_may_speak("send")
        module = self._module
        endpoint = module.commands.get(type(command))
        if endpoint is None:
            raise _refusal(module, command, Command, "tx.send")
        if not 0 <= after <= 366 * 86400:
            raise HandlerError(f"tx.send(after={after!r}): seconds from now, from 0 to a year")
        payload = endpoint.message_codec.to_json(command)
        _check(endpoint.contract.wire_name, lambda: endpoint.message_codec.from_json(payload))
        context = self._ctx.context
        now = module.clock.wall()
        record = Record(
            id=module.ids.new(), name=endpoint.contract.name, version=endpoint.contract.version, key="",
            payload=payload, at=now, trace=_traceparent(self._ctx), identity=module.written(context.identity),
        )
        self._sends.append((record, now + after))

    def _check_may_speak(self, verb: str) -> None:
        if self._closed:
            raise TransactionClosed(f"tx.{verb} in module {self._module.name} after its handler had returned")
        if not self._emits:
            raise HandlerError(
                f"tx.{verb} in a projection of module {self._module.name}: a read model may be filled again and must "
                "not speak; use a subscription"
            )

    async def write_out(self) -> None:
        """Write emitted events and sends into the unit."""
        if not self._records and not self._sends:
            return
        unit = await self.unit()
        if self._records:
            await unit.append(self._records)
        for record, due in self._sends:
            await unit.execute(
                "insert into hw_send (id, due, attempts, error, record) values (:id, :due, 0, '', :record)",
                {"id": record.id, "due": due, "record": to_json(record)},
            )

    async def commit(self) -> None:
        """Commit with everything emitted, and wake who waits for it."""
        await self.write_out()
        unit = self.detach()
        if unit is None:
            return
        points = self._module.points
        points.hit("tx.before_commit")
        committed = unit.commit()
        head = await (committed if self._module.tracer is None else self._timed("commit", committed))
        points.hit("tx.after_commit")
        self.announce(head)

    def announce(self, head: int) -> None:
        """After the commit: wake who waits for the events, and let the session know how far it wrote."""
        module = self._module
        if self._records:
            self._ctx.context.token[module.name] = head
            module.bell.ring(module.name)
        if self._sends:
            module.bell.ring(f"sends:{module.name}")

    async def abort(self) -> None:
        """Undo everything; harmless when nothing was begun or all is committed."""
        unit = self.detach()
        if unit is not None:
            await unit.rollback()

    def detach(self) -> Unit | None:
        """End the handler's use and return the unit, which is now the caller's to end."""
        self._closed = True
        self._open = None
        if self._module.writing is self:
            self._module.writing = None
        unit, self._unit = self._unit, None
        return unit

    @property
    def ctx(self) -> NodeCtx:
        """The handler's way out."""
        return self._ctx


def _check(name: str, decode: Callable[[], object]) -> None:
    """Refuse a message that its receiver could not read."""
    try:
        decode()
    except DecodeError as error:
        raise InvalidMessage(name, (field_error(error),)) from None


def _traceparent(ctx: NodeCtx) -> str:
    """Return what makes the receiver a part of the trace: this span, or the caller's where nobody traces here."""
    tracer, span, context = ctx._module.tracer, ctx.span, ctx.context
    if tracer is not None and span is not None:
        return tracer.traceparent(span)
    return f"00-{context.trace_id}-{context.span_id}-0{int(context.sampled is True)}" if context.trace_id else ""

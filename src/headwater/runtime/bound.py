"""A module and its contracts as they run: looked up once at start, called for every message."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from typing import Any

import asyncio

from headwater.errors import (
    ConfigurationError,
    DeadlineExpired,
    DecodeError,
    FieldError,
    HandlerCrashed,
    HandlerError,
    InvalidMessage,
    NotExecuted,
    OutcomeUnknown,
)
from headwater.model.codec import Codec
from headwater.model.context import Context
from headwater.model.contract import Contract, contract_of
from headwater.model.message import Event, Failure, Message
from headwater.model.module import Handler, Module
from headwater.ports import Row, Store
from headwater.runtime.answers import Answers
from headwater.runtime.deadline import bounded
from headwater.runtime.inject import CTX, TX, VIEW, Plan
from headwater.runtime.parts import Parts
from headwater.runtime.scope import DEPTH_MOST, NodeCtx, NodeTx, NodeView
from headwater.runtime.shapes import needs_check, shareable

__all__ = ["BoundModule", "Call", "Endpoint", "EventCodec", "Run", "caller", "command_run", "query_run"]

Run = Callable[[Any, Context], Coroutine[Any, Any, Any]]
Call = Callable[[Any, NodeCtx, "NodeTx | None", "NodeView | None"], Coroutine[Any, Any, Any]]


class EventCodec(Codec):
    """An event's codec; `checked` when a receiver might refuse what the emitter may build."""

    __slots__ = ("checked", "contract")

    def __init__(self, contract: Contract) -> None:
        super().__init__(contract.message, contract.wire_name)
        self.contract = contract
        self.checked = needs_check(contract.message)


class BoundModule:
    """One module on this node: its store, and the endpoints its handlers may reach."""

    def __init__(self, module: Module, store: Store, parts: Parts) -> None:
        self.module = module
        self.name = module.name
        self.uses = frozenset(module.uses)
        self.store = store
        self.clock = parts.clock
        self.ids = parts.ids
        self.bell = parts.bell
        self.points = parts.points
        self.commands: dict[type[Message], Endpoint] = {}
        self.queries: dict[type[Message], Endpoint] = {}
        self.events: dict[type[Event], EventCodec] = {}
        self.readers: dict[tuple[Any, str], Callable[[Row], Any]] = {}
        self._statements = parts.statements

    def learn_event(self, event: Event) -> EventCodec:
        """Return the codec of an event the module may emit. Raises HandlerError for anybody else's."""
        name = type(event).__name__
        if not isinstance(event, Event):
            raise HandlerError(f"tx.emit({name}): only an Event can be emitted; use tx.send for a command")
        contract = contract_of(type(event))
        if contract.module != self.name:
            raise HandlerError(
                f"module {self.name} emits {contract.wire_name}: only module {contract.module} emits its own events"
            )
        codec = self.events[type(event)] = EventCodec(contract)
        return codec

    def statement(self, sql: object, params: Mapping[str, object]) -> tuple[str, Mapping[str, object]]:
        """Turn a query builder's statement into SQL and parameters."""
        if self._statements is None:
            raise HandlerError(f"SQL is text with named parameters, not {type(sql).__name__}")
        text, fixed = self._statements(sql)
        return text, {**fixed, **params}


class Endpoint:
    """One contract that can be called here: deadline, copy, outcome and meter around its handler."""

    __slots__ = (
        "_cell", "_clock", "_copy", "_fails", "_run", "_span", "contract", "failure_codecs", "handler",
        "message_codec", "module", "result_codec", "within",
    )

    def __init__(
        self, contract: Contract, run: Run, parts: Parts, *, handler: Handler | None
    ) -> None:
        self.contract = contract
        self.module = contract.module
        self.handler = handler
        self.within = contract.within
        self.message_codec = Codec(contract.message, contract.wire_name)
        self.result_codec = Codec(contract.result, f"result of {contract.wire_name}")
        self.failure_codecs = {
            f: Codec(f.__failure_fields__, f"{f.__failure_name__} of {contract.wire_name}") for f in contract.fails
        }
        self._fails = contract.fails
        self._run = run
        self._clock = parts.clock
        self._cell = parts.telemetry.cell(contract)
        self._span = parts.telemetry.span if parts.telemetry.tracing else None
        self._copy = parts.encode or not (shareable(contract.message) and shareable(contract.result))

    async def near(self, message: Message, parent: Context, within: float | None) -> Any:
        """Call from another handler of this process: a child context, with a budget that only shrinks."""
        limit = self.within if within is None or within > self.within else within
        now = self._clock.monotonic()
        deadline = now + limit
        if parent.deadline < deadline:
            deadline = parent.deadline
        if parent.depth >= DEPTH_MOST:
            raise HandlerError(f"{self.contract.wire_name}: {DEPTH_MOST} calls under one another; they go in a circle")
        context = Context(
            deadline=deadline, identity=parent.identity, request_id=parent.request_id, trace_id=parent.trace_id,
            span_id=parent.span_id, token=parent.token, depth=parent.depth + 1,
        )
        return await self.invoke(message, context, now)

    async def invoke(self, message: Message, context: Context, now: float) -> Any:
        """Run the handler under the context's deadline; answer, or raise one of the three outcomes."""
        if context.deadline <= now:
            self._cell.record("not_executed", 0.0)
            raise DeadlineExpired(f"{self.contract.wire_name}: the budget was used up before it began")
        copy = self._copy
        if copy:
            message = self._received(message)
        outcome = "value"
        try:
            result = await bounded(self._run(message, context), context.deadline, self._clock, self.contract.wire_name)
            return self.result_codec.unpack(self.result_codec.pack(result)) if copy else result
        except Failure as failure:
            outcome = "failure"
            if type(failure) not in self._fails:
                outcome = "unknown"
                raise HandlerCrashed(
                    f"{self.contract.wire_name} refused with {type(failure).__name__}, which its contract does not "
                    f"declare: catch it, or add it to fails="
                ) from failure
            if copy:
                raise self._carried(failure) from failure
            raise
        except NotExecuted:
            outcome = "not_executed"
            raise
        except OutcomeUnknown:
            outcome = "unknown"
            raise
        except (asyncio.CancelledError, GeneratorExit):
            outcome = "unknown"
            raise
        except ConfigurationError:
            outcome = "unknown"
            raise
        except Exception as error:
            outcome = "unknown"
            raise HandlerCrashed(f"{self.contract.wire_name} crashed: {type(error).__name__}: {error}") from error
        finally:
            seconds = self._clock.monotonic() - now
            self._cell.record(outcome, seconds)  # type: ignore[arg-type]
            if self._span is not None and context.trace_id:
                self._span(self.contract, context, outcome, seconds)  # type: ignore[arg-type]

    def _received(self, message: Message) -> Any:
        try:
            return self.message_codec.unpack(self.message_codec.pack(message))
        except DecodeError as error:
            raise InvalidMessage(self.contract.wire_name, (FieldError("", str(error.__cause__ or error)),)) from None

    def _carried(self, failure: Failure) -> Failure:
        codec = self.failure_codecs[type(failure)]
        data = codec.unpack(codec.pack(failure.__dict__["_data"]))
        return type(failure)(**{name: getattr(data, name) for name in data.__struct_fields__})


def command_run(bound: BoundModule, handler: Handler, plan: Plan, values: tuple[Any, ...], parts: Parts) -> Run:
    """Compile a command: scope, handler, kept answer, commit."""
    call = caller(handler, plan, values, parts)
    contract = handler.contract
    clean = not plan.injected
    answers = Answers(
        contract, bound.store, Codec(contract.message, contract.wire_name),
        Codec(contract.result, f"answer of {contract.wire_name}"),
    )

    async def once(message: Any, context: Context, ctx: NodeCtx, tx: NodeTx) -> Any:
        repeat = answers.repeat(message, context)
        if repeat is None:
            result = await call(message, ctx, tx, None)
            await tx.commit()
            return result
        kept = await answers.find(repeat)
        if kept is not None:
            return kept[0]
        result = await call(message, ctx, tx, None)
        if not await answers.keep(await tx.unit(), repeat, result, bound.clock.wall()):
            await tx.abort()  # the same command ran beside this one and was faster
            kept = await answers.find(repeat)
            if kept is None:
                raise OutcomeUnknown(f"{contract.wire_name}: its kept answer vanished while it was being repeated")
            return kept[0]
        await tx.commit()
        return result

    async def run(message: Any, context: Context) -> Any:
        ctx = NodeCtx(bound, context)
        tx = NodeTx(bound, ctx)
        try:
            return await once(message, context, ctx, tx)
        except NotExecuted as refused:
            await tx.abort()
            if clean and not ctx.acted:
                raise
            raise OutcomeUnknown(
                f"{contract.wire_name}: {refused} - after other parts had been asked to act"
            ) from refused
        except BaseException:
            await tx.abort()
            raise

    async def bare(message: Any, context: Context) -> Any:
        if context.idempotency_key is not None:
            return await run(message, context)
        ctx = NodeCtx(bound, context)
        try:
            return await call(message, ctx, None, None)
        except NotExecuted as refused:
            if clean and not ctx.acted:
                raise
            raise OutcomeUnknown(
                f"{contract.wire_name}: {refused} - after other parts had been asked to act"
            ) from refused

    return run if TX in plan.slots or contract.idempotent is not None else bare


def query_run(bound: BoundModule, handler: Handler, plan: Plan, values: tuple[Any, ...], parts: Parts) -> Run:
    """Compile a query: a view if it takes one, and nothing to commit."""
    call = caller(handler, plan, values, parts)
    if VIEW in plan.slots:

        async def run(message: Any, context: Context) -> Any:
            view = NodeView(bound)
            try:
                return await call(message, NodeCtx(bound, context), None, view)
            finally:
                view.close()

    else:

        async def run(message: Any, context: Context) -> Any:
            return await call(message, NodeCtx(bound, context), None, None)

    return run


def caller(
    handler: Handler, plan: Plan, values: tuple[Any, ...], parts: Parts
) -> Call:
    """Return a function that calls the handler with its parameters in place."""
    function = handler.function
    if plan.sync:
        names = dict(zip(plan.names, values, strict=True))

        def threaded(message: Any, ctx: Any, tx: Any, view: Any) -> Coroutine[Any, Any, Any]:
            return parts.executor.run(lambda: function(message, **names))

        return threaded
    slots = plan.slots
    if not slots:
        return lambda message, ctx, tx, view: function(message)
    if slots == (CTX,):
        name = plan.names[0]
        return lambda message, ctx, tx, view: function(message, **{name: ctx})
    if slots == (TX,):
        name = plan.names[0]
        return lambda message, ctx, tx, view: function(message, **{name: tx})
    if slots == (VIEW,):
        name = plan.names[0]
        return lambda message, ctx, tx, view: function(message, **{name: view})
    named = tuple(zip(plan.names, slots, values, strict=True))

    def general(message: Any, ctx: Any, tx: Any, view: Any) -> Coroutine[Any, Any, Any]:
        return function(  # type: ignore[no-any-return]
            message,
            **{n: ctx if s is CTX else tx if s is TX else view if s is VIEW else v for n, s, v in named},
        )

    return general

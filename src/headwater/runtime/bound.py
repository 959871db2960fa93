"""A module and its contracts as they run: looked up once at start, called for every message."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator, Mapping
from typing import Any

from headwater.errors import (
    ConfigurationError,
    DeadlineExpired,
    DecodeError,
    HandlerCrashed,
    HandlerError,
    InvalidMessage,
    NotExecuted,
    OutcomeUnknown,
)
from headwater.model.codec import Codec, field_error, to_json
from headwater.model.context import Context
from headwater.model.contract import Contract, contract_of
from headwater.model.identity import ANONYMOUS, Identity
from headwater.model.message import Event, Failure, Message
from headwater.model.module import Handler, Module
from headwater.ports import Outcome, Row, Store
from headwater.runtime.answers import Answers, Repeat
from headwater.runtime.deadline import finish
from headwater.runtime.event_codec import EventCodec
from headwater.runtime.frames import STEPS, Steps, Threaded
from headwater.runtime.inject import CTX, TX, VIEW, Plan
from headwater.runtime.parts import Parts
from headwater.runtime.rules import Rules
from headwater.runtime.scope import DEPTH_MOST, NodeCtx, NodeTx, NodeView
from headwater.runtime.shapes import refuse_secrets, shareable
from headwater.runtime.tally import Tally
from headwater.runtime.waiting import Waiting

__all__ = [
    "BoundModule", "Call", "Endpoint", "Run", "Runs", "caller", "command_run", "query_run",
]

Run = Callable[[Any, NodeCtx], Coroutine[Any, Any, Any]]
Runs = tuple[Run, Run]
"""How a contract is run for another handler, and for a request from outside, which may bring a key."""
Call = Callable[[Any, NodeCtx, "NodeTx | None", "NodeView | None"], Coroutine[Any, Any, Any]]


class BoundModule:
    """One module on this node: its store, and the endpoints its handlers may reach.

    writing: the transaction that has the store's write turn, None while no handler has it.
    tallies: of the calls that its handlers make.
    """

    def __init__(self, module: Module, store: Store, parts: Parts) -> None:
        self.module = module
        self.name = module.name
        self.uses = frozenset(module.uses)
        self.store = store
        self.clock = parts.clock
        self.monotonic = parts.clock.monotonic
        self.ids = parts.ids
        self.bell = parts.bell
        self.points = parts.points
        self.tracer = parts.tracer
        self.writing: NodeTx | None = None
        self.commands: dict[type[Message], Endpoint] = {}
        self.queries: dict[type[Message], Endpoint] = {}
        self.tallies: dict[type[Message], Tally] = {}
        self.events: dict[type[Event], EventCodec] = {}
        self.readers: dict[tuple[Any, str], Callable[[Row], Any]] = {}
        self._statements = parts.statements
        self._identity: tuple[Identity, bytes] = (ANONYMOUS, to_json(ANONYMOUS))

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

    def written(self, identity: Identity) -> bytes:
        """Return an identity as events carry it; the last one is remembered, because it is often the same."""
        if identity is not self._identity[0]:
            self._identity = (identity, to_json(identity))
        return self._identity[1]

    def statement(self, sql: object, params: Mapping[str, object]) -> tuple[str, Mapping[str, object]]:
        """Turn a query builder's statement into SQL and parameters."""
        if self._statements is None:
            raise HandlerError(f"SQL is text with named parameters, not {type(sql).__name__}")
        text, fixed = self._statements(sql)
        return text, {**fixed, **params}


class Endpoint:
    """One contract that can be called here: deadline, copy, outcome and meter around its handler."""

    __slots__ = (
        "_begin", "_bound", "_clean", "_clock", "_copy", "_copy_result", "_encode", "_end", "_fails", "_monotonic",
        "_name", "_outer", "_record", "_run", "contract", "failure_codecs", "handler", "message_codec", "module",
        "result_codec", "within",
    )

    def __init__(
        self, contract: Contract, bound: BoundModule, runs: Runs, parts: Parts, *, handler: Handler | None,
        clean: bool = True,
    ) -> None:
        self.contract = contract
        self._name = contract.wire_name
        self.module = contract.module
        self.handler = handler
        self.within = contract.within
        self.message_codec = Codec(contract.message, contract.wire_name)
        self.result_codec = Codec(contract.result, f"result of {contract.wire_name}")
        self.failure_codecs = {
            f: Codec(f.__failure_fields__, f"{f.__failure_name__} of {contract.wire_name}") for f in contract.fails
        }
        refuse_secrets(contract.result, f"the result of {contract.wire_name}")
        for failure in contract.fails:
            refuse_secrets(failure.__failure_fields__, f"{failure.__name__} of {contract.wire_name}")
        self._bound = bound
        self._fails = contract.fails
        self._run, self._outer = runs
        self._clock = parts.clock
        self._monotonic = parts.clock.monotonic
        self._record = parts.telemetry.cell(contract).record
        tracer = parts.tracer
        self._begin = None if tracer is None else tracer.point(
            contract.wire_name, "server", contract.module, slow=contract.slo_p99
        )
        self._end = None if tracer is None else tracer.end
        self._encode = parts.encode
        self._copy = parts.encode or not shareable(contract.message)
        self._copy_result = parts.encode or not shareable(contract.result)
        self._clean = clean or contract.kind == "query"

    @property
    def runs(self) -> Runs:
        """How it is run, without what stands around it."""
        return self._run, self._outer

    @property
    def clean(self) -> bool:
        """Whether NotExecuted from its handler can be believed."""
        return self._clean

    async def invoke(self, message: Message, context: Context) -> Any:
        """Call from outside, under the context's deadline. Ends as `near`."""
        begun = self.near(message, NodeCtx(self._bound, context, context.deadline, -1, ""), None)
        return await begun if isinstance(begun, Waiting) else begun

    def start(self, message: Message, context: Context) -> Any:
        """Call from outside, as far as that goes without waiting: return the answer, or `Waiting`.

        The message must have been read by the contract's own strict rules, so nobody checks it again.
        """
        now = self._monotonic()
        deadline = now + self.within
        until = deadline if deadline < context.deadline else context.deadline  # noqa: FURB136 - min() costs twice as much
        ctx = NodeCtx(self._bound, context, until, 0, self._name)
        if self._begin is not None:
            ctx.span = self._begin(None, context, now, True)
        return self._start(message, ctx, now, self._encode)

    def near(self, message: Any, parent: NodeCtx, within: float | None) -> Any:
        """Call from another handler, with a budget that only shrinks.

        Return the answer or raise one of the three other outcomes, or return `Waiting`, which is to be awaited and
        then does.
        """
        now = self._monotonic()
        deadline = min(now + (self.within if within is None or within > self.within else within), parent.deadline)
        ctx = NodeCtx(self._bound, parent.context, deadline, parent.depth + 1, self._name)
        if self._begin is not None:
            ctx.span = self._begin(parent.span, parent.context, now, parent.depth < 0)
        return self._start(message, ctx, now, self._copy)

    def _start(self, message: Any, ctx: NodeCtx, now: float, copy: bool) -> Any:
        """Step the handler; a generator and a timer are needed only when it waits (see `deadline`)."""
        try:
            if ctx.deadline <= now:
                raise DeadlineExpired(f"{self.contract.wire_name}: the budget was used up before it began")
            if ctx.depth > DEPTH_MOST:
                raise HandlerError(f"{self.contract.wire_name}: {DEPTH_MOST} calls under one another: a circle")
            if copy:
                message = self._received(message)
            ctx.work = self._run(message, ctx) if ctx.depth else self._outer(message, ctx)
            steps = STEPS.pop() if STEPS else Steps()
            waits_for = steps.send(ctx)
            if waits_for is not steps:
                return Waiting(self._rest(steps, waits_for, ctx, now))
            result, steps.value = steps.value, None
            STEPS.append(steps)
            ctx.work = None
            if ctx.view is not None:
                ctx.view.close()
            if self._copy_result:
                result = self._returned(result)
        except BaseException as error:
            told = self._failed(error, ctx, now)
            if told is error:
                raise
            raise told from error
        seconds = self._monotonic() - now  # as `_ended` does
        self._record("value", seconds)
        if ctx.span is not None and self._end is not None:
            self._end(ctx.span, "value", seconds)
        return result

    def _rest(self, steps: Steps, waits_for: Any, ctx: NodeCtx, now: float) -> Generator[Any, Any, Any]:
        try:
            result = yield from finish(steps, waits_for, ctx.deadline, self._clock, self._name)
            if self._copy_result:
                result = self._returned(result)
        except BaseException as error:
            told = self._failed(error, ctx, now)
            if told is error:
                raise
            raise told from error
        self._ended("value", ctx, now)
        return result

    def _failed(self, error: BaseException, ctx: NodeCtx, now: float) -> BaseException:
        outcome, told = self._outcome(error, ctx)
        if ctx.span is not None:
            ctx.span.error = type(error).__name__
        self._ended(outcome, ctx, now)
        return told

    def _ended(self, outcome: Outcome, ctx: NodeCtx, now: float) -> None:
        ctx.work = None
        if ctx.view is not None:
            ctx.view.close()
        seconds = self._monotonic() - now
        self._record(outcome, seconds)
        if ctx.span is not None and self._end is not None:
            self._end(ctx.span, outcome, seconds)

    def _returned(self, result: Any) -> Any:
        return self.result_codec.unpack(self.result_codec.pack(result))

    def _outcome(self, error: BaseException, ctx: NodeCtx) -> tuple[Outcome, BaseException]:
        """Decide which outcome an exception is, and what the caller is told."""
        name = self.contract.wire_name
        if isinstance(error, Failure):
            if type(error) in self._fails:
                return "failure", self._carried(error) if self._encode else error
            return "unknown", HandlerCrashed(
                f"{name} refused with {type(error).__name__}, which its contract does not declare: catch it, or "
                "add it to fails="
            )
        if isinstance(error, NotExecuted):
            if self._clean and not ctx.acted:
                return "not_executed", error
            return "unknown", OutcomeUnknown(f"{name}: {error} - after other parts had been asked to act")
        if isinstance(error, (OutcomeUnknown, ConfigurationError)) or not isinstance(error, Exception):
            return "unknown", error
        return "unknown", HandlerCrashed(f"{name} crashed: {type(error).__name__}: {error}")

    def _received(self, message: Message) -> Any:
        try:
            return self.message_codec.unpack(self.message_codec.pack(message))
        except DecodeError as error:
            raise InvalidMessage(self.contract.wire_name, (field_error(error),)) from None

    def _carried(self, failure: Failure) -> Failure:
        codec = self.failure_codecs[type(failure)]
        data = codec.unpack(codec.pack(failure.__dict__["_data"]))
        return type(failure)(**{name: getattr(data, name) for name in data.__struct_fields__})


def command_run(bound: BoundModule, handler: Handler, plan: Plan, values: tuple[Any, ...], parts: Parts) -> Runs:
    """Compile a command: scope, handler, kept answer, commit."""
    call = caller(handler, plan, values, parts)
    contract = handler.contract
    rules = Rules.of(bound.module)
    answers = Answers(
        contract, bound.store, Codec(contract.message, contract.wire_name),
        Codec(contract.result, f"answer of {contract.wire_name}"),
    )

    async def once(message: Any, ctx: NodeCtx, tx: NodeTx, repeat: Repeat) -> Any:
        kept = await answers.find(repeat)
        if kept is not None:
            return kept[0]
        tx.work = call(message, ctx, tx, None)
        result = await tx.work
        if await answers.keep(await tx.unit(), repeat, result, bound.clock.wall()):
            await tx.commit()
            return result
        await tx.abort()  # the same command ran beside this one and was faster
        return await answers.find_newest(repeat, ctx.deadline)

    async def run(message: Any, ctx: NodeCtx) -> Any:
        tx = NodeTx(bound, ctx, judge=None if rules is None else rules.judge(ctx.identity, hides=False))
        try:
            repeat = answers.repeat(message, ctx)
            if repeat is not None:
                return await once(message, ctx, tx, repeat)
            tx.work = call(message, ctx, tx, None)
            result = await tx.work
            await tx.commit()
        except BaseException:
            await tx.abort()
            raise
        return result

    if TX in plan.slots or contract.idempotent is not None:
        return run, run
    # nothing to commit: the handler's own coroutine is all there is, unless the request brought a key
    bare = _bare(handler, plan, call)
    return bare, lambda message, ctx: (bare if ctx.context.idempotency_key is None else run)(message, ctx)


def query_run(bound: BoundModule, handler: Handler, plan: Plan, values: tuple[Any, ...], parts: Parts) -> Runs:
    """Compile a query: a view if it takes one, and nothing to commit."""
    call = caller(handler, plan, values, parts)
    if VIEW not in plan.slots:
        bare = _bare(handler, plan, call)
        return bare, bare

    rules = Rules.of(bound.module)

    def run(message: Any, ctx: NodeCtx) -> Coroutine[Any, Any, Any]:
        """Give the handler a view; its endpoint closes it."""
        ctx.view = NodeView(bound, ctx, None if rules is None else rules.judge(ctx.identity, hides=True))
        return call(message, ctx, None, ctx.view)

    return run, run


def _bare(handler: Handler, plan: Plan, call: Call) -> Run:
    """Return what runs a handler that has neither transaction nor view: itself, where that fits."""
    if plan.slots == (CTX,) and plan.positional and not plan.sync:
        return handler.function
    if not plan.slots and plan.positional and not plan.sync:
        function = handler.function
        return lambda message, ctx: function(message)
    return lambda message, ctx: call(message, ctx, None, None)


def caller(
    handler: Handler, plan: Plan, values: tuple[Any, ...], parts: Parts
) -> Call:
    """Return a function that calls the handler with its parameters in place."""
    function = handler.function
    if plan.sync:
        names = dict(zip(plan.names, values, strict=True))

        def threaded(message: Any, ctx: Any, tx: Any, view: Any) -> Coroutine[Any, Any, Any]:
            if parts.tracer is not None and ctx.span is not None:
                parts.tracer.traceparent(ctx.span)  # ids are made here, not in the thread
            return parts.executor.run(Threaded(function, message, names, ctx))

        return threaded
    slots = plan.slots
    if plan.positional:
        if not slots:
            return lambda message, ctx, tx, view: function(message)
        if slots == (CTX,):
            return lambda message, ctx, tx, view: function(message, ctx)
        if slots == (TX,):
            return lambda message, ctx, tx, view: function(message, tx)
        if slots == (VIEW,):
            return lambda message, ctx, tx, view: function(message, view)
        if slots == (CTX, TX):
            return lambda message, ctx, tx, view: function(message, ctx, tx)
    named = tuple(zip(plan.names, slots, values, strict=True))

    def general(message: Any, ctx: Any, tx: Any, view: Any) -> Coroutine[Any, Any, Any]:
        return function(  # type: ignore[no-any-return]
            message,
            **{n: ctx if s is CTX else tx if s is TX else view if s is VIEW else v for n, s, v in named},
        )

    return general

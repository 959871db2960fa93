"""Calls between modules: outcomes, deadlines, boundaries, copies."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Annotated

import pytest

from headwater import (
    Command,
    Ctx,
    Failure,
    Meta,
    Module,
    NotExecuted,
    OutcomeUnknown,
    Query,
    Tx,
    Use,
    Value,
    View,
    contract,
)
from headwater.errors import (
    ConfigurationError,
    DeadlineExceeded,
    DeadlineExpired,
    Draining,
    HandlerCrashed,
    IdempotencyConflict,
    InjectionError,
    InvalidMessage,
    Overloaded,
    StoreFull,
    UndeclaredUse,
)
from headwater.model.identity import Identity
from tests.flow.house import call, migrations, rows, running


class TooMuch(Failure, status=409):
    most: int


class Account(Value):
    name: str
    cents: int


@contract("bank.pay_in", v=1, fails=(TooMuch,), idempotent="request_id", within="1s")
class PayIn(Command[Account]):
    request_id: str
    name: str
    cents: Annotated[int, Meta(ge=1)]


@contract("bank.balance", v=1)
class Balance(Query[Account | None]):
    name: str


@contract("desk.serve", v=1, within="2s")
class Serve(Command[int]):
    how: str


def bank(folder: Path) -> Module:
    module = Module("bank", migrations=migrations(folder, "bank", "create table account (name text primary key, cents integer not null);"))

    @module.handle(PayIn)
    async def pay_in(cmd: PayIn, ctx: Ctx, tx: Tx) -> Account:
        if cmd.cents > 1_000:
            raise TooMuch(most=1_000)
        await tx.execute(
            "insert into account values (:name, :cents) on conflict (name) do update set cents = cents + :cents",
            name=cmd.name, cents=cmd.cents,
        )
        if cmd.name == "crash":
            raise ValueError("a bug")
        if cmd.name == "slow":
            await asyncio.sleep(60)
        found = await tx.fetch_one(Account, "select name, cents from account where name = :name", name=cmd.name)
        assert found is not None
        return found

    @module.handle(Balance)
    async def balance(query: Balance, view: View) -> Account | None:
        return await view.fetch_one(Account, "select name, cents from account where name = :name", name=query.name)

    return module


def desk(how: object, *, uses: tuple[str, ...] = ("bank",)) -> Module:
    module = Module("desk", uses=uses)
    module.handle(Serve)(how)  # type: ignore[arg-type]
    return module


async def test_a_command_answers_and_its_write_is_there(tmp_path: Path) -> None:
    """A command's result comes back, and a query sees what it wrote."""
    async with running(tmp_path, bank(tmp_path)) as node:
        assert await call(node, PayIn(request_id="1", name="ada", cents=5)) == Account(name="ada", cents=5)
        assert await call(node, Balance(name="ada")) == Account(name="ada", cents=5)
        assert await call(node, Balance(name="bob")) is None


async def test_a_refusal_is_itself_and_changes_nothing(tmp_path: Path) -> None:
    """A declared failure reaches the caller with its facts; the transaction is rolled back."""
    async with running(tmp_path, bank(tmp_path)) as node:
        with pytest.raises(TooMuch) as refused:
            await call(node, PayIn(request_id="1", name="ada", cents=2_000))
        assert refused.value.most == 1_000
        assert await rows(node, "bank", "select * from account") == []


async def test_a_crash_is_unknown_and_rolled_back(tmp_path: Path) -> None:
    """An undeclared exception is OutcomeUnknown with its cause, and its writes are gone."""
    async with running(tmp_path, bank(tmp_path)) as node:
        with pytest.raises(HandlerCrashed) as crashed:
            await call(node, PayIn(request_id="1", name="crash", cents=5))
        assert isinstance(crashed.value, OutcomeUnknown)
        assert isinstance(crashed.value.__cause__, ValueError)
        assert await rows(node, "bank", "select * from account") == []


async def test_the_deadline_ends_a_handler_that_waits(tmp_path: Path) -> None:
    """A handler that waits past its budget is cancelled and rolled back; others then write at once."""
    async with running(tmp_path, bank(tmp_path)) as node:
        with pytest.raises(DeadlineExceeded):
            await call(node, PayIn(request_id="1", name="slow", cents=5), within=0.05)
        assert await rows(node, "bank", "select * from account") == []
        await call(node, PayIn(request_id="2", name="ada", cents=5))


async def test_a_budget_that_is_used_up_starts_nothing(tmp_path: Path) -> None:
    """A call whose deadline has passed certainly does not run."""
    async with running(tmp_path, bank(tmp_path)) as node:
        with pytest.raises(DeadlineExpired) as expired:
            await call(node, PayIn(request_id="1", name="ada", cents=5), within=-0.001)
        assert isinstance(expired.value, NotExecuted)
        assert await rows(node, "bank", "select * from account") == []


async def test_budgets_only_shrink(tmp_path: Path) -> None:
    """A call further in never has more time than its caller has left."""
    seen: list[float] = []

    async def serve(cmd: Serve, ctx: Ctx) -> int:
        seen.append(ctx.remaining)
        await ctx.ask(Balance(name="x"), within=500.0)
        return 1

    inner = Module("bank")

    @inner.handle(Balance)
    async def balance(query: Balance, ctx: Ctx) -> Account | None:
        seen.append(ctx.remaining)
        return None

    async with running(tmp_path, inner, desk(serve)) as node:
        await call(node, Serve(how=""), within=0.5)
    assert 0 < seen[1] <= seen[0] <= 0.5


async def test_the_same_key_runs_once_and_answers_again(tmp_path: Path) -> None:
    """Repeats of an idempotent command, also at the same moment, take effect once and answer alike."""
    async with running(tmp_path, bank(tmp_path)) as node:
        message = PayIn(request_id="r", name="ada", cents=5)
        answers = await asyncio.gather(*(call(node, message) for _ in range(20)))
        assert set(map(repr, answers)) == {repr(Account(name="ada", cents=5))}
        assert await call(node, Balance(name="ada")) == Account(name="ada", cents=5)


async def test_the_same_key_with_another_body_is_refused(tmp_path: Path) -> None:
    """One key cannot stand for two requests."""
    async with running(tmp_path, bank(tmp_path)) as node:
        await call(node, PayIn(request_id="r", name="ada", cents=5))
        with pytest.raises(IdempotencyConflict):
            await call(node, PayIn(request_id="r", name="ada", cents=6))


async def test_a_key_belongs_to_its_caller(tmp_path: Path) -> None:
    """Another caller with the same key gets an answer of its own, not somebody else's."""
    async with running(tmp_path, bank(tmp_path)) as node:
        for who in ("ada", "bob"):
            await call(node, PayIn(request_id="r", name="joint", cents=5), identity=Identity(subject=who))
        assert await call(node, Balance(name="joint")) == Account(name="joint", cents=10)


async def test_a_call_inside_a_transaction_is_refused(tmp_path: Path) -> None:
    """Nobody can wait for another module while holding the write turn, not even in the monolith."""
    module = Module("desk", uses=["bank"], migrations=migrations(tmp_path, "desk", "create table t (n integer);"))

    @module.handle(Serve)
    async def serve(cmd: Serve, ctx: Ctx, tx: Tx) -> int:
        await tx.execute("insert into t values (1)")
        await ctx.ask(Balance(name="x"))
        return 1

    async with running(tmp_path, bank(tmp_path), module) as node:
        with pytest.raises(HandlerCrashed, match="after tx has begun"):
            await call(node, Serve(how=""))
        assert await rows(node, "desk", "select * from t") == []


async def test_an_undeclared_module_cannot_be_called(tmp_path: Path) -> None:
    """`uses` is enforced when the call is made, and the message says what to add."""

    async def serve(cmd: Serve, ctx: Ctx) -> int:
        await ctx.ask(Balance(name="x"))
        return 1

    async with running(tmp_path, bank(tmp_path), desk(serve, uses=())) as node:
        with pytest.raises(HandlerCrashed) as crashed:
            await call(node, Serve(how=""))
        assert isinstance(crashed.value.__cause__, UndeclaredUse)
        assert "uses=['bank']" in str(crashed.value.__cause__)


async def test_not_executed_is_only_said_when_it_is_true(tmp_path: Path) -> None:
    """After one call has acted, a later NotExecuted of another becomes OutcomeUnknown for the caller."""
    inner = Module("bank")

    @inner.handle(PayIn)
    async def pay_in(cmd: PayIn) -> Account:
        if cmd.name == "full":
            raise StoreFull("no room")
        return Account(name=cmd.name, cents=cmd.cents)

    async def serve(cmd: Serve, ctx: Ctx) -> int:
        if cmd.how == "acted":
            await ctx.call(PayIn(request_id="1", name="ada", cents=1))
        await ctx.call(PayIn(request_id="2", name="full", cents=1))
        return 1

    async with running(tmp_path, inner, desk(serve)) as node:
        with pytest.raises(NotExecuted):
            await call(node, Serve(how="clean"))
        with pytest.raises(OutcomeUnknown) as unknown:
            await call(node, Serve(how="acted"))
        assert not isinstance(unknown.value, NotExecuted)


async def test_constraints_hold_between_modules(tmp_path: Path) -> None:
    """A message that breaks a constraint is refused at the call, also without any encoding asked for."""
    async with running(tmp_path, bank(tmp_path)) as node:
        with pytest.raises(InvalidMessage, match="cents"):
            await call(node, PayIn(request_id="1", name="ada", cents=0))


async def test_a_plain_def_runs_in_a_thread_with_injected_values(tmp_path: Path) -> None:
    """Blocking code may be a handler; it gets what it asks for and does not run on the loop."""


    def price() -> int:
        return 7

    module = Module("desk")

    @module.handle(Serve)
    def serve(cmd: Serve, each: Annotated[int, Use(price)]) -> int:
        return each if threading.current_thread() is not threading.main_thread() else -1

    async with running(tmp_path, module) as node:
        assert await call(node, Serve(how="")) == 7


async def test_providers_are_made_once_and_closed_in_reverse(tmp_path: Path) -> None:
    """A generator provider opens before the first call and cleans up at stop, after those made later."""
    said: list[str] = []

    module = Module("desk")

    def first() -> object:
        said.append("open first")
        yield 1
        said.append("close first")

    async def second(one: Annotated[int, Use(first)]) -> object:
        said.append(f"open second with {one}")
        yield 2
        said.append("close second")

    @module.handle(Serve)
    async def serve(cmd: Serve, two: Annotated[int, Use(second)]) -> int:
        return two

    async with running(tmp_path, module) as node:
        assert [await call(node, Serve(how="")) for _ in range(3)] == [2, 2, 2]
    assert said == ["open first", "open second with 1", "close second", "close first"]


async def test_what_nobody_provides_is_named_at_start(tmp_path: Path) -> None:
    """A handler that asks for something unknown, or in a circle, stops the start and is named."""

    def one(two: object) -> int:
        return 1

    module = Module("desk")

    @module.handle(Serve)
    async def serve(cmd: Serve, n: Annotated[int, Use(one)]) -> int:
        return n

    with pytest.raises(InjectionError, match=r"serve \(desk.serve/1\).*one asks for 'two'"):
        async with running(tmp_path, module):
            pass

    async def bare(cmd: Serve, gateway: str) -> int:
        return 1

    with pytest.raises(InjectionError, match="nobody provides parameter 'gateway'"):
        async with running(tmp_path, desk(bare)):
            pass


def chicken(egg: Annotated[int, Use(lambda: 0)]) -> int:
    return egg


def egg(hen: Annotated[int, Use(chicken)]) -> int:
    return hen


async def test_providers_in_a_circle_are_named_at_start(tmp_path: Path) -> None:
    """The circle is spelled out, and the handler that needs it is named."""
    chicken.__annotations__["egg"] = Annotated[int, Use(egg)]
    module = Module("desk")

    @module.handle(Serve)
    async def serve(cmd: Serve, n: Annotated[int, Use(chicken)]) -> int:
        return n

    with pytest.raises(InjectionError, match="circle: chicken -> egg -> chicken"):
        async with running(tmp_path, module):
            pass


async def test_a_query_cannot_take_a_transaction(tmp_path: Path) -> None:
    """What changes nothing is given nothing to change things with."""
    module = Module("bank")

    @module.handle(Balance)
    async def balance(query: Balance, tx: Tx) -> Account | None:
        return None

    with pytest.raises(ConfigurationError, match="a query cannot take Tx"):
        async with running(tmp_path, module):
            pass


async def test_a_full_node_refuses_early(tmp_path: Path) -> None:
    """More calls than the bound are refused at once as NotExecuted, and the others are not disturbed."""

    async def serve(cmd: Serve, ctx: Ctx) -> int:
        await ctx.sleep(0.05)
        return 1

    async with running(tmp_path, desk(serve), in_flight_most=2) as node:
        got = await asyncio.gather(*(call(node, Serve(how="")) for _ in range(5)), return_exceptions=True)
    assert [r for r in got if r == 1] == [1, 1]
    assert sum(isinstance(r, Overloaded) for r in got) == 3


async def test_stopping_refuses_new_calls_and_finishes_running_ones(tmp_path: Path) -> None:
    """Draining: what runs ends well, what comes is told that it certainly did not run."""
    started = asyncio.Event()

    async def serve(cmd: Serve, ctx: Ctx) -> int:
        started.set()
        await ctx.sleep(0.05)
        return 1

    async with running(tmp_path, desk(serve)) as node:
        running_call = asyncio.create_task(call(node, Serve(how="")))
        await started.wait()
        stopping = asyncio.create_task(node.stop())
        await asyncio.sleep(0)
        with pytest.raises(Draining):
            await call(node, Serve(how=""))
        assert await running_call == 1
        await stopping


async def test_two_applications_live_in_one_process(tmp_path: Path) -> None:
    """Nothing is global: the same module class, twice, over two folders, knows nothing of the other."""
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    async with running(tmp_path / "a", bank(tmp_path)) as one, running(tmp_path / "b", bank(tmp_path)) as two:
        await call(one, PayIn(request_id="1", name="ada", cents=5))
        assert await call(two, Balance(name="ada")) is None

"""Delivery: effects exactly once, order by key, retries, dead letters, takeover, durable sends, rebuilds."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest

from headwater import Command, Ctx, Event, Failure, HeadwaterError, Module, Query, Retry, Tx, View, contract
from headwater.errors import ConfigurationError, StoreCorrupt
from headwater.runtime import operate
from headwater.runtime.node import Node
from headwater.runtime.parts import DeliveryFaults
from tests.flow.house import call, migrations, rows, running

NEVER = 1e18
QUICK = Retry(3, first=0.01, most=0.05)


@contract("mill.grind", v=1)
class Grind(Command[None]):
    key: str
    n: int


@contract("mill.ground", v=1, key="key")
class Ground(Event):
    key: str
    n: int


@contract("mill.ground", v=2, key="key")
class GroundV2(Event):
    key: str
    n: int
    coarse: bool


@contract("mill.grind_coarse", v=1)
class GrindCoarse(Command[None]):
    key: str


class Refused(Failure):
    why: str


@contract("store.note", v=1, fails=(Refused,))
class Note(Command[None]):
    text: str


@contract("store.total", v=1)
class Total(Query[int]):
    pass


def mill(folder: Path) -> Module:
    module = Module("mill", uses=["store"], migrations=migrations(folder, "mill", "create table t (n integer);"))

    @module.handle(Grind)
    async def grind(cmd: Grind, tx: Tx) -> None:
        await tx.emit(Ground(key=cmd.key, n=cmd.n))

    @module.handle(GrindCoarse)
    async def grind_coarse(cmd: GrindCoarse, tx: Tx) -> None:
        await tx.emit(GroundV2(key=cmd.key, n=0, coarse=True))

    return module


SCHEMA = "create table seen (key text, n integer, at integer primary key autoincrement); create table total (n integer); insert into total values (0);"


def store(folder: Path) -> Module:
    return Module("store", migrations=migrations(folder, "store", SCHEMA))


async def seen(node: Node) -> list[tuple[str, int]]:
    return await rows(node, "store", "select key, n from seen order by at")


async def test_every_event_takes_effect_once_in_order_of_its_key(tmp_path: Path) -> None:
    """Events delivered twice and late take effect once, and in commit order for each key."""
    module = store(tmp_path)

    @module.on(Ground)
    async def keep(event: Ground, tx: Tx) -> None:
        await tx.execute("insert into seen (key, n) values (:key, :n)", key=event.key, n=event.n)

    faults = DeliveryFaults(duplicate=0.7, delay=0.003)
    async with running(tmp_path, mill(tmp_path), module, faults=faults) as node:
        for n in range(200):
            await call(node, Grind(key=f"k{n % 7}", n=n))
        await node.settled()
        got = await seen(node)
    assert sorted(n for _, n in got) == list(range(200))
    for key in range(7):
        mine = [n for k, n in got if k == f"k{key}"]
        assert mine == sorted(mine)


async def test_what_is_not_committed_is_not_delivered(tmp_path: Path) -> None:
    """An event of a transaction that rolled back reaches nobody."""
    origin = Module("mill", migrations=migrations(tmp_path, "mill", "create table t (n integer);"))
    got: list[int] = []

    @origin.handle(Grind)
    async def grind(cmd: Grind, tx: Tx) -> None:
        await tx.emit(Ground(key=cmd.key, n=cmd.n))
        if cmd.n == 0:
            raise ValueError("no")

    module = store(tmp_path)

    @module.on(Ground)
    async def keep(event: Ground, tx: Tx) -> None:
        got.append(event.n)

    async with running(tmp_path, origin, module) as node:
        with pytest.raises(HeadwaterError):
            await call(node, Grind(key="a", n=0))
        await call(node, Grind(key="a", n=1))
        await node.settled()
    assert got == [1]


async def test_a_poison_event_holds_up_its_key_only_and_becomes_a_dead_letter(tmp_path: Path) -> None:
    """Other keys flow on, the same key waits, and after the last attempt the rest of the key goes on."""
    attempts: list[int] = []
    module = store(tmp_path)

    @module.on(Ground, retry=QUICK)
    async def keep(event: Ground, tx: Tx) -> None:
        await tx.execute("insert into seen (key, n) values (:key, :n)", key=event.key, n=event.n)
        if event.n == 3:
            attempts.append(event.n)
            raise ValueError("cannot digest 3")

    async with running(tmp_path, mill(tmp_path), module) as node:
        for n in range(10):
            await call(node, Grind(key="bad" if n in (3, 5) else f"good{n % 2}", n=n))
        await node.settled()
        got = await seen(node)
        dead = await operate.dead_letters(node.stores["store"])
    assert sorted(n for _, n in got) == [0, 1, 2, 4, 5, 6, 7, 8, 9]
    # once in its batch, then alone and counted: what counts is the three attempts
    assert [d.attempts for d in dead] == [3]
    assert "cannot digest 3" in dead[0].error
    assert dead[0].record.payload == b'{"key":"bad","n":3}'


async def test_a_dead_letter_is_replayed_with_its_id_and_only_once(tmp_path: Path) -> None:
    """Replaying, twice even, takes effect once; dropping forgets."""
    broken = True
    module = store(tmp_path)

    @module.on(Ground, retry=Retry(1))
    async def keep(event: Ground, tx: Tx) -> None:
        if broken:
            raise ValueError("not yet")
        await tx.execute("insert into seen (key, n) values (:key, :n)", key=event.key, n=event.n)

    async with running(tmp_path, mill(tmp_path), module) as node:
        for n in (1, 2):
            await call(node, Grind(key="a", n=n))
        await node.settled()
        target = node.stores["store"]
        one, two = await operate.dead_letters(target)
        broken = False
        await operate.replay(target, one.id, deadline=NEVER)
        with pytest.raises(HeadwaterError, match="no dead letter"):
            await operate.replay(target, one.id, deadline=NEVER)
        await operate.drop(target, two.id, deadline=NEVER)
        await node.settled()
        assert await seen(node) == [("a", 1)]
        assert await operate.dead_letters(target) == []


async def test_an_unknown_version_is_dead_at_once(tmp_path: Path) -> None:
    """What cannot be decoded is not tried again, and holds nobody up."""
    module = store(tmp_path)

    @module.on(Ground, retry=Retry(50))
    async def keep(event: Ground, tx: Tx) -> None:
        await tx.execute("insert into seen (key, n) values (:key, :n)", key=event.key, n=event.n)

    async with running(tmp_path, mill(tmp_path), module) as node:
        await call(node, GrindCoarse(key="a"))
        await call(node, Grind(key="a", n=1))
        await node.settled()
        assert await seen(node) == [("a", 1)]
        (dead,) = await operate.dead_letters(node.stores["store"])
    assert dead.attempts == 1
    assert "mill.ground/2" in dead.error


async def test_a_new_subscription_starts_where_it_says(tmp_path: Path) -> None:
    """`now` sees what comes, `beginning` sees what was; later starts go on where they were."""
    async with running(tmp_path, mill(tmp_path), store(tmp_path)) as node:
        await call(node, Grind(key="a", n=1))
    got: list[tuple[str, int]] = []

    def subscribed() -> Module:
        module = store(tmp_path)

        @module.on(Ground, name="from_now")
        async def from_now(event: Ground, tx: Tx) -> None:
            got.append(("now", event.n))

        @module.on(Ground, name="from_start", start="beginning")
        async def from_start(event: Ground, tx: Tx) -> None:
            got.append(("start", event.n))

        return module

    for n in (2, 3):
        async with running(tmp_path, mill(tmp_path), subscribed()) as node:
            await call(node, Grind(key="a", n=n))
            await node.settled()
    assert sorted(got) == [("now", 2), ("now", 3), ("start", 1), ("start", 2), ("start", 3)]


async def test_two_workers_share_subscriptions_without_doubling_or_reordering(tmp_path: Path) -> None:
    """Two processes' nodes on the same files: each event once, in order, whoever handles it."""

    def subscribed() -> Module:
        module = store(tmp_path)

        @module.on(Ground, start="beginning")
        async def keep(event: Ground, tx: Tx) -> None:
            await tx.execute("insert into seen (key, n) values (:key, :n)", key=event.key, n=event.n)

        return module

    async with (
        running(tmp_path, mill(tmp_path), subscribed(), slot="0") as one,
        running(tmp_path, mill(tmp_path), subscribed(), slot="1") as two,
    ):
        chance = random.Random(5)
        for n in range(150):
            await call(chance.choice((one, two)), Grind(key=f"k{n % 5}", n=n))
        await one.settled(within=10)
        got = await seen(one)
    assert sorted(n for _, n in got) == list(range(150))
    for key in range(5):
        mine = [n for k, n in got if k == f"k{key}"]
        assert mine == sorted(mine)


async def test_a_holder_that_slept_past_its_lease_cannot_commit(tmp_path: Path) -> None:
    """Fencing: the first holder's late work is refused, and the event has taken effect once."""
    gate, entered = asyncio.Event(), asyncio.Event()

    def subscribed(*, slow: bool) -> Module:
        module = store(tmp_path)

        @module.on(Ground, start="beginning")
        async def keep(event: Ground, ctx: Ctx, tx: Tx) -> None:
            if slow:
                entered.set()
                await gate.wait()
            await tx.execute("insert into seen (key, n) values (:key, :n)", key="slow" if slow else "fast", n=event.n)

        return module

    async with running(tmp_path, mill(tmp_path), subscribed(slow=True), slot="0") as one:
        await call(one, Grind(key="a", n=1))
        await entered.wait()
        # the lease runs out while the holder sleeps
        unit = await one.stores["store"].begin(deadline=NEVER)
        await unit.execute("update hw_lease set expires = 0 where name = 'store.keep'", {})
        await unit.commit()
        async with running(tmp_path, mill(tmp_path), subscribed(slow=False), slot="1") as two:
            await two.settled()
            gate.set()
            await asyncio.sleep(0.1)
            assert await seen(two) == [("fast", 1)]


async def test_an_event_that_kills_the_process_is_given_up_in_the_end(tmp_path: Path) -> None:
    """Attempts are counted before they begin, so also those that nobody comes back from."""

    def subscribed() -> Module:
        module = store(tmp_path)

        @module.on(Ground, start="beginning", retry=Retry(2, first=0.01))
        async def keep(event: Ground, ctx: Ctx, tx: Tx) -> None:
            if event.n == 1:
                died.set()
                await asyncio.Event().wait()
            await tx.execute("insert into seen (key, n) values (:key, :n)", key=event.key, n=event.n)

        return module

    died = asyncio.Event()
    async with running(tmp_path, mill(tmp_path), store(tmp_path)) as node:
        for n in (1, 2):
            await call(node, Grind(key=f"k{n}", n=n))
    for start in range(4):
        from headwater import App
        from tests.flow.house import parts

        died.clear()
        node = Node(App("house", modules=[mill(tmp_path), subscribed()]), parts(tmp_path, run=f"r{start}"))
        await node.start()
        try:
            async with asyncio.timeout(3):
                done, _ = await asyncio.wait(
                    [asyncio.ensure_future(died.wait()), asyncio.ensure_future(node.settled(within=2))],
                    return_when=asyncio.FIRST_COMPLETED,
                )
            if not died.is_set():
                break
        finally:
            node.abandon()
    assert start in (2, 3)
    async with running(tmp_path, mill(tmp_path), subscribed(), run="last") as node:
        await node.settled()
        assert await seen(node) == [("k2", 2)]
        (dead,) = await operate.dead_letters(node.stores["store"])
        assert dead.attempts == 2


async def test_a_delivery_on_its_own_may_speak(tmp_path: Path) -> None:
    """What a handler that waits for others emits and sends is written once.

    It was written twice at first: with the effect and again with the commit, which the store refused.
    """

    @contract("store.echoed", v=1)
    class Echoed(Event):
        n: int

    module = store(tmp_path)
    module.uses = ("store",)

    @module.handle(Note)
    async def note(cmd: Note, tx: Tx) -> None:
        await tx.execute("insert into seen (key, n) values (:key, 0)", key=cmd.text)

    @module.on(Ground)
    async def keep(event: Ground, ctx: Ctx, tx: Tx) -> None:
        await tx.emit(Echoed(n=event.n))
        await tx.send(Note(text=f"sent {event.n}"))

    @module.on(Echoed)
    async def heard(event: Echoed, tx: Tx) -> None:
        await tx.execute("insert into seen (key, n) values ('heard', :n)", n=event.n)

    async with running(tmp_path, mill(tmp_path), module) as node:
        await call(node, Grind(key="a", n=1))
        await node.settled()
        assert sorted(await seen(node)) == [("heard", 1), ("sent 1", 0)]


async def test_lost_source_data_is_noticed_at_start(tmp_path: Path) -> None:
    """A subscriber that has consumed more than its source still has refuses to go on."""

    def subscribed() -> Module:
        module = store(tmp_path)

        @module.on(Ground, start="beginning")
        async def keep(event: Ground, tx: Tx) -> None:
            pass

        return module

    async with running(tmp_path, mill(tmp_path), subscribed()) as node:
        await call(node, Grind(key="a", n=1))
        await node.settled()
    for path in tmp_path.glob("mill.db*"):
        path.unlink()
    with pytest.raises(StoreCorrupt, match="committed data of module mill was lost"):
        async with running(tmp_path, mill(tmp_path), subscribed()):
            pass


async def test_a_log_is_not_looked_through_again_and_again(tmp_path: Path) -> None:
    """A subscription whose events are rare still notes how far it has looked."""
    module = store(tmp_path)

    @module.on(GroundV2, start="beginning")
    async def keep(event: GroundV2, tx: Tx) -> None:
        pass

    origin = Module("mill", migrations=migrations(tmp_path, "mill", "create table t (n integer);"))

    @contract("mill.dust", v=1)
    class Dust(Event):
        pass

    @origin.handle(Grind)
    async def grind(cmd: Grind, tx: Tx) -> None:
        for _ in range(cmd.n):
            await tx.emit(Dust())

    async with running(tmp_path, origin, module) as node:
        await call(node, Grind(key="a", n=1_200))
        for _ in range(100):
            ((position,),) = await rows(node, "store", "select position from hw_cursor")
            if position == 1_200:
                break
            await asyncio.sleep(0.02)
        assert position == 1_200


async def test_an_event_of_a_missing_module_stops_the_start(tmp_path: Path) -> None:
    """A subscription to a module that is not part of the application is a mistake, named."""
    module = store(tmp_path)

    @module.on(Ground)
    async def keep(event: Ground, tx: Tx) -> None:
        pass

    with pytest.raises(ConfigurationError, match="module mill"):
        async with running(tmp_path, module):
            pass


# --- durable sends -------------------------------------------------------------------------------


def sending(folder: Path, *, after: float = 0.0) -> Module:
    module = Module("mill", uses=["store"], migrations=migrations(folder, "mill", "create table t (n integer);"))

    @module.handle(Grind)
    async def grind(cmd: Grind, tx: Tx) -> None:
        await tx.send(Note(text=f"{cmd.key}{cmd.n}"), after=after)
        if cmd.n < 0:
            raise ValueError("rolled back")

    return module


async def test_a_durable_command_runs_if_and_only_if_its_transaction_committed(tmp_path: Path) -> None:
    """`tx.send` joins the commit; the command then runs by itself, once."""
    module = store(tmp_path)

    @module.handle(Note)
    async def note(cmd: Note, tx: Tx) -> None:
        await tx.execute("insert into seen (key, n) values (:key, 0)", key=cmd.text)

    async with running(tmp_path, sending(tmp_path), module) as node:
        await call(node, Grind(key="a", n=1))
        with pytest.raises(HeadwaterError):
            await call(node, Grind(key="a", n=-1))
        await node.settled()
        assert await seen(node) == [("a1", 0)]


async def test_a_durable_command_waits_for_its_time_and_survives_a_restart(tmp_path: Path) -> None:
    """`after=` is honoured over a stop and a start."""
    module = store(tmp_path)

    @module.handle(Note)
    async def note(cmd: Note, tx: Tx) -> None:
        await tx.execute("insert into seen (key, n) values (:key, 0)", key=cmd.text)

    async with running(tmp_path, sending(tmp_path, after=0.3), module) as node:
        await call(node, Grind(key="a", n=1))
        assert await seen(node) == []
    async with running(tmp_path, sending(tmp_path), module) as node:
        assert await seen(node) == []
        await asyncio.sleep(0.5)
        await node.settled()
        assert await seen(node) == [("a1", 0)]


async def test_a_refused_durable_command_is_kept_as_a_dead_letter(tmp_path: Path) -> None:
    """Nobody waits for its answer, so a refusal is shown to people, and can be replayed."""
    stubborn = True
    module = store(tmp_path)

    @module.handle(Note)
    async def note(cmd: Note, tx: Tx) -> None:
        if stubborn:
            raise Refused(why="closed")
        await tx.execute("insert into seen (key, n) values (:key, 0)", key=cmd.text)

    async with running(tmp_path, sending(tmp_path), module) as node:
        await call(node, Grind(key="a", n=1))
        await node.settled()
        (dead,) = await operate.dead_letters(node.stores["mill"])
        assert "closed" in dead.error
        stubborn = False
        await operate.replay(node.stores["mill"], dead.id, deadline=NEVER)
        node.parts.bell.ring("sends:mill")
        await node.settled()
        assert await seen(node) == [("a1", 0)]


# --- read models ---------------------------------------------------------------------------------


def projected(folder: Path, *, factor: int = 1) -> Module:
    module = store(folder)
    total = module.projection("total", tables=["total"])

    @total.on(Ground)
    async def fold(event: Ground, tx: Tx) -> None:
        await tx.execute("update total set n = n + :n", n=event.n * factor)

    @module.handle(Total)
    async def read(query: Total, view: View) -> int:
        return await view.fetch_one(int, "select n from total") or 0

    return module


async def test_a_session_sees_its_own_writes_in_a_read_model(tmp_path: Path) -> None:
    """A query that carries the session's token waits for the projection; also with late deliveries."""
    async with running(tmp_path, mill(tmp_path), projected(tmp_path), faults=DeliveryFaults(delay=0.03)) as node:
        for n in range(1, 20):
            context = node.context()
            await node.dispatch(Grind(key="a", n=1), context)
            assert context.token.keys() == {"mill"}
            assert await node.dispatch(Total(), node.context(token=context.token)) == n


async def test_a_read_model_is_rebuilt_while_events_come_in(tmp_path: Path) -> None:
    """With new code, the whole history is folded again and nothing that comes meanwhile is lost."""
    async with running(tmp_path, mill(tmp_path), projected(tmp_path)) as node:
        for n in range(300):
            await call(node, Grind(key="a", n=1))
        await node.settled()
        assert await call(node, Total()) == 300
    async with running(tmp_path, mill(tmp_path), projected(tmp_path, factor=2)) as node:
        await operate.request_rebuild(node.stores["store"], "store.total", at=0.0, deadline=NEVER)
        node.parts.bell.ring("rebuild:store")
        for n in range(100):
            await call(node, Grind(key="a", n=1))
            await asyncio.sleep(0)
        await node.settled()
        assert await call(node, Total()) == 800


async def test_a_rebuild_that_fails_keeps_the_old_model_and_says_why(tmp_path: Path) -> None:
    """The old rows keep serving."""
    async with running(tmp_path, mill(tmp_path), projected(tmp_path)) as node:
        await call(node, Grind(key="a", n=5))
        await node.settled()
    module = store(tmp_path)
    total = module.projection("total", tables=["total"])

    @total.on(Ground)
    async def fold(event: Ground, tx: Tx) -> None:
        raise ValueError("new bug")

    async with running(tmp_path, mill(tmp_path), module) as node:
        await operate.request_rebuild(node.stores["store"], "store.total", at=0.0, deadline=NEVER)
        node.parts.bell.ring("rebuild:store")
        await node.settled()
        assert await rows(node, "store", "select n from total") == [(5,)]
        ((error,),) = await rows(node, "store", "select error from hw_rebuild")
        assert "new bug" in error


async def test_a_projection_cannot_speak(tmp_path: Path) -> None:
    """A read model may be filled again, so an emit in it is refused."""

    @contract("store.spoke", v=1)
    class Spoke(Event):
        pass

    module = store(tmp_path)
    total = module.projection("total", tables=["total"], retry=Retry(1))

    @total.on(Ground)
    async def fold(event: Ground, tx: Tx) -> None:
        await tx.emit(Spoke())

    async with running(tmp_path, mill(tmp_path), module) as node:
        await call(node, Grind(key="a", n=5))
        await node.settled()
        (dead,) = await operate.dead_letters(node.stores["store"])
        assert "must not speak" in dead.error

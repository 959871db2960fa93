"""What every `Store` promises, as tests: a store's author inherits the kit and overrides one factory.

    class TestMyStore(StoreKit):
        async def new_store(self, folder, *, migrations, waiting_most=10_000):
            return MyStore(...)

Run it with pytest and pytest-asyncio in auto mode.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import ClassVar

import pytest

from headwater.errors import (
    DeadlineExpired,
    HandlerError,
    Overloaded,
    QueryError,
    StoreUnavailable,
    TransactionClosed,
)
from headwater.ports import Row, Store

__all__ = ["RestartKit", "SnapshotKit", "StoreHouse", "StoreKit"]

TABLES = """
create table item (id integer primary key, word text not null unique);
create table held (a blob, b blob, c blob, d blob, e blob);
create table counter (id integer primary key, count integer not null);
insert into counter (id, count) values (1, 0);
"""
INSERT = "insert into item (id, word) values (:id, :word)"
WORDS = "select word from item order by id"


class StoreHouse:
    """Makes stores for a kit. A store inherits the kits whose promises it makes.

    survives_restart: committed rows are there after `close` or `abandon` and a second `open`.
    """

    survives_restart: ClassVar[bool] = True

    async def new_store(self, folder: Path, *, migrations: Path, waiting_most: int = 10_000) -> Store:
        """Return a store, not yet open. The same folder means the same database."""
        raise NotImplementedError

    @asynccontextmanager
    async def opened(self, folder: Path, *, waiting_most: int = 10_000) -> AsyncGenerator[Store]:
        """Run an open store with the kit's tables; closed at the end, harmlessly when it was before."""
        store = await self.new_store(folder, migrations=migrations(folder), waiting_most=waiting_most)
        await store.open()
        try:
            yield store
        finally:
            await store.close()


def migrations(folder: Path) -> Path:
    """Write the kit's tables as a migration."""
    place = folder / "migrations"
    place.mkdir(exist_ok=True)
    first = place / "0001_tables.sql"
    if not first.exists():  # other processes may be reading it
        first.write_text(TABLES)
    return place


def soon(seconds: float = 10.0) -> float:
    """Return a deadline."""
    return time.monotonic() + seconds


async def add(store: Store, number: int, word: str) -> None:
    """Insert a row in a unit of its own."""
    unit = await store.begin(deadline=soon())
    await unit.execute(INSERT, {"id": number, "word": word}, user=True)
    await unit.commit()


async def rows(store: Store, sql: str = WORDS) -> Sequence[Row]:
    """Return rows through a snapshot of its own."""
    snapshot = store.read()
    try:
        return list(await snapshot.fetch(sql, {}, user=True))
    finally:
        snapshot.close()


class StoreKit(StoreHouse):
    """The promises of `headwater.ports.store`."""

    # --- units --------------------------------------------------------------------------------

    async def test_what_is_committed_is_read(self, tmp_path: Path) -> None:
        """After `commit` returns, a new snapshot has the row."""
        async with self.opened(tmp_path) as store:
            await add(store, 1, "one")
            assert await rows(store) == [("one",)]

    async def test_a_unit_sees_its_own_writes(self, tmp_path: Path) -> None:
        """Reads inside a unit include what it wrote; after `rollback` nothing of it is left."""
        async with self.opened(tmp_path) as store:
            unit = await store.begin(deadline=soon())
            assert await unit.execute(INSERT, {"id": 1, "word": "one"}, user=True) == 1
            assert list(await unit.fetch(WORDS, {}, user=True)) == [("one",)]
            await unit.rollback()
            assert await rows(store) == []

    async def test_a_failed_unit_leaves_its_neighbours_alone(self, tmp_path: Path) -> None:
        """Of units that are ready together, those that roll back or fail take nothing of the others with them."""
        async with self.opened(tmp_path) as store:

            async def work(number: int) -> None:
                unit = await store.begin(deadline=soon())
                await unit.execute(INSERT, {"id": number, "word": f"w{number}"}, user=True)
                if number % 3 == 1:
                    await unit.rollback()
                elif number % 3 == 2:
                    with pytest.raises(QueryError):
                        await unit.execute("insert into missing values (1)", {}, user=True)
                    await unit.rollback()
                else:
                    await unit.commit()

            await asyncio.gather(*(work(number) for number in range(12)))
            assert await rows(store) == [("w0",), ("w3",), ("w6",), ("w9",)]

    async def test_a_failed_statement_does_nothing_and_the_unit_goes_on(self, tmp_path: Path) -> None:
        """A broken constraint undoes its whole statement, and only that."""
        async with self.opened(tmp_path) as store:
            unit = await store.begin(deadline=soon())
            await unit.execute(INSERT, {"id": 1, "word": "one"}, user=True)
            with pytest.raises(QueryError):
                await unit.execute("insert into item (id, word) values (2, 'two'), (3, 'one')", {}, user=True)
            await unit.execute(INSERT, {"id": 4, "word": "four"}, user=True)
            await unit.commit()
            assert await rows(store) == [("one",), ("four",)]

    async def test_units_run_one_after_another(self, tmp_path: Path) -> None:
        """Read, then write what was read plus one: no update is lost."""
        async with self.opened(tmp_path) as store:

            async def increment() -> None:
                unit = await store.begin(deadline=soon())
                ((count,),) = await unit.fetch("select count from counter", {}, user=True)
                await unit.execute("update counter set count = :count", {"count": count + 1}, user=True)
                await unit.commit()

            await asyncio.gather(*(increment() for _ in range(50)))
            assert await rows(store, "select count from counter") == [(50,)]

    async def test_an_ended_unit_is_closed(self, tmp_path: Path) -> None:
        """After its end a unit raises TransactionClosed; a second `rollback` is harmless."""
        async with self.opened(tmp_path) as store:
            unit = await store.begin(deadline=soon())
            await unit.commit()
            with pytest.raises(TransactionClosed):
                await unit.execute(INSERT, {"id": 1, "word": "one"}, user=True)
            with pytest.raises(TransactionClosed):
                await unit.commit()
            await unit.rollback()

    async def test_values_come_back_as_they_went(self, tmp_path: Path) -> None:
        """None, int, float, str and bytes keep kind and value."""
        values = {"a": None, "b": -(2**63), "c": 0.1, "d": "ä\N{SNOWMAN}'\"", "e": b"\x00\xff"}
        async with self.opened(tmp_path) as store:
            unit = await store.begin(deadline=soon())
            await unit.execute("insert into held (a, b, c, d, e) values (:a, :b, :c, :d, :e)", values, user=True)
            await unit.commit()
            assert await rows(store, "select a, b, c, d, e from held") == [tuple(values.values())]

    # --- what SQL may do ----------------------------------------------------------------------

    @pytest.mark.parametrize(
        "sql", ["commit", "rollback", "begin", "savepoint mine", "drop table item", "select 1; select 2"]
    )
    async def test_a_module_cannot_end_its_transaction_or_change_the_schema(self, tmp_path: Path, sql: str) -> None:
        """User statements that are not about rows are refused, and the unit goes on."""
        async with self.opened(tmp_path) as store:
            await add(store, 1, "one")
            unit = await store.begin(deadline=soon())
            await unit.execute(INSERT, {"id": 2, "word": "two"}, user=True)
            with pytest.raises(HandlerError):
                await unit.execute(sql, {}, user=True)
            await unit.rollback()
            assert await rows(store) == [("one",)]

    async def test_parameters_are_named_and_complete(self, tmp_path: Path) -> None:
        """A missing, a superfluous and a positional parameter are QueryErrors."""
        async with self.opened(tmp_path) as store:
            unit = await store.begin(deadline=soon())
            for sql, params in (
                (INSERT, {"id": 1}),
                (INSERT, {"id": 1, "word": "one", "more": 1}),
                ("insert into item (id, word) values (?, ?)", {}),
            ):
                with pytest.raises(QueryError):
                    await unit.execute(sql, params, user=True)
            await unit.rollback()

    async def test_rows_are_bounded(self, tmp_path: Path) -> None:
        """As many rows as allowed are answered; one more is a QueryError, and the connection stays of use."""
        async with self.opened(tmp_path) as store:
            for number in range(3):
                await add(store, number, f"w{number}")
            snapshot = store.read()
            assert len(await snapshot.fetch(WORDS, {}, user=True, most=3)) == 3
            with pytest.raises(QueryError):
                await snapshot.fetch(WORDS, {}, user=True, most=2)
            assert len(await snapshot.fetch(WORDS, {}, user=True)) == 3
            snapshot.close()

    async def test_columns_are_named(self, tmp_path: Path) -> None:
        """`columns` says what a statement answers with."""
        async with self.opened(tmp_path) as store:
            snapshot = store.read()
            assert await snapshot.columns("select id, word as text from item", user=True) == ("id", "text")
            snapshot.close()

    # --- waiting for the turn -----------------------------------------------------------------

    async def test_the_turn_comes_in_order_of_arrival(self, tmp_path: Path) -> None:
        """Who came first writes first."""
        async with self.opened(tmp_path) as store:
            order: list[int] = []

            async def work(number: int) -> None:
                unit = await store.begin(deadline=soon())
                order.append(number)
                await unit.commit()

            await asyncio.gather(*(work(number) for number in range(20)))
            assert order == list(range(20))

    async def test_a_deadline_ends_the_wait(self, tmp_path: Path) -> None:
        """A waiter whose budget ends gets DeadlineExpired; the queue goes on without it."""
        async with self.opened(tmp_path) as store:
            unit = await store.begin(deadline=soon())
            with pytest.raises(DeadlineExpired):
                await store.begin(deadline=soon(0.02))
            await unit.commit()
            await add(store, 1, "one")

    async def test_cancelling_leaves_the_queue(self, tmp_path: Path) -> None:
        """A cancelled waiter, granted the turn already or not, keeps nobody waiting."""
        async with self.opened(tmp_path) as store:
            unit = await store.begin(deadline=soon())
            waiters = [asyncio.create_task(add(store, number, f"w{number}")) for number in range(3)]
            await asyncio.sleep(0)
            waiters[1].cancel()
            commit = asyncio.ensure_future(unit.commit())
            await asyncio.sleep(0)
            waiters[0].cancel()  # the turn has been granted to it, and it has not run yet
            await asyncio.gather(commit, *waiters, return_exceptions=True)
            assert await rows(store) == [("w2",)]

    async def test_waiting_is_bounded(self, tmp_path: Path) -> None:
        """When as many wait as may, the next one is refused at once."""
        async with self.opened(tmp_path, waiting_most=2) as store:
            unit = await store.begin(deadline=soon())
            waiters = [asyncio.create_task(add(store, number, f"w{number}")) for number in range(2)]
            await asyncio.sleep(0)
            with pytest.raises(Overloaded):
                await store.begin(deadline=soon())
            await unit.commit()
            await asyncio.gather(*waiters)

    async def test_cancelling_the_wait_does_not_undo_the_commit(self, tmp_path: Path) -> None:
        """Once `commit` was asked for, cancelling the caller changes nothing."""
        async with self.opened(tmp_path) as store:
            unit = await store.begin(deadline=soon())
            await unit.execute(INSERT, {"id": 1, "word": "one"}, user=True)
            commit = asyncio.ensure_future(unit.commit())
            await asyncio.sleep(0)
            commit.cancel()
            await asyncio.gather(commit, return_exceptions=True)
            await add(store, 2, "two")
            assert await rows(store) == [("one",), ("two",)]

    # --- snapshots ----------------------------------------------------------------------------

    async def test_a_snapshot_cannot_write(self, tmp_path: Path) -> None:
        """A statement that would write is a QueryError."""
        async with self.opened(tmp_path) as store:
            snapshot = store.read()
            with pytest.raises(QueryError):
                await snapshot.fetch(INSERT, {"id": 1, "word": "one"}, user=True)
            snapshot.close()
            assert await rows(store) == []

    async def test_many_snapshots_at_once(self, tmp_path: Path) -> None:
        """More snapshots than there are connections: all are answered in the end, also two fetches of one."""
        async with self.opened(tmp_path) as store:
            await add(store, 1, "one")

            async def look() -> int:
                snapshot = store.read()
                try:
                    found = await asyncio.gather(*(snapshot.fetch(WORDS, {}, user=True) for _ in range(2)))
                    await asyncio.sleep(0)
                    return sum(map(len, found))
                finally:
                    snapshot.close()

            assert await asyncio.gather(*(look() for _ in range(200))) == [2] * 200

    # --- the store's life ---------------------------------------------------------------------

    async def test_a_closed_store_is_unavailable(self, tmp_path: Path) -> None:
        """Before `open` and after `close`, `begin` and `read` raise StoreUnavailable."""
        store = await self.new_store(tmp_path, migrations=migrations(tmp_path))
        for _ in range(2):
            with pytest.raises(StoreUnavailable):
                await store.begin(deadline=soon())
            with pytest.raises(StoreUnavailable):
                await store.read().fetch(WORDS, {}, user=True)
            await store.open()
            await store.close()


class SnapshotKit(StoreHouse):
    """For stores whose snapshots hold beside a writer. A store in memory may be weaker, and says so."""

    async def test_a_snapshot_sees_one_moment(self, tmp_path: Path) -> None:
        """From its first fetch to its end a snapshot does not move, and sees nothing uncommitted."""
        async with self.opened(tmp_path) as store:
            await add(store, 1, "one")
            snapshot = store.read()
            assert list(await snapshot.fetch(WORDS, {}, user=True)) == [("one",)]
            unit = await store.begin(deadline=soon())
            await unit.execute(INSERT, {"id": 2, "word": "two"}, user=True)
            assert await rows(store) == [("one",)]
            await unit.commit()
            assert list(await snapshot.fetch(WORDS, {}, user=True)) == [("one",)]
            snapshot.close()
            snapshot.close()
            assert await rows(store) == [("one",), ("two",)]

    async def test_a_shared_snapshot_has_what_was_committed_before_it(self, tmp_path: Path) -> None:
        """Also in the turn of the loop in which others have begun; and none of them moves, or ends with another."""
        async with self.opened(tmp_path) as store:
            await add(store, 1, "one")
            first, second = store.read(shared=True), store.read(shared=True)
            assert list(await first.fetch(WORDS, {}, user=True)) == [("one",)]
            assert list(await second.fetch(WORDS, {}, user=True)) == [("one",)]
            await add(store, 2, "two")
            third = store.read(shared=True)
            assert list(await third.fetch(WORDS, {}, user=True)) == [("one",), ("two",)]
            first.close()
            assert list(await second.fetch(WORDS, {}, user=True)) == [("one",)]
            await asyncio.sleep(0.01)
            assert list(await second.fetch(WORDS, {}, user=True)) == [("one",)]
            second.close()
            assert list(await third.fetch(WORDS, {}, user=True)) == [("one",), ("two",)]
            third.close()

    async def test_shared_snapshots_around_commits_never_go_back(self, tmp_path: Path) -> None:
        """Readers and writers in every order: who begins after an acknowledged commit sees it."""
        async with self.opened(tmp_path) as store:
            acknowledged = 0

            async def write(number: int) -> None:
                nonlocal acknowledged
                await add(store, number, f"w{number}")
                acknowledged += 1

            async def look() -> None:
                for _ in range(40):
                    least = acknowledged
                    snapshot = store.read(shared=True)
                    seen = len(await snapshot.fetch(WORDS, {}, user=True))
                    await asyncio.sleep(0)
                    assert len(await snapshot.fetch(WORDS, {}, user=True)) == seen >= least
                    snapshot.close()

            await asyncio.gather(*(write(n) for n in range(100)), *(look() for _ in range(20)))


class RestartKit(StoreHouse):
    """For stores that are still there when every opener has gone."""

    async def test_committed_rows_survive_a_restart(self, tmp_path: Path) -> None:
        """After `close` and a second `open` everything committed is there."""
        async with self.opened(tmp_path) as store:
            await asyncio.gather(*(add(store, number, f"w{number}") for number in range(20)))
        async with self.opened(tmp_path) as store:
            assert len(await rows(store)) == 20

    async def test_abandon_loses_exactly_the_uncommitted(self, tmp_path: Path) -> None:
        """After `abandon`, as after a crash, acknowledged units are there and the open one is not."""
        async with self.opened(tmp_path) as store:
            await add(store, 1, "one")
            unit = await store.begin(deadline=soon())
            await unit.execute(INSERT, {"id": 2, "word": "two"}, user=True)
            store.abandon()
        async with self.opened(tmp_path) as store:
            assert await rows(store) == [("one",)]

    async def test_closing_finishes_what_is_ready(self, tmp_path: Path) -> None:
        """`close` commits units that asked for it, rolls back the open one and refuses who waits."""
        async with self.opened(tmp_path) as store:
            ready = asyncio.create_task(add(store, 1, "one"))
            await asyncio.sleep(0)
            unit = await store.begin(deadline=soon())
            await unit.execute(INSERT, {"id": 2, "word": "two"}, user=True)
            waiting = asyncio.create_task(add(store, 3, "three"))
            await asyncio.sleep(0)
            await store.close()
            await ready
            with pytest.raises(StoreUnavailable):
                await waiting
            with pytest.raises((TransactionClosed, StoreUnavailable)):
                await unit.execute(INSERT, {"id": 4, "word": "four"}, user=True)
        async with self.opened(tmp_path) as store:
            assert await rows(store) == [("one",)]

    async def test_two_openers_at_once(self, tmp_path: Path) -> None:
        """Two stores of one database open together, migrate once, and both see every commit."""
        async with self.opened(tmp_path) as one, self.opened(tmp_path) as two:
            await asyncio.gather(*(add(store, n, f"w{n}") for n, store in enumerate([one, two] * 10)))
            assert len(await rows(one)) == len(await rows(two)) == 20
            assert await rows(two, "select count from counter") == [(0,)]

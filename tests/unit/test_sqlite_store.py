"""The embedded store's own rules: whose SQL may do what, whose file it is, and who learns of a lost transaction."""

from __future__ import annotations

import asyncio
import re
import shutil
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import apsw
import pytest

from headwater.adapters.sqlite import SqliteStore, _connection, _reader, _wal
from headwater.adapters.system import SystemClock, ThreadExecutor
from headwater.errors import (
    ForeignTable,
    HandlerError,
    MigrationError,
    NotExecuted,
    Overloaded,
    QueryError,
    StoreCorrupt,
    StoreForeign,
    StoreUnavailable,
    TransactionClosed,
)
from headwater.ports import CrashPoints
from headwater.testing.store_kit import INSERT, WORDS, add, migrations, rows, soon


def make(folder: Path, **options: Any) -> SqliteStore:
    """Return a store of the kit's tables."""
    settings: dict[str, Any] = {
        "app": "kit", "module": "kit", "migrations": migrations(folder), "framework_schema": (),
        "clock": SystemClock(), "executor": ThreadExecutor(threads=2), "points": CrashPoints(),
    }
    return SqliteStore(folder / "kit.db", **{**settings, **options})


@asynccontextmanager
async def opened(folder: Path, **options: Any) -> AsyncIterator[SqliteStore]:
    """Run a store."""
    store = make(folder, **options)
    await store.open()
    try:
        yield store
    finally:
        await store.close()


async def crashed(folder: Path, **options: Any) -> Path:
    """Return a folder whose database is as a crash left it: three commits in the log, none in the file."""
    (folder / "live").mkdir()
    async with opened(folder / "live", **options) as store:
        for number in range(3):
            await add(store, number, f"w{number}")
        return Path(shutil.copytree(folder / "live", folder / "crashed"))


# --- whose SQL ---------------------------------------------------------------------------------


@pytest.mark.plants
async def test_nothing_the_framework_runs_can_be_run_by_a_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every text that went through `Connection.run` and `control`, word for word, is refused to a module afterwards.

    The statement cache used to hand out the framework's prepared COMMIT, and nobody asked the authorizer.
    """
    texts: dict[str, None] = {}
    for name in ("run", "control"):

        def noting(self: _connection.Connection, sql: str, *params: Any, real: Any = getattr(_connection.Connection, name)) -> Any:
            texts[sql] = None
            return real(self, sql, *params)

        monkeypatch.setattr(_connection.Connection, name, noting)
    async with opened(tmp_path) as store:
        await add(store, 1, "one")
        assert await rows(store) == [("one",)]
        unit = await store.begin(deadline=soon())
        await unit.rollback()
        harmless = {sql for sql in texts if sql.startswith("select name from sqlite_master")}
        assert {"begin", "begin immediate", "commit", "savepoint hw_unit", "rollback to hw_unit"} <= texts.keys()
        for sql in [*texts, "rollback", "release hw_unit"]:
            if sql in harmless:
                continue
            unit = await store.begin(deadline=soon())
            await unit.execute(INSERT, {"id": 2, "word": "two"}, user=True)
            params = dict.fromkeys(re.findall(r":(\w+)", sql), 1)
            with pytest.raises(HandlerError):
                await unit.execute(sql, params, user=True)
            await unit.rollback()
            snapshot = store.read()
            await snapshot.fetch(WORDS, {}, user=True)
            with pytest.raises(HandlerError):
                await snapshot.fetch(sql, params, user=True)
            snapshot.close()
        assert await rows(store) == [("one",)]


@pytest.mark.parametrize(
    "sql",
    [
        "insert or rollback into item (id, word) values (1, 'x')", "INSERT /* - */ OR\nFAIL INTO item (word) VALUES ('x')",
        "update or rollback item set word = 'x'", "update sqlite_sequence set seq = 0", "delete from sqlite_sequence",
        "insert into sqlite_sequence values ('hw_x', 1)", "select * from hw_log", 'select * from "hw_log"',
        "pragma writable_schema = 1", "attach 'x.db' as x", "vacuum", "analyze", "select load_extension('x')",
    ],
)
async def test_what_a_module_may_not_do(tmp_path: Path, sql: str) -> None:
    """Nothing that reaches over its own rows: other units, other tables, other files."""
    async with opened(tmp_path) as store:
        await add(store, 1, "one")
        unit = await store.begin(deadline=soon())
        with pytest.raises(HandlerError):
            await unit.execute(sql, {}, user=True)
        await unit.commit()
        assert await rows(store) == [("one",)]


async def test_text_is_not_sql(tmp_path: Path) -> None:
    """A string or a comment may speak of the framework's tables, and of rolling back."""
    async with opened(tmp_path) as store:
        unit = await store.begin(deadline=soon())
        await unit.execute("insert into item (id, word) values (1, 'hw_x') -- not hw_log", {}, user=True)
        await unit.execute("insert into item values (2, 'it''s insert or rollback')", {}, user=True)
        await unit.commit()
        assert await rows(store) == [("hw_x",), ("it's insert or rollback",)]


@pytest.mark.parametrize(
    "sql",
    [
        "create trigger t before insert on item begin select raise(rollback, 'no'); end;",
        "create table t (a unique on conflict fail);", "update sqlite_sequence set seq = 1;", "commit;", "commit",
        "pragma writable_schema = 1;", "create table hw_mine (a);", "delete from hw_log;",
    ],
)
async def test_what_a_migration_may_not_do(tmp_path: Path, sql: str) -> None:
    """Such a migration is refused, and the database stays as it was."""
    async with opened(tmp_path):
        pass
    path = migrations(tmp_path) / "0002_bad.sql"
    path.write_text(sql)
    with pytest.raises(MigrationError):
        await make(tmp_path).open()
    path.unlink()
    async with opened(tmp_path) as store:
        assert await store.tables() == ["counter", "held", "item"]


async def test_what_a_migration_may_do(tmp_path: Path) -> None:
    """ALTER, DROP and RENAME of tables that count, with the bookkeeping SQLite does for them."""
    (migrations(tmp_path) / "0002_more.sql").write_text(
        "create table a (id integer primary key autoincrement, b text default 'x; hw_');\n"
        "insert into a (b) values ('one');\nalter table a add column c integer not null default 0 check (c >= 0);\n"
        "alter table a rename to d;\nalter table d rename column b to e;\nalter table d drop column c;\n"
        "create table gone (id integer primary key autoincrement);\ninsert into gone default values;\ndrop table gone;\n"
        "create index d_e on d (e);\nanalyze;\n"
    )
    async with opened(tmp_path) as store:
        assert await rows(store, "select id, e from d") == [(1, "one")]


# --- a lost transaction ------------------------------------------------------------------------


async def test_neighbours_of_a_lost_transaction_learn_that_nothing_ran(tmp_path: Path) -> None:
    """When SQLite gives up the whole transaction, units that were done before get NotExecuted; then writing goes on."""
    async with opened(tmp_path) as store:
        neighbour = asyncio.create_task(add(store, 1, "one"))
        await asyncio.sleep(0)
        unit = await store.begin(deadline=soon())
        with pytest.raises(QueryError):
            await unit.execute("insert or rollback into item values (1, 'again')", {})
        with pytest.raises(StoreUnavailable):
            await unit.execute(INSERT, {"id": 2, "word": "two"}, user=True)
        with pytest.raises(StoreUnavailable):
            await unit.commit()
        with pytest.raises(StoreUnavailable):
            await neighbour
        await add(store, 3, "three")
        assert await rows(store) == [("three",)]


@pytest.mark.plants
async def test_a_rollback_that_fails_does_not_wedge_the_writer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When a savepoint cannot be rolled back, the transaction is: neighbours are told, and the next unit writes."""
    async with opened(tmp_path) as store:
        control = _connection.Connection.control
        broken = True

        def failing(self: _connection.Connection, sql: str) -> None:
            if broken and sql == "rollback to hw_unit":
                raise QueryError("injected")
            control(self, sql)

        monkeypatch.setattr(_connection.Connection, "control", failing)
        for following in (True, False):
            neighbour = asyncio.create_task(add(store, 1, "one"))
            await asyncio.sleep(0)
            unit = await store.begin(deadline=soon())
            await unit.execute(INSERT, {"id": 2, "word": "two"}, user=True)
            broken = True
            await unit.rollback()
            broken = False
            if following:  # before the batch ends by itself
                await add(store, 3, "three")
            with pytest.raises(NotExecuted):
                await neighbour
        await add(store, 4, "four")
        assert await rows(store) == [("three",), ("four",)]


async def test_an_abandoned_store_stays_shut(tmp_path: Path) -> None:
    """What was ready when the store was abandoned is not committed by a callback that comes late."""
    store = make(tmp_path)
    await store.open()
    ready = asyncio.create_task(add(store, 1, "one"))
    unit = await store.begin(deadline=soon())
    store.abandon()
    await asyncio.sleep(0)
    await unit.rollback()
    ready.cancel()
    async with opened(tmp_path) as again:
        assert await rows(again) == []


# --- readers -----------------------------------------------------------------------------------

LONG = "with recursive n (i) as (select 1 union all select i + 1 from n where i < :to) select count(*) from n"


async def test_a_long_read_goes_aside_and_comes_back(tmp_path: Path) -> None:
    """The loop goes on during a long read, the snapshot can be used afterwards, and two fetches take turns."""
    async with opened(tmp_path) as store:
        snapshot = store.read()
        long = asyncio.create_task(snapshot.fetch(LONG, {"to": 300_000}, user=True))
        turns = 0
        while not long.done():
            turns += 1
            await asyncio.sleep(0.001)
            if turns == 2:
                assert list(await snapshot.fetch(WORDS, {}, user=True)) == []
        assert turns > 1
        assert (await long)[0] == (300_000,)
        with pytest.raises(QueryError):
            await snapshot.fetch(LONG.replace("count(*)", "i"), {"to": 100_000}, user=True)
        assert list(await snapshot.fetch(WORDS, {}, user=True)) == []
        snapshot.close()


async def test_a_long_read_does_not_break_those_who_share_its_snapshot(tmp_path: Path) -> None:
    """They wait while a thread uses the connection; cancelling the read ends the thread's work and nobody else's."""
    async with opened(tmp_path) as store:
        one, two = store.read(shared=True), store.read(shared=True)
        assert list(await one.fetch(WORDS, {}, user=True)) == list(await two.fetch(WORDS, {}, user=True)) == []
        assert store.load().reading == 1
        long = asyncio.create_task(one.fetch(LONG, {"to": 10**12}, user=True))
        await asyncio.sleep(0.01)
        await add(store, 1, "one")
        other = asyncio.create_task(two.fetch(WORDS, {}, user=True))
        await asyncio.sleep(0.01)
        assert not other.done()
        long.cancel()
        assert list(await asyncio.wait_for(other, 5)) == []
        two.close()
        with pytest.raises(TransactionClosed):
            await one.fetch(WORDS, {}, user=True)
        await asyncio.sleep(0.01)
        assert store.load().reading == 0
        again, short = store.read(shared=True), store.read(shared=True)
        running = asyncio.create_task(again.fetch(LONG, {"to": 300_000}, user=True))
        await asyncio.sleep(0)
        assert list(await short.fetch(WORDS, {}, user=True)) == [("one",)]  # what is known to be long shares with nobody
        assert not running.done()
        await running
        again.close()
        short.close()


async def test_who_begins_together_shares_one_transaction(tmp_path: Path) -> None:
    """One connection for all that begin in one turn; the next turn has its own, though the first is still used."""
    async with opened(tmp_path) as store:
        many = [store.read(shared=True) for _ in range(50)]
        for snapshot in many:
            await snapshot.fetch(WORDS, {}, user=True)
        assert store.load().reading == 1
        await asyncio.sleep(0.01)
        later = store.read(shared=True)
        await later.fetch(WORDS, {}, user=True)
        assert store.load().reading == 2
        for snapshot in (*many, later):
            snapshot.close()
        await asyncio.sleep(0.01)
        assert store.load().reading == 0


async def test_a_full_executor_leaves_the_snapshot_usable(tmp_path: Path) -> None:
    """A long read that is refused for want of a thread does not spoil its connection."""

    class Full:
        async def run(self, work: object) -> Any:
            raise Overloaded("no thread")

    async with opened(tmp_path, executor=Full()) as store:
        for _ in range(3):
            snapshot = store.read()
            with pytest.raises(Overloaded):
                await snapshot.fetch(LONG, {"to": 300_000}, user=True)
            assert list(await snapshot.fetch(WORDS, {}, user=True)) == []
            snapshot.close()


async def test_a_forgotten_connection_is_replaced_for_who_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cancelled long read gives its place to the next reader; waiting is bounded, and ends with the store."""
    monkeypatch.setattr(_reader, "READERS_MOST", 1)
    monkeypatch.setattr(_reader, "WAITING_MOST", 1)
    async with opened(tmp_path) as store:
        snapshot = store.read()
        long = asyncio.create_task(snapshot.fetch(LONG, {"to": 10**12}, user=True))
        await asyncio.sleep(0.01)
        waiting = asyncio.create_task(rows(store))
        await asyncio.sleep(0)
        with pytest.raises(Overloaded):
            await rows(store)
        long.cancel()
        assert await asyncio.wait_for(waiting, 5) == []
        snapshot.close()
        holder = store.read()
        await holder.fetch(WORDS, {}, user=True)
        waiting = asyncio.create_task(rows(store))
        await asyncio.sleep(0)
        await store.close()
        with pytest.raises(StoreUnavailable):
            await asyncio.wait_for(waiting, 5)
        holder.close()


# --- whose file --------------------------------------------------------------------------------


@pytest.mark.parametrize("wal", [False, True])
async def test_another_programs_database_is_foreign(tmp_path: Path, wal: bool) -> None:
    """An ordinary SQLite file is refused as foreign, and not touched."""
    with sqlite3.connect(tmp_path / "kit.db") as db:
        db.execute(f"pragma journal_mode = {'wal' if wal else 'delete'}")
        db.execute("create table theirs (a)")
    db.close()
    before = (tmp_path / "kit.db").read_bytes()
    with pytest.raises(StoreForeign):
        await make(tmp_path).open()
    assert (tmp_path / "kit.db").read_bytes() == before


@pytest.mark.parametrize("options", [{"app": "other"}, {"module": "other"}])
async def test_another_modules_database_is_foreign(tmp_path: Path, options: dict[str, str]) -> None:
    """The application and the module are written in the file."""
    async with opened(tmp_path):
        pass
    with pytest.raises(StoreForeign):
        await make(tmp_path, **options).open()
    async with opened(tmp_path):
        pass


@pytest.mark.parametrize("offset", [0, 7, 15, 20, 68, 71])
async def test_a_damaged_header_is_damage(tmp_path: Path, offset: int) -> None:
    """Once a file was ours, a flipped byte in what tells so is not taken for somebody else's file."""
    async with opened(tmp_path):
        pass
    path = tmp_path / "kit.db"
    data = bytearray(path.read_bytes())
    data[offset] ^= 0x10
    path.write_bytes(data)
    with pytest.raises(StoreCorrupt):
        await make(tmp_path).open()


async def test_the_header_is_checked_whatever_the_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file too large to be read through at start still tells whether its pages have checksums."""
    monkeypatch.setattr("headwater.adapters.sqlite.store.CHECK_BYTES_MOST", 0)
    async with opened(tmp_path):
        pass
    path = tmp_path / "kit.db"
    data = bytearray(path.read_bytes())
    data[20] = 0
    path.write_bytes(data)
    with pytest.raises(StoreCorrupt):
        await make(tmp_path).open()


@pytest.mark.plants
async def test_a_crash_while_the_file_is_made_leaves_it_ours(tmp_path: Path) -> None:
    """Whatever step of the first opening was the last, the next opening goes on from there."""
    for step in range(1, 12):
        folder = tmp_path / str(step)
        folder.mkdir()
        run, count = _connection.Connection.run, 0

        def dying(self: _connection.Connection, sql: str, params: Any = None, *, step: int = step) -> Any:
            nonlocal count
            count += 1
            if count > step:
                raise KeyboardInterrupt
            return run(self, sql, params)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(_connection.Connection, "run", dying)
            with pytest.raises(KeyboardInterrupt):
                await make(folder).open()
        async with opened(folder) as store:
            await add(store, 1, "one")
        data = (folder / "kit.db").read_bytes()
        assert data[68:72] == b"HDWR"
        assert data[18:21] == b"\x02\x02\x08"


# --- the log of the last run -------------------------------------------------------------------


async def test_damage_in_the_middle_of_the_log_is_refused(tmp_path: Path) -> None:
    """Commits behind the damage were acknowledged; SQLite alone would drop them without a word."""
    sound = await crashed(tmp_path)
    damaged = Path(shutil.copytree(sound, tmp_path / "damaged"))
    wal = damaged / "kit.db-wal"
    data = bytearray(wal.read_bytes())
    data[len(data) // 2] ^= 1
    wal.write_bytes(data)
    with pytest.raises(StoreCorrupt):
        await make(damaged).open()
    async with opened(sound) as store:
        assert await rows(store) == [("w0",), ("w1",), ("w2",)]


async def test_the_log_is_not_judged_when_it_was_left_to_the_system(tmp_path: Path) -> None:
    """With `process` durability the system may write the log in any order: a hole in it is no damage."""
    folder = await crashed(tmp_path, durability="process")
    wal = folder / "kit.db-wal"
    data = bytearray(wal.read_bytes())
    data[-5000] ^= 1
    data[len(data) // 2] ^= 1
    wal.write_bytes(data)
    async with opened(folder, durability="disk") as store:
        assert len(await rows(store)) < 3


async def test_only_the_first_opener_looks_through_the_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While somebody serves, the log moves, and what is read of it proves nothing."""
    audits: list[Path] = []
    monkeypatch.setattr(_wal, "audit", audits.append)
    async with opened(tmp_path) as store:
        await add(store, 1, "one")
        async with opened(tmp_path) as second:
            assert await rows(second) == [("one",)]
        assert audits == []
        store.abandon()
    async with opened(tmp_path):
        assert audits == [tmp_path / "kit.db"]


async def test_a_tool_beside_a_server_changes_nothing(tmp_path: Path) -> None:
    """Opened without migrating: no file is made, and one that is there is used as it is."""
    with pytest.raises(StoreUnavailable):
        await make(tmp_path, migrate=False).open()
    assert not (tmp_path / "kit.db").exists()
    async with opened(tmp_path) as store:
        await add(store, 1, "one")
        async with opened(tmp_path, migrate=False) as tool:
            assert await rows(tool) == [("one",)]


def test_the_statement_cache_keeps_flags_apart() -> None:
    """What the store's safety rests on, asked of apsw itself."""
    asked: list[int] = []
    db = apsw.Connection(":memory:")
    db.authorizer = lambda op, *_: asked.append(op) or apsw.SQLITE_OK
    for flags in (0, 0, apsw.SQLITE_PREPARE_PERSISTENT, apsw.SQLITE_PREPARE_PERSISTENT):
        db.cursor().execute("begin", prepare_flags=flags)
        db.cursor().execute("end")
    db.close()
    assert asked.count(apsw.SQLITE_TRANSACTION) == 3  # begin with either flags, end


async def test_a_tables_owner_is_named(tmp_path: Path) -> None:
    """SQL about another module's table says whose it is."""
    async with opened(tmp_path, table_owner={"stock": "shop"}.get) as store:
        with pytest.raises(ForeignTable, match="belongs to module shop"):
            await rows(store, "select * from stock")

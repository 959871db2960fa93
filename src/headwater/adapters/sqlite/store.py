"""A module's database in one SQLite file; and its event log, which is a table of the same file."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import Literal

from headwater.adapters.sqlite import _migrations, _wal
from headwater.adapters.sqlite._connection import Connection, Location
from headwater.adapters.sqlite._reader import MemorySnapshot, Readers, SqliteSnapshot
from headwater.adapters.sqlite._writer import Writer
from headwater.errors import ConfigurationError, StoreCorrupt, StoreForeign, StoreFull, StoreUnavailable
from headwater.ports import (
    Clock,
    CrashPoints,
    Durability,
    EventLog,
    Executor,
    Record,
    Snapshot,
    StoreCell,
    StoreLoad,
    Unit,
)

__all__ = ["SqliteStore"]

APPLICATION_ID = 0x48445752
"""'HDWR', in every file's header."""
FORMAT = 1
CHECK_BYTES_MOST = 256 * 1024 * 1024
"""Files up to this size are read through at start; a larger one is checked page by page as it is read."""
CHECKSUM_BYTES = 8
_MARK = b"HDWR"

_SCHEMA = (
    "create table if not exists hw_meta (key text primary key, value text not null) without rowid",
    """create table if not exists hw_migration (
        number integer primary key, name text not null, checksum text not null, applied_at real not null)""",
    """create table if not exists hw_log (
        position integer primary key autoincrement, id text not null unique, name text not null,
        version integer not null, key text not null, payload blob not null, at real not null,
        trace text not null, identity blob not null)""",
)
_RECORD = "id, name, version, key, payload, at, trace, identity, position"


class SqliteStore:
    """See the port for what it promises.

    path: a file, or `file:/name?vfs=memdb` for a database in memory that lives as long as somebody has
    it open. framework_schema: the runtime's own tables, idempotent. table_owner: which module a table
    belongs to, for error messages. migrate: false for tools beside a running server. cell: told of commits.
    """

    def __init__(
        self,
        path: Path | str,
        *,
        app: str,
        module: str,
        migrations: Path | None,
        framework_schema: Sequence[str],
        clock: Clock,
        executor: Executor,
        points: CrashPoints,
        durability: Literal["disk", "process"] = "disk",
        table_owner: Callable[[str], str | None] = lambda _table: None,
        migrate: bool = True,
        waiting_most: int = 10_000,
        cell: StoreCell | None = None,
    ) -> None:
        self._location = Location(path)
        self._app = app
        self._module = module
        self._folder = migrations
        self._framework_schema = tuple(framework_schema)
        self._clock = clock
        self._executor = executor
        self._points = points
        self._durability: Literal["disk", "process"] = durability
        self._table_owner = table_owner
        self._migrate = migrate
        self._waiting_most = waiting_most
        self._cell = cell
        self._writer: Writer | None = None
        self._readers: Readers | None = None
        self._open_lock = -1

    @property
    def durability(self) -> Durability:
        """What an acknowledged write survives."""
        return "relaxed" if self._location.memory else self._durability

    @property
    def log(self) -> EventLog:
        """The module's events."""
        return SqliteLog(self)

    # --- opening ------------------------------------------------------------------------------

    async def open(self) -> None:
        """Open or create, check, migrate."""
        migrations = _migrations.read_folder(self._folder, self._module) if self._migrate else []
        with self._opening() as first:
            if first:
                self._check_file()
            connection = self._connect()
            try:
                if self._migrate:
                    self._prepare(connection, migrations, first=first)
                self._check_owner(connection)
            finally:
                if not self._location.memory:
                    connection.close()
            self._writer = Writer(
                self._connect, clock=self._clock, executor=self._executor, points=self._points,
                waiting_most=self._waiting_most, cell=self._cell,
            )
            if self._location.memory:
                connection.close()
        self._readers = Readers(lambda: self._connect(readonly=True), self._executor)
        self._writer.on_commit = self._readers.part

    @contextlib.contextmanager
    def _opening(self) -> Generator[bool]:
        """Open alone; yield whether nobody else, in any process, has the file open.

        Every open store shares a lock on `.lock`, so whoever gets it alone is the first. The lock on
        the folder makes openers take turns.
        """
        path = self._location.path
        if path is None:
            yield True
            return
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._open_lock = os.open(self._beside(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            turn = os.open(path.parent, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            self._unlock()
            raise ConfigurationError(f"module {self._module}: {path} cannot be opened: {error.strerror}") from error
        try:
            fcntl.flock(turn, fcntl.LOCK_EX)
            try:
                fcntl.flock(self._open_lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                first = True
            except BlockingIOError:
                first = False
            yield first
            fcntl.flock(self._open_lock, fcntl.LOCK_SH)
        except BaseException:
            self._unlock()
            raise
        finally:
            os.close(turn)

    def _unlock(self) -> None:
        if self._open_lock >= 0:
            os.close(self._open_lock)
            self._open_lock = -1

    def _beside(self, suffix: str) -> Path:
        path = self._location.path
        assert path is not None
        return path.with_name(path.name + suffix)

    def _check_file(self) -> None:
        """Refuse what is not ours, or damaged, before SQLite touches it."""
        path = self._location.path
        if path is None:
            return
        if not path.exists():
            if not self._migrate:
                raise StoreUnavailable(f"module {self._module} has no data at {path} yet; start the application first")
            return
        if not path.is_file():
            raise StoreForeign(f"module {self._module}: {path} is not a file")
        with path.open("rb") as file:
            header = file.read(100)
        marks = self._marks()
        magic, owner, reserved = header[:16], int.from_bytes(header[68:72]), header[20:21]
        if header and (magic != b"SQLite format 3\0" or owner != APPLICATION_ID):
            if marks:
                raise self._damaged("its header")
            raise StoreForeign(f"module {self._module}: {path} is not a database of Headwater; choose another --data")
        if header and reserved != bytes([CHECKSUM_BYTES]):
            raise self._damaged("its header, or it was rewritten without checksums")
        if (marks or [self._durability]) == ["disk"]:
            _wal.audit(path)

    def _damaged(self, what: str) -> StoreCorrupt:
        return StoreCorrupt(
            f"module {self._module}: {self._location.name} is damaged ({what}); restore it from a backup"
        )

    def _marks(self) -> list[str]:
        """Return what `_leave_mark` wrote, nothing when it never did."""
        mark, *rest = os.pread(self._open_lock, 64, 0).split() or [b""]
        return [word.decode() for word in rest] if mark == _MARK else []

    def _leave_mark(self) -> None:
        """Note beside the file that it is ours and how durable its log is, whatever becomes of its header."""
        if self._marks() == [self._durability]:
            return
        try:
            os.pwrite(self._open_lock, b"%s %-10s\n" % (_MARK, self._durability.encode()), 0)
        except OSError as error:
            raise StoreFull(f"module {self._module}: {self._beside('.lock')} cannot be written: {error}") from error

    def _connect(self, *, readonly: bool = False) -> Connection:
        connection = Connection(
            self._location, module=self._module, table_owner=self._table_owner, readonly=readonly
        )
        if not self._location.memory:
            connection.db.set_busy_timeout(10_000)  # another process may be closing the file, which takes it alone
            connection.run(f"pragma synchronous = {'full' if self._durability == 'disk' else 'normal'}")
            connection.db.set_busy_timeout(0)
        return connection

    def _prepare(self, connection: Connection, migrations: list[_migrations.Migration], *, first: bool) -> None:
        connection.db.set_busy_timeout(10_000)
        if first and not self._location.memory:
            self._prepare_file(connection)
        known = {name for (name,) in connection.run("select name from sqlite_master where type = 'table'")}
        if known and "hw_meta" not in known:
            raise StoreForeign(f"module {self._module}: {self._location.name} holds tables that are not Headwater's")
        if "hw_meta" in known:
            self._check_owner(connection)
        connection.run("begin immediate")
        for statement in (*_SCHEMA, *self._framework_schema):
            connection.run(statement)
        for key, value in (("app", self._app), ("module", self._module), ("format", str(FORMAT))):
            connection.run(
                "insert into hw_meta (key, value) values (:key, :value) on conflict do nothing",
                {"key": key, "value": value},
            )
        connection.run("commit")
        if first and not self._location.memory:
            self._leave_mark()
        _migrations.apply(connection, migrations, at=self._clock.wall())

    def _prepare_file(self, connection: Connection) -> None:
        """Make a new file ours; look through one that we had."""
        if connection.run("pragma page_count")[0][0] == 0:
            connection.db.reserve_bytes(reserve=CHECKSUM_BYTES)
            connection.run(f"pragma application_id = {APPLICATION_ID}")  # the file's first transaction
        connection.run("pragma journal_mode = wal")
        self._check_pages(connection)
        with contextlib.suppress(StoreFull):  # on a full disk reads can go on
            # What a crash left in the log behind its last commit must not be taken for damage after the next crash.
            connection.run("pragma wal_checkpoint(truncate)")

    def _check_pages(self, connection: Connection) -> None:
        path = self._location.path
        if path is None or path.stat().st_size > CHECK_BYTES_MOST:
            return
        found = connection.run("pragma quick_check(3)")
        if found != [("ok",)]:
            raise self._damaged("; ".join(str(row[0]) for row in found))

    def _check_owner(self, connection: Connection) -> None:
        meta: dict[str, str] = dict(connection.run("select key, value from hw_meta"))
        for key, mine in (("app", self._app), ("module", self._module), ("format", str(FORMAT))):
            if meta.get(key) != mine:
                raise StoreForeign(
                    f"{self._location.name} belongs to {key} {meta.get(key)!r}, not {mine!r}; "
                    "choose another data folder with --data"
                )

    # --- using --------------------------------------------------------------------------------

    async def begin(self, *, deadline: float) -> Unit:
        """Wait for the write turn."""
        if self._writer is None:
            raise StoreUnavailable(f"module {self._module}: the store is not open")
        return await self._writer.begin(deadline)

    def read(self, *, shared: bool = False) -> Snapshot:
        """Return a snapshot that opens with its first fetch."""
        if self._writer is None or self._readers is None:
            raise StoreUnavailable(f"module {self._module}: the store is not open")
        return MemorySnapshot(self._writer) if self._location.memory else SqliteSnapshot(self._readers, shared)

    def load(self) -> StoreLoad:
        """Return how busy it is."""
        readers, reading, read_waiting = (0, 0, 0) if self._readers is None else self._readers.counts
        return StoreLoad(
            waiting=0 if self._writer is None else self._writer.waiting, readers=readers, reading=reading,
            read_waiting=read_waiting,
        )

    async def tables(self) -> list[str]:
        """Return the module's own tables."""
        snapshot = self.read()
        try:
            rows = await snapshot.fetch(
                "select name from sqlite_master where type in ('table', 'view') and name not like 'hw\\_%' escape '\\' "
                "and name not like 'sqlite\\_%' escape '\\' order by name",
                {},
            )
        finally:
            snapshot.close()
        return [name for (name,) in rows]

    async def close(self) -> None:
        """Finish, checkpoint, close."""
        if self._readers is not None:
            self._readers.close()
        if self._writer is not None:
            await self._writer.close()
        self._writer = self._readers = None
        self._unlock()

    def abandon(self) -> None:
        """Drop everything at once."""
        if self._readers is not None:
            self._readers.close()
        if self._writer is not None:
            self._writer.abandon()
        self._unlock()


class SqliteLog:
    """The log of one store; see the port for what it promises."""

    __slots__ = ("_store",)

    def __init__(self, store: SqliteStore) -> None:
        self._store = store

    async def read(self, *, after: int, names: Sequence[str], limit: int) -> tuple[Sequence[Record], int]:
        """Return records past `after`, and how far the log has been looked through."""
        slots = {f"n{i}": name for i, name in enumerate(names)}
        only = f"and name in ({', '.join(f':{slot}' for slot in slots)})" if slots else ""
        snapshot = self._store.read()
        try:
            rows = await snapshot.fetch(
                f"select {_RECORD} from hw_log where position > :after {only} order by position limit :limit",  # noqa: S608
                {"after": after, "limit": limit, **slots},
                most=limit,
            )
            if len(rows) == limit:
                return [_record(row) for row in rows], int(rows[-1][8])
            head = await snapshot.fetch("select coalesce(max(position), 0) from hw_log", {})
        finally:
            snapshot.close()
        return [_record(row) for row in rows], max(after, int(head[0][0]))

    async def head(self) -> int:
        """Return the newest position."""
        snapshot = self._store.read()
        try:
            return int((await snapshot.fetch("select coalesce(max(position), 0) from hw_log", {}))[0][0])
        finally:
            snapshot.close()

    async def behind(self, *, after: int, names: Sequence[str], most: int) -> tuple[int, float]:
        """Return how many records are left, up to a limit, and when the first was committed."""
        slots = {f"n{i}": name for i, name in enumerate(names)}
        only = f"and name in ({', '.join(f':{slot}' for slot in slots)})" if slots else ""
        snapshot = self._store.read()
        try:
            ((count, oldest),) = await snapshot.fetch(
                f"select count(*), min(at) from (select at from hw_log where position > :after {only} "  # noqa: S608
                "order by position limit :most)",
                {"after": after, "most": most, **slots},
            )
        finally:
            snapshot.close()
        return int(count), float(oldest or 0.0)

    async def find(self, ids: Sequence[str]) -> Sequence[Record]:
        """Return the records with these ids."""
        snapshot = self._store.read()
        try:
            found: list[Record] = []
            for wanted in ids:
                rows = await snapshot.fetch(f"select {_RECORD} from hw_log where id = :id", {"id": wanted})  # noqa: S608
                found += [_record(row) for row in rows]
        finally:
            snapshot.close()
        return sorted(found, key=lambda record: record.position)


def _record(row: tuple[object, ...]) -> Record:
    i, name, version, key, payload, at, trace, identity, position = row
    return Record(
        id=i, name=name, version=version, key=key, payload=payload, at=at, trace=trace,  # type: ignore[arg-type]
        identity=identity, position=position,  # type: ignore[arg-type]
    )

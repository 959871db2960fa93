"""Snapshots: consistent sight of the database, from connections that cannot write.

Reads run on the event loop, because a hop to a thread costs several times a point read. A read that
turns out long is interrupted after a fixed number of SQLite's steps, remembered as long, and run in
a thread instead, in the same snapshot.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial

import apsw

from headwater.adapters.sqlite._connection import INTERNAL, USER, Connection, short
from headwater.adapters.sqlite._writer import Writer
from headwater.errors import HeadwaterError, Overloaded, QueryError, StoreUnavailable, TransactionClosed
from headwater.ports import Executor, Params, Row

__all__ = ["MemorySnapshot", "Readers", "SqliteSnapshot"]

READERS_MOST = 32
WAITING_MOST = 10_000
INLINE_STEPS = 10_000
"""SQLite's virtual machine steps that a read may take on the loop, up to twice: some hundred microseconds."""


class _Reader:
    """A read connection with a step limit that can be switched off. `strikes` is set to 0 before each statement.

    SQLite counts the steps of a prepared statement over all its runs, so the first strike of a run may be
    owed to runs before; only the second says that this one is long.

    users: snapshots that stand in its transaction. busy: set while a thread uses it.
    """

    __slots__ = ("busy", "connection", "inline", "strikes", "users")

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.inline = True
        self.strikes = 0
        self.users = 0
        self.busy: asyncio.Future[None] | None = None
        connection.db.set_progress_handler(self._too_long, INLINE_STEPS)

    def _too_long(self) -> bool:
        self.strikes += 1
        return self.inline and self.strikes > 1


class Readers:
    """The read connections of a store, opened when needed.

    Opening a read transaction costs twice what a point read in it costs, nearly all of it for locks. So snapshots
    that say they may begin in the same turn of the loop and share one, as writers share a commit. Nobody joins it any
    more once this process has committed, the turn is over, or one of its statements went into a thread.
    """

    def __init__(self, connect: Callable[[], Connection], executor: Executor) -> None:
        self._connect = connect
        self._free: list[_Reader] = []
        self._all: list[_Reader] = []
        self._waiting: deque[asyncio.Future[_Reader]] = deque()
        self._closed = False
        self._shared: _Reader | None = None
        self.executor = executor
        self.long: set[str] = set()
        """Statements that have turned out long; who begins with one shares with nobody."""

    @property
    def counts(self) -> tuple[int, int, int]:
        """How many connections are open, how many of them in use, and how many wait for one."""
        return len(self._all), len(self._all) - len(self._free), len(self._waiting)

    def join(self, *, shared: bool) -> _Reader | None:
        """Return a connection with a transaction open, for one more user; None while all are in use."""
        reader = self._shared
        if shared and reader is not None:
            reader.users += 1
            return reader
        reader = self._take()
        if reader is None:
            return None
        self.begin(reader)
        if shared:
            self._shared = reader
            reader.users += 1  # the turn itself
            asyncio.get_running_loop().call_soon(self.part, reader)
        return reader

    def part(self, reader: _Reader | None = None) -> None:
        """Let nobody join any more: not this one, or not the one that may be joined now."""
        shared = self._shared
        if shared is not None and (reader is None or reader is shared):
            self._shared = None
            self.leave(shared)

    def begin(self, reader: _Reader) -> None:
        """Begin a transaction for one user."""
        try:
            reader.strikes = 0
            reader.connection.control("begin")
        except BaseException:
            self.forget(reader)
            raise
        reader.users = 1

    def leave(self, reader: _Reader) -> None:
        """Count a user out; the last one ends the transaction, or the thread does that still uses the connection."""
        reader.users -= 1
        if reader.users or reader.busy is not None:
            return
        try:
            reader.strikes = 0
            reader.connection.control("commit")
        except Exception:  # the connection is of no use any more
            self.forget(reader)
        else:
            self._give(reader)

    def _take(self) -> _Reader | None:
        if self._free:
            return self._free.pop()
        if self._closed:
            raise StoreUnavailable("the store is closed")
        return self._new() if len(self._all) < READERS_MOST else None

    async def wait(self) -> _Reader:
        """Wait for a connection. Raises Overloaded when too many wait already."""
        if len(self._waiting) >= WAITING_MOST:
            raise Overloaded(f"{len(self._waiting)} readers wait for a connection, which is the most")
        wait: asyncio.Future[_Reader] = asyncio.get_running_loop().create_future()
        self._waiting.append(wait)
        try:
            return await wait
        except asyncio.CancelledError:
            if wait.done() and not wait.cancelled() and wait.exception() is None:
                self._give(wait.result())
            raise

    def _new(self) -> _Reader:
        reader = _Reader(self._connect())
        self._all.append(reader)
        return reader

    def give_back(self, reader: _Reader) -> None:
        """Take a connection back that was waited for and is not used."""
        self._give(reader)

    def _give(self, reader: _Reader) -> None:
        if self._closed:
            return
        while self._waiting:
            wait = self._waiting.popleft()
            if not wait.done():
                wait.set_result(reader)
                return
        self._free.append(reader)

    def forget(self, reader: _Reader) -> None:
        """Never use this connection again: it is broken. It closes when nobody refers to it any more.

        Who waits longest gets a new one in its place.
        """
        if self._shared is reader:
            self._shared = None
        if self._closed or reader not in self._all:
            return
        self._all.remove(reader)
        reader.connection.db.interrupt()
        while self._waiting:
            wait = self._waiting.popleft()
            if not wait.done():
                try:
                    wait.set_result(self._new())
                except HeadwaterError as error:
                    wait.set_exception(error)
                return

    # --- long reads ---------------------------------------------------------------------------

    async def aside(self, reader: _Reader, work: Callable[[], Sequence[Row]]) -> Sequence[Row]:
        """Read in a thread. Cancelled, it interrupts the thread; the connection is free again when that has ended."""
        self.part(reader)
        reader.inline = False
        reader.busy = asyncio.get_running_loop().create_future()
        job = asyncio.get_running_loop().create_task(self._run(reader, work))
        try:
            return await asyncio.shield(job)
        except asyncio.CancelledError:
            reader.connection.db.interrupt()
            job.add_done_callback(_looked_at)
            raise
        except apsw.InterruptError as error:
            raise StoreUnavailable("a long read was interrupted") from error

    async def _run(self, reader: _Reader, work: Callable[[], Sequence[Row]]) -> Sequence[Row]:
        try:
            return await self.executor.run(work)
        finally:
            reader.inline = True
            busy, reader.busy = reader.busy, None
            if busy is not None:
                busy.set_result(None)
            if not reader.users and not self._closed:  # they have gone meanwhile
                reader.users = 1
                self.leave(reader)

    def close(self) -> None:
        """Close every connection, tell who waits for one; harmless when closed."""
        self._closed = True
        self._shared = None
        for reader in self._all:
            try:
                reader.connection.db.interrupt()
                reader.connection.close()
            except apsw.Error:
                pass  # a thread uses it; it closes when that ends
        self._all.clear()
        self._free.clear()
        for wait in self._waiting:
            if not wait.done():
                wait.set_exception(StoreUnavailable("the store is closed"))
        self._waiting.clear()


def _looked_at(job: asyncio.Task[Sequence[Row]]) -> None:
    """Nobody waits for it any more, so what it raised is not news."""
    if not job.cancelled():
        job.exception()


class SqliteSnapshot:
    """One snapshot; see the port for what it promises. Its fetches run one at a time."""

    __slots__ = ("_closed", "_opening", "_reader", "_readers", "_shared")

    def __init__(self, readers: Readers, shared: bool) -> None:
        self._readers = readers
        self._shared = shared
        self._reader: _Reader | None = None
        self._opening: asyncio.Future[None] | None = None
        """Set while a fetch waits for a connection."""
        self._closed = False

    def fetch_at_once(self, sql: str, params: Params, user: bool, most: int) -> list[Row] | None:
        """Return the rows if that needs no waiting."""
        reader = self._reader
        if reader is None:
            reader = self._open_at_once(sql)
        if reader is None or reader.busy is not None:
            return None
        mode = USER if user else INTERNAL
        statement = reader.connection.statement(sql, mode)
        if not statement.readonly:
            raise QueryError(f"a snapshot only reads: {short(sql)}")
        if statement.long:
            return None
        try:
            reader.strikes = 0
            return reader.connection.fetch_known(statement, sql, params, mode, most)
        except apsw.InterruptError:
            statement.long = True
            self._readers.long.add(sql)
            return None

    async def fetch(self, sql: str, params: Params, *, user: bool = False, most: int = 10_000) -> Sequence[Row]:
        """Return the rows."""
        while True:
            rows = self.fetch_at_once(sql, params, user, most)
            if rows is not None:
                return rows
            reader = await self._ready(sql)
            mode = USER if user else INTERNAL
            if reader.connection.statement(sql, mode).long:
                try:
                    return await self._readers.aside(reader, partial(reader.connection.fetch, sql, params, mode, most))
                except asyncio.CancelledError:
                    self.close()  # so that the connection is free for others as soon as the thread lets go of it
                    raise

    async def _ready(self, sql: str) -> _Reader:
        """Return the connection, open, with nobody in it."""
        while True:
            reader = self._reader or self._open_at_once(sql) or await self._open()
            if reader.busy is None:
                return reader
            await asyncio.shield(reader.busy)
            self._check_open()

    def _open_at_once(self, sql: str) -> _Reader | None:
        if self._opening is not None:
            return None
        self._check_open()
        self._reader = self._readers.join(shared=self._shared and sql not in self._readers.long)
        return self._reader

    async def _open(self) -> _Reader:
        while self._opening is not None:
            await asyncio.shield(self._opening)
        self._check_open()
        if self._reader is not None:
            return self._reader
        self._opening = asyncio.get_running_loop().create_future()
        try:
            reader = await self._readers.wait()
        finally:
            done, self._opening = self._opening, None
            done.set_result(None)
        if self._closed:
            self._readers.give_back(reader)
            self._check_open()
        self._readers.begin(reader)
        self._reader = reader
        return reader

    def _check_open(self) -> None:
        if self._closed:
            raise TransactionClosed("this snapshot has ended")

    async def columns(self, sql: str, *, user: bool = False) -> tuple[str, ...]:
        """Return the names of the columns."""
        reader = await self._ready(sql)
        return reader.connection.statement(sql, USER if user else INTERNAL).columns

    def close(self) -> None:
        """Let go."""
        self._closed = True
        reader, self._reader = self._reader, None
        if reader is not None:
            self._readers.leave(reader)


class MemorySnapshot:
    """Sight of a database in memory, through the writer's connection.

    A memory database has no readers beside a writer, so this is weaker than a snapshot: each fetch
    sees what has been committed by then. What is ready is committed first, so that nothing uncommitted
    is ever seen; while a unit holds the turn, a fetch waits for its end.
    """

    __slots__ = ("_writer",)

    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    def fetch_at_once(self, sql: str, params: Params, user: bool, most: int) -> list[Row] | None:
        """Never at once: whoever holds the turn is waited for."""
        return None

    async def fetch(self, sql: str, params: Params, *, user: bool = False, most: int = 10_000) -> Sequence[Row]:
        """Return the rows."""
        await self._writer.settle()
        connection, mode = self._writer.connection, USER if user else INTERNAL
        if not connection.statement(sql, mode).readonly:
            raise QueryError(f"a snapshot only reads: {short(sql)}")
        return connection.fetch(sql, params, mode, most)

    async def columns(self, sql: str, *, user: bool = False) -> tuple[str, ...]:
        """Return the names of the columns."""
        return self._writer.connection.statement(sql, USER if user else INTERNAL).columns

    def close(self) -> None:
        """Nothing is held."""

"""Snapshots: consistent sight of the database, from connections that cannot write.

Reads run on the event loop, because a hop to a thread costs several times a point read. A read that
turns out long is interrupted after a fixed number of SQLite's steps, remembered as long, and run in
a thread instead, in the same snapshot.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Generator, Sequence

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
    """

    __slots__ = ("connection", "inline", "strikes")

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.inline = True
        self.strikes = 0
        connection.db.set_progress_handler(self._too_long, INLINE_STEPS)

    def _too_long(self) -> bool:
        self.strikes += 1
        return self.inline and self.strikes > 1


class Readers:
    """The read connections of a store, opened when needed."""

    def __init__(self, connect: Callable[[], Connection], executor: Executor) -> None:
        self._connect = connect
        self._free: list[_Reader] = []
        self._all: list[_Reader] = []
        self._waiting: deque[asyncio.Future[_Reader]] = deque()
        self._closed = False
        self.executor = executor

    @property
    def counts(self) -> tuple[int, int, int]:
        """How many connections are open, how many of them in use, and how many wait for one."""
        return len(self._all), len(self._all) - len(self._free), len(self._waiting)

    def take(self) -> _Reader | None:
        """Return a connection, or None while all are in use."""
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
                self.give(wait.result())
            raise

    def _new(self) -> _Reader:
        reader = _Reader(self._connect())
        self._all.append(reader)
        return reader

    def give(self, reader: _Reader) -> None:
        """Take a connection back."""
        if self._closed:
            return
        while self._waiting:
            wait = self._waiting.popleft()
            if not wait.done():
                wait.set_result(reader)
                return
        self._free.append(reader)

    def forget(self, reader: _Reader) -> None:
        """Never use this connection again: it is broken, or a thread still uses it and is interrupted.

        It closes when nobody refers to it any more. Who waits longest gets a new one in its place.
        """
        if self._closed:
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

    def close(self) -> None:
        """Close every connection, tell who waits for one; harmless when closed."""
        self._closed = True
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


class SqliteSnapshot:
    """One snapshot; see the port for what it promises. Its fetches run one at a time."""

    __slots__ = ("_busy", "_closed", "_reader", "_readers")

    def __init__(self, readers: Readers) -> None:
        self._readers = readers
        self._reader: _Reader | None = None
        self._busy: asyncio.Future[None] | None = None
        """Set while a fetch waits: for a connection, or for a thread that uses it."""
        self._closed = False

    async def fetch(self, sql: str, params: Params, *, user: bool = False, most: int = 10_000) -> Sequence[Row]:
        """Return the rows."""
        reader = self._reader
        if reader is None or self._busy is not None:
            reader = self._open_at_once() or await self._open()
        mode = USER if user else INTERNAL
        statement = reader.connection.statement(sql, mode)
        if not statement.readonly:
            raise QueryError(f"a snapshot only reads: {short(sql)}")
        if not statement.long:
            try:
                reader.strikes = 0
                return reader.connection.fetch_known(statement, sql, params, mode, most)
            except apsw.InterruptError:
                statement.long = True
        return await self._aside(reader, lambda: reader.connection.fetch(sql, params, mode, most))

    def _open_at_once(self) -> _Reader | None:
        if self._busy is not None:
            return None
        self._check_open()
        reader = self._readers.take()
        return None if reader is None else self._begin(reader)

    async def _open(self) -> _Reader:
        while self._busy is not None:
            await asyncio.shield(self._busy)
        if self._reader is not None:
            return self._reader
        if reader := self._open_at_once():
            return reader
        with self._alone():
            reader = await self._readers.wait()
        if self._closed:
            self._readers.give(reader)
            self._check_open()
        return self._begin(reader)

    def _begin(self, reader: _Reader) -> _Reader:
        try:
            reader.strikes = 0
            reader.connection.control("begin")
        except BaseException:
            self._readers.forget(reader)
            raise
        self._reader = reader
        return reader

    def _check_open(self) -> None:
        if self._closed:
            raise TransactionClosed("this snapshot has ended")

    @contextlib.contextmanager
    def _alone(self) -> Generator[None]:
        """Let other fetches of this snapshot wait until this one has what it awaits."""
        self._busy = asyncio.get_running_loop().create_future()
        try:
            yield
        finally:
            done, self._busy = self._busy, None
            done.set_result(None)

    async def _aside(self, reader: _Reader, work: Callable[[], Sequence[Row]]) -> Sequence[Row]:
        reader.inline = False
        with self._alone():
            try:
                return await self._readers.executor.run(work)
            except asyncio.CancelledError:
                self._let_go(reader)  # the thread goes on with it
                raise
            except apsw.InterruptError as error:
                raise StoreUnavailable("a long read was interrupted") from error
            finally:
                reader.inline = True

    def _let_go(self, reader: _Reader) -> None:
        self._closed = True
        self._reader = None
        self._readers.forget(reader)

    async def columns(self, sql: str, *, user: bool = False) -> tuple[str, ...]:
        """Return the names of the columns."""
        reader = self._reader
        if reader is None or self._busy is not None:
            reader = self._open_at_once() or await self._open()
        return reader.connection.statement(sql, USER if user else INTERNAL).columns

    def close(self) -> None:
        """Let go."""
        self._closed = True
        reader, self._reader = self._reader, None
        if reader is None:
            return
        if self._busy is not None:  # a thread uses it
            self._readers.forget(reader)
            return
        try:
            reader.strikes = 0
            reader.connection.control("commit")
        except Exception:  # the connection is of no use any more
            self._readers.forget(reader)
        else:
            self._readers.give(reader)


class MemorySnapshot:
    """Sight of a database in memory, through the writer's connection.

    A memory database has no readers beside a writer, so this is weaker than a snapshot: each fetch
    sees what has been committed by then. What is ready is committed first, so that nothing uncommitted
    is ever seen; while a unit holds the turn, a fetch waits for its end.
    """

    __slots__ = ("_writer",)

    def __init__(self, writer: Writer) -> None:
        self._writer = writer

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

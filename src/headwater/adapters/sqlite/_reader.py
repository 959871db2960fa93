"""Snapshots: consistent sight of the database, from connections that cannot write.

Reads run on the event loop, because a hop to a thread costs several times a point read. A read that
turns out long is interrupted after a fixed number of SQLite's steps, remembered as long, and run in
a thread instead, in the same snapshot.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence

import apsw

from headwater.adapters.sqlite._connection import INTERNAL, USER, Connection
from headwater.adapters.sqlite._writer import Writer
from headwater.errors import StoreUnavailable, TransactionClosed
from headwater.ports import Executor, Params, Row

__all__ = ["MemorySnapshot", "Readers", "SqliteSnapshot"]

READERS_MOST = 32
INLINE_STEPS = 10_000
"""SQLite's virtual machine steps that a read may take on the loop, up to twice: some hundred microseconds."""


class _Reader:
    """A read connection with a step limit that can be switched off.

    SQLite counts the steps of a prepared statement over all its runs, so the first strike of a run may be
    owed to runs before; only the second says that this one is long.
    """

    __slots__ = ("_strikes", "connection", "inline")

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.inline = True
        self._strikes = 0
        connection.db.set_progress_handler(self._too_long, INLINE_STEPS)

    def begin_run(self) -> Connection:
        """Return the connection for one statement, whose steps are counted from here."""
        self._strikes = 0
        return self.connection

    def _too_long(self) -> bool:
        self._strikes += 1
        return self.inline and self._strikes > 1


class Readers:
    """The read connections of a store, opened when needed."""

    def __init__(self, connect: Callable[[], Connection], executor: Executor) -> None:
        self._connect = connect
        self._free: list[_Reader] = []
        self._all: list[_Reader] = []
        self._waiting: deque[asyncio.Future[_Reader]] = deque()
        self._closed = False
        self.executor = executor

    async def take(self) -> _Reader:
        """Return a connection; waits while all are in use."""
        if self._free:
            return self._free.pop()
        if self._closed:
            raise StoreUnavailable("the store is closed")
        if len(self._all) < READERS_MOST:
            reader = _Reader(self._connect())
            self._all.append(reader)
            return reader
        wait: asyncio.Future[_Reader] = asyncio.get_running_loop().create_future()
        self._waiting.append(wait)
        try:
            return await wait
        except asyncio.CancelledError:
            if wait.done() and not wait.cancelled():
                self.give(wait.result())
            raise

    def give(self, reader: _Reader) -> None:
        """Take a connection back."""
        while self._waiting:
            wait = self._waiting.popleft()
            if not wait.done():
                wait.set_result(reader)
                return
        self._free.append(reader)

    def forget(self, reader: _Reader) -> None:
        """A thread still uses the connection: interrupt it and never use it again."""
        reader.connection.db.interrupt()
        self._all.remove(reader)

    def close(self) -> None:
        """Close every connection; harmless when closed."""
        self._closed = True
        for reader in self._all:
            try:
                reader.connection.close()
            except apsw.Error:
                pass
        self._all.clear()
        self._free.clear()


class SqliteSnapshot:
    """One snapshot; see the port for what it promises."""

    __slots__ = ("_closed", "_reader", "_readers", "_threaded")

    def __init__(self, readers: Readers) -> None:
        self._readers = readers
        self._reader: _Reader | None = None
        self._threaded = False
        self._closed = False

    async def fetch(self, sql: str, params: Params, *, user: bool = False, most: int = 10_000) -> Sequence[Row]:
        """Return the rows."""
        reader = self._reader or await self._open()
        mode = USER if user else INTERNAL
        statement = reader.connection.statement(sql, mode)
        if not statement.long:
            try:
                return reader.begin_run().fetch(sql, params, mode, most)
            except apsw.InterruptError:
                statement.long = True
        return await self._aside(reader, lambda: reader.connection.fetch(sql, params, mode, most))

    async def _open(self) -> _Reader:
        if self._closed:
            raise TransactionClosed("this snapshot has ended")
        reader = self._reader = await self._readers.take()
        if self._closed:  # while it waited
            self._reader = None
            self._readers.give(reader)
            raise TransactionClosed("this snapshot has ended")
        reader.begin_run().run("begin")
        return reader

    async def _aside(self, reader: _Reader, work: Callable[[], Sequence[Row]]) -> Sequence[Row]:
        self._threaded = True
        reader.inline = False
        try:
            rows = await self._readers.executor.run(work)
        except apsw.InterruptError as error:
            raise StoreUnavailable("a long read was interrupted") from error
        reader.inline = True
        self._threaded = False
        return rows

    async def columns(self, sql: str, *, user: bool = False) -> tuple[str, ...]:
        """Return the names of the columns."""
        reader = self._reader or await self._open()
        return reader.connection.statement(sql, USER if user else INTERNAL).columns

    def close(self) -> None:
        """Let go."""
        self._closed = True
        reader, self._reader = self._reader, None
        if reader is None:
            return
        if self._threaded:
            self._readers.forget(reader)
            return
        try:
            reader.begin_run().run("commit")
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
        connection = self._writer.connection
        connection.run("pragma query_only = 1")
        try:
            return connection.fetch(sql, params, USER if user else INTERNAL, most)
        finally:
            connection.run("pragma query_only = 0")

    async def columns(self, sql: str, *, user: bool = False) -> tuple[str, ...]:
        """Return the names of the columns."""
        return self._writer.connection.statement(sql, USER if user else INTERNAL).columns

    def close(self) -> None:
        """Nothing is held."""

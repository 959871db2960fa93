"""Group commit: many units of work, one after another, in one transaction and one fsync.

A unit holds the *turn* from its first statement to its last, in a savepoint of its own. When no more
units are ready in this turn of the event loop, the shared transaction commits and everybody who
waits is told. So the time one commit takes is shared by all that were ready meanwhile.

COMMIT runs on the loop while the disk is fast: a hop to a thread costs more than the fsync. Where
commits are measured to be slow it runs in the executor, and the next units queue up behind it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Sequence

import apsw

from headwater.adapters.sqlite._connection import INTERNAL, USER, Connection
from headwater.errors import (
    CommitUnknown,
    DeadlineExpired,
    HeadwaterError,
    NotExecuted,
    Overloaded,
    StoreFull,
    StoreUnavailable,
    TransactionClosed,
)
from headwater.ports import Clock, CrashPoints, Executor, Params, Record, Row, StoreCell

__all__ = ["SqliteUnit", "Writer"]

UNITS_MOST = 256
"""A transaction is committed at the latest after so many units."""
SLOW_SECONDS = 0.001
"""Commits that take longer than this, on average, leave the event loop."""
LOCK_WAIT_SECONDS = 0.0005
"""First pause when another process is writing; doubles up to twenty times as much."""

SETTLE_SECONDS = 0.0001
"""Not 0: a simulation's time moves only while nobody is ready to run."""

_APPEND = """insert into hw_log (id, name, version, key, payload, at, trace, identity)
values (:id, :name, :version, :key, :payload, :at, :trace, :identity)"""


class _Batch:
    """The units of one shared transaction. `failure` is set when SQLite gave it up as a whole."""

    __slots__ = ("failure", "waiters")

    def __init__(self) -> None:
        self.waiters: list[asyncio.Future[None]] = []
        self.failure: HeadwaterError | None = None

    def tell(self, failure: HeadwaterError | None) -> None:
        """Wake every unit's waiter."""
        for waiter in self.waiters:
            if waiter.done():
                continue  # it was cancelled; the commit stands all the same
            if failure is None:
                waiter.set_result(None)
            else:
                waiter.set_exception(failure)


class Writer:
    """The one write connection of a store, and the queue for it."""

    def __init__(
        self, connect: Callable[[], Connection], *, clock: Clock, executor: Executor, points: CrashPoints,
        waiting_most: int, cell: StoreCell | None = None,
    ) -> None:
        self._connect = connect
        self._clock = clock
        self._executor = executor
        self._points = points
        self._waiting_most = waiting_most
        self._queue: deque[asyncio.Future[None]] = deque()
        self._turn: SqliteUnit | None = None
        self._granted = SqliteUnit(self)
        """Holds the turn between its granting and the moment its new owner runs."""
        self._batch: _Batch | None = None
        self._flush_due = False
        self._committing = False
        self._aside: asyncio.Task[None] | None = None
        self._cell = cell
        self._mean_seconds = 0.0
        self._last_seconds = 0.0
        self._closed = False
        self._broken = False
        self.on_commit: Callable[[], None] = _nobody
        """Told of every commit, before anybody else is."""
        self.connection = connect()
        self.head = self._read_head()

    def _read_head(self) -> int:
        return int(self.connection.run("select coalesce(max(position), 0) from hw_log")[0][0])

    @property
    def waiting(self) -> int:
        """How many wait for the turn."""
        return len(self._queue)

    # --- the turn -----------------------------------------------------------------------------

    async def begin(self, deadline: float) -> SqliteUnit:
        """Wait for the turn and open a savepoint."""
        unit = SqliteUnit(self)
        if self._turn is not None or self._committing or self._queue or self._closed:
            await self._wait(deadline)
        self._turn = unit
        try:
            if self._closed:
                raise StoreUnavailable("the store is closed")
            if self._batch is not None and self._batch.failure is not None:
                self._give_up(self._batch)
            if self._batch is None:
                await self._open(deadline)
            self.connection.control("savepoint hw_unit")
        except BaseException:
            self._end_turn()
            raise
        unit.batch = self._batch
        self._points.hit("tx.begun")
        return unit

    async def _wait(self, deadline: float) -> None:
        if self._closed:
            raise StoreUnavailable("the store is closed")
        if len(self._queue) >= self._waiting_most:
            raise Overloaded(f"{len(self._queue)} writers wait for their turn, which is the most")
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.append(turn)
        timer = self._clock.call_at(deadline, lambda: _expire(turn))
        try:
            await turn
        except BaseException:
            if turn in self._queue:
                self._queue.remove(turn)
            elif turn.done() and not turn.cancelled() and turn.exception() is None:
                self._next()  # the turn was granted and nobody will use it
            raise
        finally:
            timer.cancel()

    async def _open(self, deadline: float) -> None:
        """Begin the shared transaction; other processes' writers are waited for, never blocked on."""
        if self._broken:
            self._reconnect()
            if self._broken:
                raise StoreUnavailable("the database could not be opened again after an input/output error")
        pause = LOCK_WAIT_SECONDS
        while True:
            try:
                self.connection.control("begin immediate")
            except StoreUnavailable as busy:
                if not isinstance(busy.__cause__, (apsw.BusyError, apsw.LockedError)):
                    raise
                if self._clock.monotonic() + pause > deadline:
                    raise
                await self._clock.sleep(pause)
                pause = min(pause * 1.5, 20 * LOCK_WAIT_SECONDS)
            else:
                break
        self._batch = _Batch()

    def _end_turn(self) -> None:
        """Let the next one write, or commit when nobody is ready."""
        self._turn = None
        if self._batch is not None and len(self._batch.waiters) >= UNITS_MOST:
            self._commit()
        elif self._queue:
            self._next()
        elif self._batch is not None and not self._flush_due:
            self._flush_due = True
            asyncio.get_running_loop().call_soon(self._flush)

    def _next(self) -> None:
        while self._queue:
            turn = self._queue.popleft()
            if not turn.done():
                self._turn = self._granted
                turn.set_result(None)
                return
        self._turn = None
        self._end_turn()

    def _flush(self) -> None:
        self._flush_due = False
        if self._turn is None and self._batch is not None and not self._committing:
            self._commit()

    # --- the shared commit --------------------------------------------------------------------

    async def settle(self) -> None:
        """Return with no transaction open; for a reader that shares the connection."""
        while self._turn is not None or self._committing:
            await self._clock.sleep(SETTLE_SECONDS)
        self._flush()

    def _commit(self) -> None:
        batch = self._batch
        assert batch is not None
        if batch.failure is not None:
            self._give_up(batch)
            self._resume()
            return
        self._batch = None
        if self._mean_seconds < SLOW_SECONDS:
            self._committed(batch, self._run_commit())
            self._resume()
        else:
            self._committing = True
            self._aside = asyncio.get_running_loop().create_task(self._commit_aside(batch))

    def _give_up(self, batch: _Batch) -> None:
        """End a batch that failed before its commit; afterwards no transaction is open."""
        self._batch = None
        assert batch.failure is not None
        self._recover(batch.failure)
        batch.tell(batch.failure)

    async def _commit_aside(self, batch: _Batch) -> None:
        failure: HeadwaterError | None = CommitUnknown("the commit was interrupted")
        try:
            failure = await self._executor.run(self._run_commit)
        except Overloaded:
            failure = self._run_commit()
        finally:
            self._committing = False
            self._committed(batch, failure)
            self._resume()

    def _committed(self, batch: _Batch, failure: HeadwaterError | None) -> None:
        self.on_commit()
        batch.tell(failure)
        if self._cell is not None:
            self._cell.committed(len(batch.waiters), self._last_seconds, well=failure is None)

    def _resume(self) -> None:
        if self._turn is None and self._queue:
            self._next()

    def _run_commit(self) -> HeadwaterError | None:
        """Run COMMIT; return what went wrong. Afterwards no transaction is open."""
        self._points.hit("store.before_group_commit")
        started = self._clock.monotonic()
        failure: HeadwaterError | None = None
        try:
            self.connection.control("commit")
        except StoreFull as full:
            failure = full
        except HeadwaterError as error:
            busy = isinstance(error.__cause__, (apsw.BusyError, apsw.LockedError))
            failure = error if busy else CommitUnknown(f"COMMIT failed: {error}")
        if failure is not None:
            self._recover(failure)
        self._last_seconds = self._clock.monotonic() - started
        self._mean_seconds += (self._last_seconds - self._mean_seconds) / 8
        self._points.hit("store.after_group_commit")
        return failure

    def _recover(self, failure: HeadwaterError) -> None:
        """Roll back; when that fails, or after an input/output error, start over on a new connection."""
        certain = not isinstance(failure, CommitUnknown)
        try:
            if self.connection.db.in_transaction:
                self.connection.control("rollback")
        except (apsw.Error, HeadwaterError):
            certain = False
        if not certain:
            self._reconnect()

    def _reconnect(self) -> None:
        """Start over: what the old connection believes about the file can no longer be trusted."""
        try:
            self.connection.close()
            self.connection = self._connect()
            self.head = self._read_head()
        except (apsw.Error, HeadwaterError):
            self._broken = True  # tried again when somebody next wants to write
        else:
            self._broken = False

    # --- what units report --------------------------------------------------------------------

    def unit_done(self, unit: SqliteUnit) -> asyncio.Future[None]:
        """A unit is released; return what tells of the shared commit."""
        batch = unit.batch
        assert batch is not None
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        batch.waiters.append(waiter)
        self._end_turn()
        return waiter

    def unit_undone(self) -> None:
        """A unit is rolled back."""
        self._end_turn()

    def check_whole(self, batch: _Batch | None, failure: HeadwaterError) -> None:
        """After an error: when SQLite gave up the whole transaction, every unit of it must learn so."""
        if batch is None or batch.failure is not None or self._closed:
            return
        if not self.connection.db.in_transaction:
            batch.failure = _lost(failure)

    # --- the end ------------------------------------------------------------------------------

    async def close(self) -> None:
        """Roll back who holds the turn, refuse who waits, commit what is ready, close."""
        self._closed = True
        for turn in self._queue:
            if not turn.done():
                turn.set_exception(StoreUnavailable("the store is closing"))
        self._queue.clear()
        if self._turn is not None and self._turn is not self._granted:
            await self._turn.rollback()
        self._turn = None
        self._flush()
        while self._committing:
            await self._clock.sleep(0.001)
        self.abandon()

    def abandon(self) -> None:
        """Close with nothing committed."""
        self._closed = True
        self._batch = None
        with contextlib.suppress(apsw.Error):
            self.connection.close()


class SqliteUnit:
    """One unit of work; see the port for what it promises."""

    __slots__ = ("_live", "_position", "_writer", "batch")

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._live = True
        self._position = 0
        self.batch: _Batch | None = None

    def _connection(self) -> Connection:
        if not self._live:
            raise TransactionClosed("this unit of work has ended")
        if self.batch is not None and self.batch.failure is not None:
            raise self.batch.failure
        return self._writer.connection

    def execute_at_once(self, sql: str, params: Params, user: bool) -> int | None:
        """Run one statement; it never waits, who waits has waited for the turn."""
        connection = self._connection()
        try:
            return connection.execute(sql, params, USER if user else INTERNAL)
        except HeadwaterError as error:
            self._writer.check_whole(self.batch, error)
            raise

    async def execute(self, sql: str, params: Params, *, user: bool = False) -> int:
        """Run one statement."""
        return self.execute_at_once(sql, params, user) or 0

    def fetch_at_once(self, sql: str, params: Params, user: bool, most: int) -> list[Row] | None:
        """Return the rows."""
        connection = self._connection()
        try:
            return connection.fetch(sql, params, USER if user else INTERNAL, most)
        except HeadwaterError as error:
            self._writer.check_whole(self.batch, error)
            raise

    async def fetch(self, sql: str, params: Params, *, user: bool = False, most: int = 10_000) -> Sequence[Row]:
        """Return the rows."""
        return self.fetch_at_once(sql, params, user, most) or []

    async def columns(self, sql: str, *, user: bool = False) -> tuple[str, ...]:
        """Return the names of the columns."""
        return self._connection().statement(sql, USER if user else INTERNAL).columns

    async def append(self, records: Sequence[Record]) -> None:
        """Append events to the log."""
        connection = self._connection()
        try:
            for r in records:
                connection.run(
                    _APPEND,
                    {
                        "id": r.id, "name": r.name, "version": r.version, "key": r.key, "payload": r.payload,
                        "at": r.at, "trace": r.trace, "identity": r.identity,
                    },
                )
        except HeadwaterError as error:
            self._writer.check_whole(self.batch, error)
            raise
        if records:
            self._position = connection.db.last_insert_rowid()

    async def commit(self) -> int:
        """End the turn and wait for the shared commit."""
        writer = self._writer
        try:
            self._connection().control("release hw_unit")
        except TransactionClosed:
            raise
        except HeadwaterError as error:
            writer.check_whole(self.batch, error)
            await self.rollback()
            raise
        self._live = False
        await writer.unit_done(self)
        writer.head = max(writer.head, self._position)
        return self._position or writer.head

    async def rollback(self) -> None:
        """Undo this unit and end the turn."""
        if not self._live:
            return
        self._live = False
        writer = self._writer
        try:
            if self.batch is not None and self.batch.failure is None:
                writer.connection.control("rollback to hw_unit")
                writer.connection.control("release hw_unit")
        except HeadwaterError as error:
            if self.batch is not None:
                self.batch.failure = _lost(error)
        finally:
            writer.unit_undone()


def _nobody() -> None:
    """Nobody wants to know."""


def _lost(failure: HeadwaterError) -> HeadwaterError:
    """Return what units learn when the transaction they share was lost before its commit."""
    if isinstance(failure, NotExecuted):
        return failure
    return StoreUnavailable(f"the shared transaction was rolled back, because a statement of it failed: {failure}")


def _expire(turn: asyncio.Future[None]) -> None:
    if not turn.done():
        turn.set_exception(DeadlineExpired("the budget was used up while waiting for the write turn"))

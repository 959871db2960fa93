"""Where a module keeps its data. One store belongs to one module; nobody else opens it.

Writing: `begin` hands out the store's one write turn as a `Unit`. Units run one after another, each
in a savepoint of a shared transaction; `Unit.commit` ends the turn and returns once the *shared*
commit is as durable as the store declares. So many small units cost one fsync.

Between `begin` and `commit`/`rollback` a unit must await nothing but its own methods: while it
holds the turn, nobody else writes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol

from headwater.model.message import Value
from headwater.ports.log import EventLog, Record

__all__ = ["Durability", "Params", "Row", "Snapshot", "Store", "StoreLoad", "Unit"]

Durability = Literal["relaxed", "process", "disk", "replicated"]
Params = Mapping[str, object]
Row = tuple[Any, ...]


class Unit(Protocol):
    """One unit of work. After `commit` or `rollback`, every method raises TransactionClosed.

    `user` statements are written by application code: they may touch only the module's own tables.
    The others are the framework's own and may touch its `hw_` tables too. Parameters are always
    named (`:name`). Values in and out: None, int, float, str, bytes.

    Raises QueryError (bad SQL, wrong parameters, a constraint: nothing of this statement was done and
    the unit goes on), ForeignTable, StoreFull, StoreUnavailable.
    """

    async def execute(self, sql: str, params: Params, *, user: bool = False) -> int:
        """Run one statement; return the number of rows it inserted, updated or deleted."""
        ...

    def execute_at_once(self, sql: str, params: Params, user: bool) -> int | None:
        """As `execute` if that needs no waiting; else do nothing and return None."""
        ...

    async def fetch(self, sql: str, params: Params, *, user: bool = False, most: int = 10_000) -> Sequence[Row]:
        """Return the rows, own writes included. More than `most` raise QueryError."""
        ...

    def fetch_at_once(self, sql: str, params: Params, user: bool, most: int) -> Sequence[Row] | None:
        """As `fetch` if that needs no waiting; else do nothing and return None."""
        ...

    async def columns(self, sql: str, *, user: bool = False) -> tuple[str, ...]:
        """Return the names of the columns that a statement answers with."""
        ...

    async def append(self, records: Sequence[Record]) -> None:
        """Append events to the module's log; they get the next positions, in order."""
        ...

    async def commit(self) -> int:
        """End the turn, in any case, and wait for the shared commit. Return the last position this unit appended.

        When it appended nothing: a position that the log has reached, not the newest while other
        processes append too. Raises StoreFull or StoreUnavailable (certainly rolled back) or
        CommitUnknown. Cancelling the wait does not undo the commit.
        """
        ...

    async def rollback(self) -> None:
        """Undo everything this unit did and end the turn. Its neighbours are not touched."""
        ...


class Snapshot(Protocol):
    """A consistent, read-only sight of the store, from its first `fetch` until `close`."""

    async def fetch(self, sql: str, params: Params, *, user: bool = False, most: int = 10_000) -> Sequence[Row]:
        """Return the rows. Short reads run at once; a long one is moved off the event loop.

        Raises QueryError, ForeignTable, StoreUnavailable. A statement that would write raises QueryError.
        """
        ...

    def fetch_at_once(self, sql: str, params: Params, user: bool, most: int) -> Sequence[Row] | None:
        """As `fetch` if that needs no waiting; else do nothing and return None."""
        ...

    async def columns(self, sql: str, *, user: bool = False) -> tuple[str, ...]:
        """Return the names of the columns that a statement answers with."""
        ...

    def close(self) -> None:
        """Let go of the snapshot; never raises, may be called twice."""
        ...


class StoreLoad(Value):
    """How busy a store is in this process.

    waiting: units for the write turn. readers: open connections; reading: those in use; read_waiting: reads that wait
    for one.
    """

    waiting: int
    readers: int
    reading: int
    read_waiting: int


class Store(Protocol):
    """One module's database and its event log."""

    @property
    def durability(self) -> Durability:
        """What an acknowledged write survives."""
        ...

    @property
    def log(self) -> EventLog:
        """The events this module has emitted, in commit order."""
        ...

    async def open(self) -> None:
        """Open or create, check, migrate. Two processes may do so at once.

        Raises StoreUnsafe, StoreForeign, StoreCorrupt, MigrationError; then nothing was changed.
        """
        ...

    async def begin(self, *, deadline: float) -> Unit:
        """Wait for the write turn, in order of arrival, until `deadline` (monotonic seconds).

        Raises DeadlineExpired, Overloaded when too many wait, StoreFull, StoreUnavailable.
        Cancelling leaves the queue.
        """
        ...

    def read(self, *, shared: bool = False) -> Snapshot:
        """Return a snapshot that opens with its first fetch. Never waits.

        shared: it may be the sight of others that began in this turn of the event loop. All that this process has
        committed before is in it, but perhaps not what another process commits during the turn.
        """
        ...

    def load(self) -> StoreLoad:
        """Return how busy it is, in this process."""
        ...

    async def close(self) -> None:
        """Finish the running commit, checkpoint, and close. Units still open are rolled back."""
        ...

    def abandon(self) -> None:
        """Drop everything at once, as a crash would: nothing uncommitted survives, nothing is awaited."""
        ...

"""What a handler may touch: `Ctx`, `View` and `Tx`, as promises.

`Tx` has no `call` and no `ask`: a network wait cannot be written inside a transaction. `View` has
no verb that writes. A unit test may pass anything that fits.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Protocol, TypeVar, runtime_checkable

from headwater.model.identity import Identity
from headwater.model.message import Command, Event, Query

__all__ = ["Ctx", "Tx", "View"]

R = TypeVar("R")
T = TypeVar("T")


@runtime_checkable
class Ctx(Protocol):
    """The way to other modules, to time and to who is asking."""

    @property
    def identity(self) -> Identity:
        """Who is asking; the same in every module the call passes through."""
        ...

    @property
    def request_id(self) -> str:
        """The id of the request at the edge, for logs."""
        ...

    @property
    def remaining(self) -> float:
        """Seconds left of the budget; 0.0 when it is used up."""
        ...

    async def call(self, message: Command[R], *, within: float | None = None) -> R:
        """Run a command and return its result.

        `within` (seconds) may shorten the budget, never lengthen it. Raises a declared `Failure`,
        `NotExecuted` (certainly did not run) or `OutcomeUnknown` (may have run). Cancelling the
        caller cancels a near callee; its transaction rolls back unless its commit had begun.
        """
        ...

    async def ask(self, message: Query[R], *, within: float | None = None) -> R:
        """Answer a query. Raises as `call`; nothing is changed in any case."""
        ...

    def now(self) -> datetime:
        """Return the time, aware and in UTC. The only clock that replays and simulations can turn."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait, within the budget; raises DeadlineExceeded when the budget ends first."""
        ...

    def new_id(self) -> str:
        """Return a new id (UUIDv7, sorts by time), from the application's own source."""
        ...


class _Reads(Protocol):
    async def fetch_one(self, kind: type[T], sql: Any, /, **params: object) -> T | None:
        """Return the one row as a `kind` (a Value, or a scalar for one column), or None.

        `sql` has named parameters (`:name`), or is a SQLAlchemy Core statement. Raises QueryError
        when there are several rows, or when a column does not fit.
        """
        ...

    async def fetch_all(self, kind: type[T], sql: Any, /, **params: object) -> list[T]:
        """Return every row as a `kind`. Bounded: more than 10,000 rows raise QueryError."""
        ...


@runtime_checkable
class View(_Reads, Protocol):
    """Read-only sight of the module's own tables: one snapshot for the whole handler."""


@runtime_checkable
class Tx(_Reads, Protocol):
    """The handler's transaction: begins with its first statement, commits when the handler returns.

    A raise rolls everything back, events included. Reads see the transaction's own writes.
    """

    async def execute(self, sql: Any, /, **params: object) -> int:
        """Run one statement on the module's own tables; return the number of rows it changed."""
        ...

    async def emit(self, event: Event) -> None:
        """Record an event; it is delivered, at least once, if and only if the transaction commits."""
        ...

    async def send(self, command: Command[Any], *, after: float = 0.0) -> None:
        """Record a command to be run later, at least `after` seconds from now, with no result.

        Survives a crash. Tried again after `NotExecuted` and `OutcomeUnknown`; a refusal, or too many
        attempts, makes it a dead letter. Its effect happens once, however often it is tried.
        """
        ...

"""Everything Headwater raises, lowest floor of the house.

Two families matter to the code that calls a contract:

* `NotExecuted`: the work certainly did not run. Any retry is safe.
* `OutcomeUnknown`: the work may have run. Retry only what is idempotent.

The rest are mistakes in code or configuration; each says what was asked, which rule it broke and
what to do. Facts are attributes, the sentence is `str(error)`, `code` is stable and may be matched on.
"""

from __future__ import annotations

from typing import ClassVar, TypeVar

__all__ = [
    "AuthUnavailable",
    "BoundaryError",
    "CallInsideTransaction",
    "CommitUnknown",
    "ConfigurationError",
    "ContractError",
    "DataFolderInUse",
    "DeadlineExceeded",
    "DeadlineExpired",
    "DecodeError",
    "Denied",
    "Draining",
    "FieldError",
    "ForeignTable",
    "HandlerCrashed",
    "HandlerError",
    "HeadwaterError",
    "Hidden",
    "IdempotencyConflict",
    "InjectionError",
    "InvalidMessage",
    "MigrationError",
    "MissingExtra",
    "NoHandler",
    "NotExecuted",
    "OutcomeUnknown",
    "Overloaded",
    "QueryError",
    "StoreCorrupt",
    "StoreForeign",
    "StoreFull",
    "StoreUnavailable",
    "StoreUnsafe",
    "TransactionClosed",
    "UndeclaredUse",
]


E = TypeVar("E", bound=BaseException)


class HeadwaterError(Exception):
    """Base of every error of the framework (declared failures are not errors: see `Failure`)."""

    code: ClassVar[str] = "error"


# --- outcomes of a call ----------------------------------------------------------------------


class NotExecuted(HeadwaterError):
    """The work certainly did not run: nothing was changed, any retry is safe.

    `retry_after` is a hint in seconds, or None when waiting does not help.
    """

    code = "not-executed"
    retry_after: float | None = None


class DeadlineExpired(NotExecuted):
    """The budget was used up before the work began, so it was not started."""

    code = "deadline-expired"


class Overloaded(NotExecuted):
    """A bounded queue is full; refused early instead of late."""

    code = "overloaded"
    retry_after = 1.0


class Draining(NotExecuted):
    """This process is shutting down and takes no new work."""

    code = "draining"
    retry_after = 1.0


class StoreFull(NotExecuted):
    """The disk is full: the write was rolled back; reads go on; writes resume when space returns."""

    code = "store-full"
    retry_after = 5.0


class StoreUnavailable(NotExecuted):
    """The store cannot take the work now (locked for too long, read-only, closed)."""

    code = "store-unavailable"
    retry_after = 1.0


class IdempotencyConflict(NotExecuted):
    """The same idempotency key came with a different body."""

    code = "idempotency-conflict"


class Denied(NotExecuted):
    """The caller's identity is not allowed to do this."""

    code = "denied"


class Hidden(Denied):
    """The caller may not see this one thing, nor learn that it is there: to them it is not found."""

    code = "not-found"


class AuthUnavailable(NotExecuted):
    """What is needed to decide who is asking cannot be had now; nobody is let in unchecked."""

    code = "auth-unavailable"
    retry_after = 1.0


class FieldError:
    """One thing wrong with one field. `path` is a JSON pointer ("" is the message itself)."""

    __slots__ = ("message", "path")

    def __init__(self, path: str, message: str) -> None:
        self.path = path
        self.message = message

    def __repr__(self) -> str:
        return f"FieldError({self.path!r}, {self.message!r})"

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, FieldError)
            and self.path == other.path
            and self.message == other.message
        )

    def __hash__(self) -> int:
        return hash((self.path, self.message))


class InvalidMessage(NotExecuted):
    """A message breaks its own type; `fields` lists everything that is wrong, not only the first."""

    code = "invalid-message"

    def __init__(self, contract: str, fields: tuple[FieldError, ...]) -> None:
        self.contract = contract
        self.fields = fields
        said = "; ".join(f"{f.path or '/'}: {f.message}" for f in fields[:5])
        more = f" (and {len(fields) - 5} more)" if len(fields) > 5 else ""
        super().__init__(f"{contract}: {said}{more}")


class OutcomeUnknown(HeadwaterError):
    """The work may have run, wholly or in part. Ask again with the same idempotency key, or look."""

    code = "outcome-unknown"


class DeadlineExceeded(OutcomeUnknown):
    """The budget ran out while the work was running."""

    code = "deadline-exceeded"


class HandlerCrashed(OutcomeUnknown):
    """A handler raised something it had not declared; its own transaction was rolled back.

    The foreign exception is the `__cause__`.
    """

    code = "handler-crashed"


class CommitUnknown(OutcomeUnknown):
    """The commit was asked for and its answer never came, or came as an input/output error."""

    code = "commit-unknown"


# --- mistakes inside a handler ---------------------------------------------------------------


class HandlerError(HeadwaterError):
    """A handler broke a rule of the programming model."""

    code = "handler-error"


class CallInsideTransaction(HandlerError):
    """`ctx.call`, `ctx.ask` or `ctx.sleep` after `tx` has begun."""

    code = "call-inside-transaction"


class TransactionClosed(HandlerError):
    """A `Tx` or `View` was used after its handler had returned."""

    code = "transaction-closed"


class UndeclaredUse(HandlerError):
    """A call to a contract of a module that is not listed in `uses`."""

    code = "undeclared-use"


class NoHandler(HandlerError):
    """No module of this application handles the contract."""

    code = "no-handler"


class ForeignTable(HandlerError):
    """SQL touched a table that the module does not own."""

    code = "foreign-table"


class QueryError(HandlerError):
    """SQL that the store refused, or rows that do not fit the type asked for."""

    code = "query-error"


class DecodeError(HeadwaterError):
    """Stored or received bytes are not a message of the contract they claim to be."""

    code = "decode-error"


# --- mistakes in code or configuration, found before the first request -------------------------


class ConfigurationError(HeadwaterError):
    """The application cannot start as it is written or configured. `where` is `file:line` if known."""

    code = "configuration"

    def __init__(self, message: str, *, where: str | None = None) -> None:
        self.where = where
        super().__init__(message)


class ContractError(ConfigurationError):
    """A message class is not a valid contract."""

    code = "contract"


class InjectionError(ConfigurationError):
    """A handler asks for something that nobody provides, or providers need each other in a circle."""

    code = "injection"


class BoundaryError(ConfigurationError):
    """A module reaches into another one, or calls what it has not declared."""

    code = "boundary"


class MigrationError(ConfigurationError):
    """A migration is missing, misnumbered, was edited after it had been applied, or failed."""

    code = "migration"


class MissingExtra(ConfigurationError):
    """An optional part was asked for and its library is not installed."""

    code = "missing-extra"

    def __init__(self, what: str, extra: str) -> None:
        self.extra = extra
        super().__init__(f"{what} needs an optional library: pip install 'headwater[{extra}]'")


class StoreUnsafe(ConfigurationError):
    """The SQLite build can corrupt a WAL database, or lacks something a promise rests on."""

    code = "store-unsafe"


class StoreForeign(ConfigurationError):
    """The file or folder belongs to something else: another program, application or module."""

    code = "store-foreign"


class StoreCorrupt(ConfigurationError):
    """Stored bytes are not what was written. Nothing of it is served."""

    code = "store-corrupt"


class DataFolderInUse(ConfigurationError):
    """Another running instance owns the data folder."""

    code = "data-folder-in-use"


def caused(error: E, cause: BaseException | None) -> E:
    """Return an error with its cause, as `raise error from cause` sets it; for code that is compiled."""
    error.__cause__ = cause
    return error

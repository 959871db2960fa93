"""One SQLite connection: how it is opened, what SQL may do on it, and its errors in our words."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any, Final

import apsw
import apsw.sqlite_extra

from headwater.errors import (
    ForeignTable,
    HeadwaterError,
    QueryError,
    StoreCorrupt,
    StoreFull,
    StoreUnavailable,
    StoreUnsafe,
)
from headwater.ports import Params, Row

__all__ = ["INTERNAL", "MIGRATION", "USER", "Connection", "Location", "bare", "ends_transaction", "short"]

SAFE_VERSION: Final = 3_051_003
"""Older builds can corrupt a WAL database that several connections use (the WAL-reset bug)."""
CHECKSUM_VFS: Final = "cksmvfs"

INTERNAL, USER, MIGRATION = range(3)
PREPARE: Final = (0, apsw.SQLITE_PREPARE_PERSISTENT, apsw.SQLITE_PREPARE_PERSISTENT)
"""Flags by mode. The authorizer is asked only when a statement is prepared, and the statement cache keeps
statements of different flags apart: so a module never gets one that was prepared for the framework."""

SCHEMA_RULE: Final = "the schema changes in migrations only"

_FRAMEWORK = re.compile(r"\bhw_\w+", re.IGNORECASE)
_NO_SQL = re.compile(r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|--[^\n]*|/\*.*?(?:\*/|\Z)", re.DOTALL)
_ENDS = re.compile(
    r"\b(?:insert|update)\s+or\s+(?:rollback|fail)\b|\bon\s+conflict\s+(?:rollback|fail)\b"
    r"|\braise\s*\(\s*(?:rollback|fail)\b",
    re.IGNORECASE,
)
_NO_TABLE = re.compile(r"no such table: (?:main\.)?(\w+)")
_SCHEMA_OPS = frozenset(
    getattr(apsw, f"SQLITE_{verb}_{thing}")
    for verb in ("CREATE", "DROP")
    for thing in (
        "INDEX", "TABLE", "TEMP_INDEX", "TEMP_TABLE", "TEMP_TRIGGER", "TEMP_VIEW", "TRIGGER", "VIEW", "VTABLE",
    )
) | {apsw.SQLITE_ALTER_TABLE, apsw.SQLITE_REINDEX, apsw.SQLITE_ANALYZE}
_TABLE_OPS = frozenset({apsw.SQLITE_READ, apsw.SQLITE_INSERT, apsw.SQLITE_UPDATE, apsw.SQLITE_DELETE})
_WRITE_OPS = frozenset({apsw.SQLITE_INSERT, apsw.SQLITE_UPDATE, apsw.SQLITE_DELETE})
_LOOKING = frozenset({
    "defer_foreign_keys", "foreign_key_check", "foreign_key_list", "index_info", "index_list", "integrity_check",
    "quick_check", "table_info", "table_xinfo",
})
"""Pragmas that change nothing beyond their transaction. ALTER TABLE uses some of them itself."""
_TURN_OPS = frozenset({apsw.SQLITE_TRANSACTION, apsw.SQLITE_SAVEPOINT})


class Location:
    """Where a database is: a file with checksummed pages, or a named one in this process's memory."""

    __slots__ = ("memory", "name", "path")

    def __init__(self, place: Path | str) -> None:
        self.memory = isinstance(place, str) and place.startswith("file:")
        self.path = None if self.memory else Path(place)
        self.name = str(place)


class Statement:
    """What was learnt about a statement when it was first seen."""

    __slots__ = ("columns", "long", "names", "readonly")

    def __init__(self, names: frozenset[str], columns: tuple[str, ...], *, readonly: bool) -> None:
        self.names = names
        self.columns = columns
        self.readonly = readonly
        self.long = False


class Connection:
    """A connection with an authorizer. `mode` says on whose behalf the next statement runs.

    Not for use by two threads at once.
    """

    __slots__ = ("_cursor", "_known", "_reason", "_table_owner", "db", "location", "mode", "module")

    def __init__(
        self, location: Location, *, module: str, table_owner: Callable[[str], str | None], readonly: bool = False
    ) -> None:
        if apsw.SQLITE_VERSION_NUMBER < SAFE_VERSION:
            raise StoreUnsafe(
                f"SQLite {apsw.sqlite_lib_version()} can corrupt a WAL database; Headwater needs 3.51.3 or newer: "
                "upgrade apsw"
            )
        self.location = location
        self.module = module
        self.mode = INTERNAL
        self._table_owner = table_owner
        self._reason = ""
        self._known: tuple[dict[str, Statement], ...] = ({}, {}, {})
        flags = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE | apsw.SQLITE_OPEN_URI
        try:
            self.db = apsw.Connection(
                location.name, flags=flags, vfs=None if location.memory else _checksums(), statementcachesize=256
            )
        except apsw.Error as error:
            raise self.translate(error, "open") from error
        self.db.authorizer = self._authorize
        self._cursor = self.db.cursor()
        if readonly:
            self.run("pragma query_only = 1")

    def run(self, sql: str, params: Params | None = None) -> list[Row]:
        """Run a statement of the framework's own; return its rows. Raises what `translate` makes of it."""
        self.mode = INTERNAL
        try:
            return list(self._cursor.execute(sql, params))
        except apsw.Error as error:
            raise self.translate(error, sql) from error

    def control(self, sql: str) -> None:
        """Run a statement of the framework's own that has neither parameters nor rows."""
        self.mode = INTERNAL
        try:
            self._cursor.execute(sql)
        except apsw.Error as error:
            raise self.translate(error, sql) from error

    def execute(self, sql: str, params: Params, mode: int) -> int:
        """Run one statement; return the rows it changed."""
        statement = self._known[mode].get(sql) or self._learn(sql, mode)
        if statement.names != params.keys():
            raise _parameters(statement, params, sql)
        self.mode = mode
        try:
            for _ in self._cursor.execute(sql, params, prepare_flags=PREPARE[mode]):
                pass
        except (apsw.Error, TypeError) as error:
            raise self.translate(error, sql) from error
        return 0 if statement.readonly else self.db.changes()

    def fetch(self, sql: str, params: Params, mode: int, most: int) -> list[Row]:
        """Return the rows, at most `most`. Raises apsw.InterruptError when the progress handler says so."""
        return self.fetch_known(self._known[mode].get(sql) or self._learn(sql, mode), sql, params, mode, most)

    def fetch_known(self, statement: Statement, sql: str, params: Params, mode: int, most: int) -> list[Row]:
        """Fetch with what `statement` returned for the same text and mode."""
        if statement.names != params.keys():
            raise _parameters(statement, params, sql)
        self.mode = mode
        try:
            rows: list[Row] = list(islice(self._cursor.execute(sql, params, prepare_flags=PREPARE[mode]), most + 1))
        except apsw.InterruptError:
            raise
        except (apsw.Error, TypeError) as error:
            raise self.translate(error, sql) from error
        if len(rows) > most:
            self._cursor.close(True)
            self._cursor = self.db.cursor()
            raise QueryError(f"more than {most} row{'s' * (most != 1)}, which is the most here: {short(sql)}")
        return rows

    def statement(self, sql: str, mode: int) -> Statement:
        """Return what is known of a statement, preparing it the first time."""
        return self._known[mode].get(sql) or self._learn(sql, mode)

    def close(self) -> None:
        """Close; harmless when closed."""
        self.db.close()

    # --- learning -----------------------------------------------------------------------------

    def _learn(self, sql: str, mode: int) -> Statement:
        if mode != INTERNAL:
            self._check_text(sql)
        self.mode = mode
        learnt: list[Statement] = []

        def trace(cursor: Any, text: str, _bindings: Any) -> bool:  # the library's types tell of one name, not of many
            if sql[sql.index(text) + len(text) :].strip("; \t\r\n"):
                raise QueryError(f"one statement at a time: {short(sql)}")
            names = cursor.bindings_names
            if None in names:
                raise QueryError(f"parameters are named, :name, never positional: {short(sql)}")
            columns = tuple(column[0] for column in cursor.get_description()) if cursor.has_vdbe else ()
            learnt.append(Statement(frozenset(n for n in names if n), columns, readonly=cursor.is_readonly))
            return False

        cursor = self.db.cursor()
        cursor.exec_trace = trace
        try:
            cursor.execute(sql, _Anything(), prepare_flags=PREPARE[mode])
        except apsw.ExecTraceAbort:
            pass
        except (apsw.Error, TypeError) as error:
            raise self.translate(error, sql) from error
        finally:
            cursor.close(True)
        if not learnt:
            raise QueryError(f"there is no statement in {sql!r}")
        known = self._known[mode]
        if len(known) > 4096:  # somebody builds SQL text; do not remember it for ever
            known.clear()
        known[sql] = learnt[0]
        return learnt[0]

    def _check_text(self, sql: str) -> None:
        text = bare(sql)
        if found := _FRAMEWORK.search(text):
            raise ForeignTable(f"module {self.module} may not touch {found[0]}: hw_ tables are the framework's")
        if said := ends_transaction(text):
            raise QueryError(f"module {self.module}: {said}: {short(sql)}")

    def _authorize(self, op: int, one: str | None, two: str | None, schema: str | None, _by: str | None) -> int:
        mode = self.mode
        if mode == INTERNAL:
            return apsw.SQLITE_OK
        table = (one or "").lower()
        if op in (apsw.SQLITE_ATTACH, apsw.SQLITE_DETACH):
            return self._deny("one module, one database: ATTACH and DETACH are not for modules")
        if op in _TABLE_OPS and table.startswith("hw_"):
            return self._deny(f"{one} is the framework's")
        if op in _WRITE_OPS and table.startswith("sqlite_") and mode == USER:
            schema_change = table.endswith(("master", "schema"))
            return self._deny(SCHEMA_RULE if schema_change else f"{one} is SQLite's own")
        if op in _TURN_OPS:
            return self._deny("the transaction begins and ends with the handler; remove it")
        if op == apsw.SQLITE_FUNCTION and (two or "").lower() == "load_extension":
            return self._deny("extensions cannot be loaded")
        if op == apsw.SQLITE_PRAGMA and not (mode == MIGRATION and table in _LOOKING):
            return self._deny("PRAGMA is not for modules")
        if mode == MIGRATION:
            named = op in _SCHEMA_OPS and op not in (apsw.SQLITE_ANALYZE, apsw.SQLITE_REINDEX)
            denied = named and (table.startswith("hw_") or (two or "").lower().startswith("hw_"))
            return self._deny("names that begin with hw_ are the framework's") if denied else apsw.SQLITE_OK
        if op in _SCHEMA_OPS:
            return self._deny(SCHEMA_RULE)
        return apsw.SQLITE_OK

    def _deny(self, reason: str) -> int:
        self._reason = reason
        return apsw.SQLITE_DENY

    # --- errors -------------------------------------------------------------------------------

    def translate(self, error: Exception, sql: str) -> HeadwaterError:
        """Return our error for one of SQLite's."""
        where = f"module {self.module}"
        if isinstance(error, apsw.AuthError):
            reason, self._reason = self._reason, ""
            kind = ForeignTable if "framework" in reason or "ATTACH" in reason else QueryError
            return kind(f"{where}: {reason or 'not allowed'}: {short(sql)}")
        if isinstance(error, apsw.FullError):
            return StoreFull(f"{where}: the disk is full; nothing was written, reads go on")
        if isinstance(error, (apsw.ConnectionClosedError, apsw.CursorClosedError)):
            return StoreUnavailable(f"{where}: the store is closed")
        extended = getattr(error, "extendedresult", 0)
        if isinstance(error, (apsw.CorruptError, apsw.NotADBError)) or extended == apsw.SQLITE_IOERR_DATA:
            return StoreCorrupt(
                f"{where}: {self.location.name} is damaged ({error}); stop, and restore it from a backup"
            )
        if isinstance(error, (apsw.BusyError, apsw.LockedError)):
            return StoreUnavailable(f"{where}: another process holds the write lock")
        if isinstance(error, (apsw.ReadOnlyError, apsw.CantOpenError, apsw.IOError, apsw.PermissionsError)):
            return StoreUnavailable(f"{where}: {self.location.name}: {error}")
        if (missing := _NO_TABLE.search(str(error))) and self.mode == USER:
            owner = self._table_owner(missing[1])
            if owner is not None:
                return ForeignTable(
                    f"{where}: table {missing[1]!r} belongs to module {owner}: ask that module with a query, or keep "
                    f"a read model of your own: {short(sql)}"
                )
        return QueryError(f"{where}: {error}: {short(sql)}")


class _Anything(dict[str, None]):
    """Bindings for learning: every parameter is null."""

    def __missing__(self, _name: str) -> None:
        return None


def bare(sql: str) -> str:
    """Return SQL without its string literals and comments."""
    return _NO_SQL.sub(lambda found: {"'": "''", '"': found[0]}.get(found[0][0], " "), sql)


def ends_transaction(text: str) -> str | None:
    """Return what is wrong with bare SQL that would end the transaction it shares, or leave half a statement."""
    found = _ENDS.search(text)
    if found is None:
        return None
    what = " ".join(found[0].split()).upper()
    return f"{what} would undo other units' work too, or leave half a statement; use ABORT"


def _checksums() -> str:
    """Register SQLite's checksum VFS once in the process, without making it anybody's default."""
    if CHECKSUM_VFS not in apsw.vfs_names():
        default = apsw.vfs_names()[0]
        try:
            keeper = apsw.Connection(":memory:")
            apsw.sqlite_extra.load(keeper, "cksumvfs")
        except Exception as error:
            raise StoreUnsafe(
                f"this build of apsw has no checksum VFS ({error}): a flipped byte would not be noticed; "
                "install apsw from its wheels"
            ) from error
        apsw.set_default_vfs(default)
    return CHECKSUM_VFS


def _parameters(statement: Statement, params: Params, sql: str) -> QueryError:
    missing = sorted(statement.names.difference(params))
    extra = sorted(set(params).difference(statement.names))
    said = [f"missing: {', '.join(missing)}"] if missing else []
    said += [f"not in the statement: {', '.join(extra)}"] if extra else []
    return QueryError(f"parameters {'; '.join(said)}: {short(sql)}")


def short(sql: str) -> str:
    """Return SQL on one line, for an error message."""
    text = " ".join(sql.split())
    return text if len(text) <= 160 else text[:157] + "..."

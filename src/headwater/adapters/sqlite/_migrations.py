"""Numbered SQL files, each applied once, in order, in a transaction of its own, and never edited after."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import apsw

from headwater.adapters.sqlite._connection import INTERNAL, MIGRATION, Connection, bare, ends_transaction
from headwater.errors import MigrationError

__all__ = ["Migration", "apply", "read_folder"]

_NAME = re.compile(r"(\d{4})_([a-z0-9_]+)\.sql")
_SQLITE_WRITE = re.compile(
    r"\b(?:into|update|update\s+or\s+\w+|delete\s+from)\s+(?:main\s*\.\s*)?[\"`\[]?(sqlite_\w+)", re.IGNORECASE
)


class Migration:
    """One file. The checksum does not depend on how lines end."""

    __slots__ = ("checksum", "name", "number", "path", "text")

    def __init__(self, path: Path, number: int, name: str) -> None:
        self.path = path
        self.number = number
        self.name = name
        try:
            self.text = path.read_text(encoding="utf-8").replace("\r\n", "\n")
        except UnicodeDecodeError as error:
            raise MigrationError(f"{path.name} is not UTF-8: {error}", where=str(path)) from None
        self.checksum = hashlib.sha256(self.text.encode()).hexdigest()


def read_folder(folder: Path | None, module: str) -> list[Migration]:
    """Return a module's migrations in order. Raises MigrationError for names, gaps and doubles."""
    if folder is None:
        return []
    if not folder.is_dir():
        raise MigrationError(f"module {module}: there is no migrations folder {folder}", where=str(folder))
    found: list[Migration] = []
    for path in sorted(folder.glob("*.sql")):
        match = _NAME.fullmatch(path.name)
        if match is None:
            raise MigrationError(
                f"module {module}: {path.name} is not a migration's name; use 0001_what_it_does.sql", where=str(path)
            )
        found.append(Migration(path, int(match[1]), match[2]))
    for expected, migration in enumerate(found, start=1):
        if migration.number != expected:
            said = f"number {expected:04d} is missing"
            if expected > 1 and migration.number == expected - 1:
                said = f"two migrations have number {migration.number:04d}"
            raise MigrationError(
                f"module {module}: {said}; migrations count from 0001 without gaps", where=str(migration.path)
            )
    return found


def apply(connection: Connection, migrations: list[Migration], *, at: float) -> None:
    """Apply what has not been applied. The caller has made sure that nobody else does so now."""
    module = connection.module
    applied = connection.run("select number, name, checksum from hw_migration order by number")
    for number, name, checksum in applied:
        if number > len(migrations):
            raise MigrationError(
                f"module {module}: the database has migration {number:04d}_{name}, which the code does not: "
                "this code is older than the data; run the newer version"
            )
        known = migrations[number - 1]
        if known.checksum != checksum:
            raise MigrationError(
                f"module {module}: {known.path.name} was edited after it had been applied; undo the edit and "
                f"write {len(migrations) + 1:04d}_....sql instead",
                where=str(known.path),
            )
    for migration in migrations[len(applied) :]:
        _apply_one(connection, migration, at)


def _check_text(module: str, migration: Migration) -> None:
    text = bare(migration.text)
    said = ends_transaction(text)
    if said is None and (found := _SQLITE_WRITE.search(text)):
        said = f"{found[1]} is SQLite's own"
    if said is not None:
        raise MigrationError(f"module {module}: {migration.path.name}: {said}", where=str(migration.path))


def _apply_one(connection: Connection, migration: Migration, at: float) -> None:
    _check_text(connection.module, migration)
    connection.run("begin immediate")
    try:
        connection.mode = MIGRATION
        for _ in connection.db.cursor().execute(migration.text, can_cache=False):
            pass
        connection.mode = INTERNAL
        if not connection.db.in_transaction:
            raise MigrationError(
                f"module {connection.module}: {migration.path.name} ends the transaction it runs in; remove COMMIT "
                "and ROLLBACK",
                where=str(migration.path),
            )
        connection.run(
            "insert into hw_migration (number, name, checksum, applied_at) values (:number, :name, :checksum, :at)",
            {"number": migration.number, "name": migration.name, "checksum": migration.checksum, "at": at},
        )
        connection.run("commit")
    except apsw.Error as error:
        told = connection.translate(error, migration.text)
        _undo(connection)
        line = migration.text[: max(getattr(error, "error_offset", 0), 0)].count("\n") + 1
        raise MigrationError(
            f"module {connection.module}: {migration.path.name} failed and changed nothing: {told}",
            where=f"{migration.path}:{line}",
        ) from error
    except BaseException:
        _undo(connection)
        raise


def _undo(connection: Connection) -> None:
    if connection.db.in_transaction:
        connection.run("rollback")

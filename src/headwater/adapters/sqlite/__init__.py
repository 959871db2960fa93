"""The embedded store: SQLite through apsw, one file for each module."""

from headwater.adapters.sqlite.folder import DataFolder
from headwater.adapters.sqlite.store import SqliteStore

__all__ = ["DataFolder", "SqliteStore"]

"""The embedded store keeps the promises of its ports: on disk, at both durabilities, and in memory."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from headwater.adapters.sqlite import SqliteStore
from headwater.adapters.system import SystemClock, ThreadExecutor
from headwater.ports import CrashPoints
from headwater.runtime.tables import SCHEMA
from headwater.testing.log_kit import LogKit
from headwater.testing.store_kit import RestartKit, SnapshotKit, StoreHouse, StoreKit


class Disk(StoreHouse):
    """A file, synced at every commit."""

    durability: Literal["disk", "process"] = "disk"

    def place(self, folder: Path) -> Path | str:
        return folder / "kit.db"

    async def new_store(self, folder: Path, *, migrations: Path, waiting_most: int = 10_000) -> SqliteStore:
        return SqliteStore(
            self.place(folder), app="kit", module="kit", migrations=migrations, framework_schema=SCHEMA,
            clock=SystemClock(), executor=ThreadExecutor(threads=2), points=CrashPoints(),
            durability=self.durability, waiting_most=waiting_most,
        )


class Process(Disk):
    """A file, left to the system to sync."""

    durability = "process"


class Memory(Disk):
    """In this process's memory; a snapshot is as new as its last fetch, because readers share the writer's connection."""

    survives_restart = False

    def place(self, folder: Path) -> str:
        return f"file:/{folder.name}?vfs=memdb"


class TestDiskStore(Disk, StoreKit, SnapshotKit, RestartKit): ...
class TestDiskLog(Disk, LogKit): ...
class TestProcessStore(Process, StoreKit, SnapshotKit, RestartKit): ...
class TestProcessLog(Process, LogKit): ...
class TestMemoryStore(Memory, StoreKit): ...
class TestMemoryLog(Memory, LogKit): ...

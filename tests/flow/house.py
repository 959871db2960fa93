"""A small application of two modules on real embedded parts, for tests of the runtime."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from headwater import App, Module
from headwater.adapters.bells import LocalBell
from headwater.adapters.sqlite import SqliteStore
from headwater.adapters.system import SystemClock, SystemIds, SystemRandom, ThreadExecutor
from headwater.model.message import Message
from headwater.ports import CrashPoints
from headwater.runtime.meter import Meter
from headwater.runtime.node import Node
from headwater.runtime.parts import Parts
from headwater.runtime.tables import SCHEMA


def parts(folder: Path, *, slot: str = "0", run: str = "r", **options: Any) -> Parts:
    """Return real parts over `folder`."""
    clock, executor, points = SystemClock(), ThreadExecutor(threads=2), CrashPoints()

    def store(module: Module, path: Path | None = None) -> SqliteStore:
        return SqliteStore(
            path or folder / f"{module.name}.db", app="house", module=module.name, migrations=module.migrations,
            framework_schema=SCHEMA, clock=clock, executor=executor, points=points,
        )

    @asynccontextmanager
    async def scratch(module: Module) -> AsyncIterator[SqliteStore]:
        made = store(module, folder / f"{module.name}.scratch.db")
        await made.open()
        try:
            yield made
        finally:
            await made.close()
            for leftover in folder.glob(f"{module.name}.scratch.db*"):
                leftover.unlink()

    settings: dict[str, Any] = {
        "store": store, "scratch": scratch, "clock": clock, "random": SystemRandom(), "ids": SystemIds(),
        "executor": executor, "bell": LocalBell(), "telemetry": Meter(), "points": points,
        "owner": f"instance:{slot}:{run}",
    }
    return Parts(**{**settings, **options})


@asynccontextmanager
async def running(folder: Path, *modules: Module, **options: Any) -> AsyncIterator[Node]:
    """Run modules in one node; stopped in order at the end."""
    node = Node(App("house", modules=modules), parts(folder, **options))
    await node.start()
    try:
        yield node
    finally:
        await node.stop()


async def call(node: Node, message: Message, **context: Any) -> Any:
    """Dispatch as from outside."""
    return await node.dispatch(message, node.context(**context))


def migrations(folder: Path, module: str, sql: str) -> str:
    """Write a module's only migration and return its folder."""
    place = folder / "migrations" / module
    place.mkdir(parents=True, exist_ok=True)
    (place / "0001_tables.sql").write_text(sql)
    return str(place)


async def rows(node: Node, module: str, sql: str, **params: object) -> list[Any]:
    """Look into a module's database, as the framework may."""
    snapshot = node.stores[module].read()
    try:
        return list(await snapshot.fetch(sql, params))
    finally:
        snapshot.close()


__all__ = ["call", "migrations", "parts", "rows", "running"]

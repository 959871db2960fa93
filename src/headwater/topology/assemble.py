"""Turns an application and a data folder into a node. The one place that names the parts."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, Literal

from headwater.adapters.bells import SocketBell
from headwater.adapters.local_files import LocalFiles
from headwater.adapters.sqlite import SqliteStore
from headwater.adapters.system import SystemClock, SystemIds, SystemRandom, ThreadExecutor
from headwater.model.app import App
from headwater.model.message import Message
from headwater.model.module import Module
from headwater.ports import Bell, Clock, CrashPoints, Executor, Store
from headwater.runtime.meter import Meter
from headwater.runtime.node import Node
from headwater.runtime.parts import DeliveryFaults, Parts, Statements
from headwater.runtime.tables import SCHEMA

__all__ = ["assemble", "open_stores"]

_TABLE = re.compile(r"create\s+(?:virtual\s+)?table\s+(?:if\s+not\s+exists\s+)?[\"`\[]?(\w+)", re.IGNORECASE)


def assemble(
    app: App,
    *,
    data: Path,
    durability: Literal["disk", "process"] = "disk",
    instance: str | None = None,
    slot: int = 0,
    encode: bool = False,
    faults: DeliveryFaults | None = None,
    points: CrashPoints | None = None,
    replace: Mapping[Callable[..., Any], object] | None = None,
    fakes: Mapping[type[Message], Callable[[Any], Any]] | None = None,
    clock: Clock | None = None,
    bell: Bell | None = None,
) -> Node:
    """Return a node of all the application's modules on embedded parts under `data`.

    instance: shared by the workers of one instance, new for each start of it. slot: this worker's
    number. clock, bell, replace and fakes stand in for what tests want to hold in their hands. The
    caller holds the data folder's lock. Nothing is opened before `Node.start`.
    """
    clock, executor, points, ids = clock or SystemClock(), ThreadExecutor(), points or CrashPoints(), SystemIds()
    make = _stores(app, data, durability, clock=clock, executor=executor, points=points)
    parts = Parts(
        store=make, scratch=_scratch(make, data), clock=clock, random=SystemRandom(), ids=ids, executor=executor,
        bell=bell or SocketBell(data / "run", f"worker-{slot}"), telemetry=Meter(), points=points,
        owner=f"{instance or ids.new()}:{slot}:{ids.new()}", encode=encode, faults=faults, replace=replace,
        fakes=fakes, statements=_statements(),
        files=LocalFiles(data / "files", ids=ids, executor=executor),
    )
    return Node(app, parts)


def open_stores(app: App, *, data: Path) -> dict[str, SqliteStore]:
    """Return every module's store for a tool beside a running server: nothing is migrated. Not yet open."""
    make = _stores(
        app, data, "disk", clock=SystemClock(), executor=ThreadExecutor(), points=CrashPoints(), migrate=False
    )
    return {module.name: make(module) for module in app.modules}


def _stores(
    app: App, data: Path, durability: Literal["disk", "process"], *, clock: Clock, executor: Executor,
    points: CrashPoints, migrate: bool = True,
) -> Callable[..., SqliteStore]:
    owners = _table_owners(app)

    def make(module: Module, path: Path | None = None) -> SqliteStore:
        return SqliteStore(
            path or data / "modules" / f"{module.name}.db", app=app.name, module=module.name,
            migrations=module.migrations, framework_schema=SCHEMA, durability=durability, clock=clock,
            executor=executor, points=points, table_owner=owners.get, migrate=migrate,
        )

    return make


def _scratch(
    make: Callable[..., SqliteStore], data: Path
) -> Callable[[Module], AbstractAsyncContextManager[Store]]:
    @asynccontextmanager
    async def scratch(module: Module) -> AsyncGenerator[Store]:
        path = data / "run" / f"{module.name}.rebuild.db"
        _remove(path)
        store = make(module, path)
        await store.open()
        try:
            yield store
        finally:
            await store.close()
            _remove(path)

    return scratch


def _remove(path: Path) -> None:
    for leftover in path.parent.glob(path.name + "*"):
        leftover.unlink()


def _table_owners(app: App) -> dict[str, str]:
    """Which module's migrations create a table: read from their text, for error messages only."""
    return {
        table: module.name
        for module in app.modules
        if module.migrations is not None and module.migrations.is_dir()
        for path in sorted(module.migrations.glob("*.sql"))
        for table in _TABLE.findall(path.read_text(encoding="utf-8", errors="replace"))
    }


def _statements() -> Statements:
    """Return what turns a query builder's statements into SQL; its library is loaded with the first one."""
    compilers: list[Statements] = []

    def compile_with(statement: object) -> tuple[str, Mapping[str, object]]:
        if not compilers:
            from headwater.adapters.sqlalchemy_core import Compiler

            compilers.append(Compiler().compile)
        return compilers[0](statement)

    return compile_with

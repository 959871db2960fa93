"""Commands on the data of a running or stopped application: events, dead, projections, subscriptions."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any, TypeVar

import click

from headwater.cli.common import data_option, json_option, print_json, print_table, project_of, the_app
from headwater.errors import HeadwaterError
from headwater.model.app import App
from headwater.ports import Record, Store
from headwater.runtime import operate
from headwater.topology.assemble import open_stores
from headwater.topology.instance import SystemClock

__all__ = ["dead", "events", "projections", "subscriptions"]

T = TypeVar("T")
WAIT_SECONDS = 10.0
POLL_SECONDS = 0.3


def _with_stores(data: str | None, work: Callable[[App, dict[str, Store]], Awaitable[T]]) -> T:
    project = project_of(data=data)
    app = the_app(project)
    if not (project.data / "modules").is_dir():
        raise HeadwaterError(f"there is no data in {project.data}; run the application first, or give --data")

    async def run() -> T:
        stores: dict[str, Store] = dict(open_stores(app, data=project.data))
        opened: list[Store] = []
        try:
            for store in stores.values():
                await store.open()
                opened.append(store)
            return await work(app, stores)
        finally:
            for store in opened:
                await store.close()

    return asyncio.run(run())


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _deadline() -> float:
    return SystemClock.monotonic() + WAIT_SECONDS


def _record(module: str, record: Record) -> dict[str, Any]:
    try:
        payload = json.loads(record.payload)
    except ValueError:
        payload = {"undecodable": record.payload.hex()}
    return {
        "module": module, "position": record.position, "at": _time(record.at), "id": record.id,
        "name": f"{record.name}/{record.version}", "key": record.key, "trace": record.trace, "payload": payload,
    }


# --- events -----------------------------------------------------------------------------------


@click.group()
def events() -> None:
    """Look at the events that modules have emitted."""


@events.command("tail")
@click.option("--module", help="Only events of this module.")
@click.option("--name", help="Only events of this name, such as orders.placed.")
@click.option("-n", "--lines", default=20, show_default=True, type=click.IntRange(0), help="How many at first.")
@click.option("--follow", is_flag=True, help="Go on as events come in; Ctrl-C ends.")
@data_option
@json_option
def tail(
    module: str | None, name: str | None, lines: int, follow: bool, data: str | None, as_json: bool
) -> None:
    """Print the newest events; with --json, one JSON object a line when following, else one array."""

    async def work(_app: App, stores: dict[str, Store]) -> None:
        if module is not None and module not in stores:
            raise HeadwaterError(f"there is no module {module!r}; there are {', '.join(stores)}")
        chosen = {m: s for m, s in stores.items() if module in (None, m)}
        found: list[dict[str, Any]] = []
        after: dict[str, int] = {}
        for owner, store in chosen.items():
            records, after[owner] = await _newest(store, name, lines)
            found += [_record(owner, r) for r in records]
        found = sorted(found, key=lambda r: (r["at"], r["id"]))[max(0, len(found) - lines) :]
        if as_json and not follow:
            print_json(found)
            return
        _print_events(found, as_json)
        while follow:
            await asyncio.sleep(POLL_SECONDS)
            for owner, store in chosen.items():
                more, after[owner] = await store.log.read(
                    after=after[owner], names=[name] if name else [], limit=1000
                )
                _print_events([_record(owner, r) for r in more], as_json)

    _with_stores(data, work)


async def _newest(store: Store, name: str | None, lines: int) -> tuple[list[Record], int]:
    head = await store.log.head()
    window = max(lines, 1) * 4
    while True:
        start = max(0, head - window)
        records: list[Record] = []
        at = start
        while at < head:
            more, at = await store.log.read(after=at, names=[name] if name else [], limit=5000)
            records = [*records, *more][-max(lines, 1) :]
        if len(records) >= lines or start == 0:
            return records[-lines:] if lines else [], max(head, at)
        window *= 8


def _print_events(found: list[dict[str, Any]], as_json: bool) -> None:
    for r in found:
        said = json.dumps(r["payload"], ensure_ascii=False)
        click.echo(json.dumps(r) if as_json else f"{r['at']}  {r['name']}  {r['id']}  {r['key'] or '-'}  {said}")


@events.command("show")
@click.argument("event_id")
@data_option
@json_option
def show(event_id: str, data: str | None, as_json: bool) -> None:
    """Print one event, whole."""

    async def work(_app: App, stores: dict[str, Store]) -> dict[str, Any]:
        for owner, store in stores.items():
            for record in await store.log.find([event_id]):
                return _record(owner, record)
        raise HeadwaterError(f"there is no event {event_id!r}")

    _print_one(_with_stores(data, work), as_json)


def _print_one(found: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(found)
        return
    for key, value in found.items():
        click.echo(f"{key:<12}  {json.dumps(value, indent=2) if isinstance(value, dict) else value}")


# --- dead letters -----------------------------------------------------------------------------


@click.group()
def dead() -> None:
    """Deliveries and durable commands that were given up."""


def _dead_row(module: str, letter: operate.DeadLetter) -> dict[str, Any]:
    return {
        "id": letter.id, "module": module, "subscription": letter.subscription, "attempts": letter.attempts,
        "died_at": _time(letter.died_at), "error": letter.error, "record": _record(letter.source, letter.record),
    }


async def _letters(stores: dict[str, Store]) -> list[dict[str, Any]]:
    return [_dead_row(m, d) for m, s in stores.items() for d in await operate.dead_letters(s)]


async def _module_of(stores: dict[str, Store], dead_id: str) -> str:
    for letter in await _letters(stores):
        if letter["id"] == dead_id:
            return str(letter["module"])
    raise HeadwaterError(f"there is no dead letter {dead_id!r}; headwater dead list names them")


@dead.command("list")
@data_option
@json_option
def dead_list(data: str | None, as_json: bool) -> None:
    """List dead letters, oldest first within a module."""
    found = _with_stores(data, lambda _app, stores: _letters(stores))
    if as_json:
        print_json(found)
        return
    columns = ("id", "subscription", "attempts", "died_at")
    rows = [[*(d[c] for c in columns), d["record"]["name"], d["error"].splitlines()[0][:80]] for d in found]
    print_table(["ID", "SUBSCRIPTION", "ATTEMPTS", "DIED AT", "EVENT", "ERROR"], rows)


@dead.command("show")
@click.argument("dead_id")
@data_option
@json_option
def dead_show(dead_id: str, data: str | None, as_json: bool) -> None:
    """Print one dead letter, with its message and the error."""

    async def work(_app: App, stores: dict[str, Store]) -> dict[str, Any]:
        await _module_of(stores, dead_id)
        return next(d for d in await _letters(stores) if d["id"] == dead_id)

    _print_one(_with_stores(data, work), as_json)


def _settle(dead_id: str, data: str | None, as_json: bool, act: Callable[..., Awaitable[None]], done: str) -> None:
    async def work(_app: App, stores: dict[str, Store]) -> None:
        await act(stores[await _module_of(stores, dead_id)], dead_id, deadline=_deadline())

    _with_stores(data, work)
    if as_json:
        print_json({"id": dead_id, "done": done})
    else:
        click.echo(f"{dead_id}: {done}")


@dead.command("replay")
@click.argument("dead_id")
@data_option
@json_option
def dead_replay(dead_id: str, data: str | None, as_json: bool) -> None:
    """Put a dead letter back in line. Twice does no more than once."""
    _settle(dead_id, data, as_json, operate.replay, "back in line")


@dead.command("drop")
@click.argument("dead_id")
@data_option
@json_option
def dead_drop(dead_id: str, data: str | None, as_json: bool) -> None:
    """Delete a dead letter for good."""
    _settle(dead_id, data, as_json, operate.drop, "dropped")


# --- projections and subscriptions ------------------------------------------------------------


@click.group()
def projections() -> None:
    """Read models that are filled from events."""


@projections.command("list")
@json_option
def projections_list(as_json: bool) -> None:
    """List the projections and the tables that they fill."""
    app = the_app(project_of())
    found = [
        {"name": s.name, "tables": list(s.tables), "sources": list(s.sources)}
        for m in app.modules for s in m.subscriptions.values() if s.tables
    ]
    if as_json:
        print_json(found)
    else:
        rows = [[p["name"], ", ".join(p["tables"]), ", ".join(p["sources"])] for p in found]
        print_table(["NAME", "TABLES", "SOURCES"], rows)


@projections.command("rebuild")
@click.argument("name")
@data_option
@json_option
def rebuild(name: str, data: str | None, as_json: bool) -> None:
    """Ask for a projection to be filled again; the running application does it while serving."""

    async def work(app: App, stores: dict[str, Store]) -> None:
        owners = {s.name: m.name for m in app.modules for s in m.subscriptions.values() if s.tables}
        if name not in owners:
            raise HeadwaterError(f"there is no projection {name!r}; there are {', '.join(owners) or 'none'}")
        await operate.request_rebuild(stores[owners[name]], name, at=SystemClock.wall(), deadline=_deadline())

    _with_stores(data, work)
    if as_json:
        print_json({"name": name, "done": "asked for"})
    else:
        click.echo(f"{name}: a rebuild is asked for; the application does it while it serves, or at its next start")


@click.command()
@data_option
@json_option
def subscriptions(data: str | None, as_json: bool) -> None:
    """Print position, head, lag, retries and dead letters of every subscription."""
    found = _with_stores(data, lambda app, stores: operate.subscriptions(stores, app))
    if as_json:
        print_json(found)
        return
    rows = [[s.name, s.source, s.position, s.head, s.lag, s.retrying, s.dead, s.error[:60]] for s in found]
    print_table(["NAME", "SOURCE", "POSITION", "HEAD", "LAG", "RETRYING", "DEAD", "ERROR"], rows)

"""What people do with a running or stopped application's data: look, and set right.

Needs only stores, so it works from another process while the server runs. It never runs a handler:
`replay` puts a dead letter back in line, and whoever serves the subscription picks it up.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from headwater.errors import HeadwaterError
from headwater.model.app import App
from headwater.model.codec import from_json
from headwater.model.message import Value
from headwater.ports import Record, Store

__all__ = [
    "LAG_MOST", "DeadLetter", "SubscriptionState", "dead_letters", "drop", "replay", "request_rebuild", "sends",
    "subscriptions",
]

_DEAD = "select id, subscription, source, position, key, attempts, error, record, died_at from hw_dead"
WAIT_SECONDS = 10.0
LAG_MOST = 10_000


class DeadLetter(Value):
    """A delivery or durable command that was given up. `id` is unique within its module."""

    id: str
    subscription: str
    source: str
    position: int
    key: str
    attempts: int
    error: str
    died_at: float
    record: Record


class SubscriptionState(Value):
    """How far a subscription has come. lag: events of its kinds not dealt with; `LAG_MOST` means that many or more.

    oldest: when the first of them was committed, in Unix seconds, 0.0 for none. error: newest of a retry.
    """

    name: str
    module: str
    source: str
    position: int
    head: int
    lag: int
    oldest: float
    retrying: int
    dead: int
    owner: str
    error: str


async def _fetch(store: Store, sql: str, params: Mapping[str, object]) -> list[Any]:
    snapshot = store.read()
    try:
        return list(await snapshot.fetch(sql, params, most=100_000))
    finally:
        snapshot.close()


async def dead_letters(store: Store, subscription: str | None = None) -> list[DeadLetter]:
    """Return a module's dead letters, oldest first; of one subscription if it is named."""
    where = "" if subscription is None else " where subscription = :s"
    rows = await _fetch(
        store, f"{_DEAD}{where} order by died_at, id", {} if subscription is None else {"s": subscription}
    )
    return [
        DeadLetter(
            id=i, subscription=s, source=src, position=p, key=k, attempts=a, error=e, died_at=d,
            record=from_json(Record, r),
        )
        for i, s, src, p, k, a, e, r, d in rows
    ]


async def replay(store: Store, dead_id: str, *, deadline: float) -> None:
    """Put a dead letter back in line with its id and a fresh count of attempts.

    Doing so twice does no more than once. Raises HeadwaterError for an unknown id.
    """
    unit = await store.begin(deadline=deadline)
    try:
        rows = await unit.fetch(f"{_DEAD} where id = :id", {"id": dead_id})
        if not rows:
            raise HeadwaterError(f"there is no dead letter {dead_id!r} in this module")
        _, subscription, source, position, key, _, error, record, _ = rows[0]
        message = from_json(Record, record)
        if subscription.endswith(":sends"):
            await unit.execute(
                """insert into hw_send (id, due, attempts, error, record) values (:id, 0, 0, :error, :record)
                on conflict do nothing""",
                {"id": message.id, "error": error, "record": record},
            )
        else:
            await unit.execute(
                """insert into hw_retry (subscription, id, source, position, key, attempts, due, error, record)
                values (:s, :id, :source, :position, :key, 0, 0, :error, :record) on conflict do nothing""",
                {
                    "s": subscription, "id": message.id, "source": source, "position": position, "key": key,
                    "error": error, "record": record,
                },
            )
        await unit.execute("delete from hw_dead where id = :id", {"id": dead_id})
    except BaseException:
        await unit.rollback()
        raise
    await unit.commit()


async def drop(store: Store, dead_id: str, *, deadline: float) -> None:
    """Delete a dead letter for good. Raises HeadwaterError for an unknown id."""
    unit = await store.begin(deadline=deadline)
    try:
        if await unit.execute("delete from hw_dead where id = :id", {"id": dead_id}) != 1:
            raise HeadwaterError(f"there is no dead letter {dead_id!r} in this module")
    except BaseException:
        await unit.rollback()
        raise
    await unit.commit()


async def request_rebuild(store: Store, projection: str, *, at: float, deadline: float) -> None:
    """Ask for a projection to be filled again; whoever serves the module does it."""
    unit = await store.begin(deadline=deadline)
    try:
        await unit.execute(
            """insert into hw_rebuild (name, asked_at, error) values (:name, :at, '')
            on conflict (name) do update set asked_at = excluded.asked_at, error = ''""",
            {"name": projection, "at": at},
        )
    except BaseException:
        await unit.rollback()
        raise
    await unit.commit()


async def subscriptions(stores: Mapping[str, Store], app: App) -> list[SubscriptionState]:
    """Return the state of every subscription, one row for each of its sources."""
    states: list[SubscriptionState] = []
    for module in app.modules:
        store = stores[module.name]
        for subscription in module.subscriptions.values():
            for source in subscription.sources:
                names = sorted(
                    h.contract.name for h in subscription.handlers.values() if h.contract.module == source
                )
                states.append(await _state(store, stores[source], subscription.name, module.name, source, names))
    return states


async def sends(stores: Mapping[str, Store], *, now: float) -> list[SubscriptionState]:
    """Return the state of every module's durable commands. lag: those that are due; one sent for later is not late."""
    return [await _sends(store, module, now) for module, store in stores.items()]


async def _sends(store: Store, module: str, now: float) -> SubscriptionState:
    name = f"{module}:sends"
    found = await _fetch(
        store,
        """select (select count(*) from hw_send where due <= :now),
        (select min(due) from hw_send where due between 1 and :now),
        (select count(*) from hw_send where attempts > 0),
        (select count(*) from hw_dead where subscription = :s),
        (select owner from hw_lease where name = :s),
        (select error from hw_send where error <> '' order by due limit 1)""",
        {"s": name, "now": now},
    )
    due, oldest, retrying, dead, owner, error = found[0]
    return SubscriptionState(
        name=name, module=module, source=module, position=0, head=0, lag=due, oldest=oldest or now, retrying=retrying,
        dead=dead, owner=owner or "", error=error or "",
    )


async def _state(
    store: Store, origin: Store, name: str, module: str, source: str, names: list[str]
) -> SubscriptionState:
    found = await _fetch(
        store,
        """select (select position from hw_cursor where subscription = :s and source = :source),
        (select count(*) from hw_retry where subscription = :s and source = :source),
        (select count(*) from hw_dead where subscription = :s and source = :source),
        (select owner from hw_lease where name = :s),
        (select error from hw_retry where subscription = :s and source = :source and error <> ''
            order by due limit 1)""",
        {"s": name, "source": source},
    )
    position, retrying, dead, owner, error = found[0]
    lag, oldest = await origin.log.behind(after=position or 0, names=names, most=LAG_MOST)
    return SubscriptionState(
        name=name, module=module, source=source, position=position or 0, head=await origin.log.head(),
        lag=lag, oldest=oldest, retrying=retrying, dead=dead, owner=owner or "", error=error or "",
    )

"""What a subscription has written down: its cursors, what took effect, what is parked, what is dead.

All of it lives in the subscriber's own database. Whatever goes with an effect takes the effect's unit;
the rest reads.
"""

from __future__ import annotations

from headwater.model.codec import from_json, to_json
from headwater.ports import Clock, Params, Record, Row, Store, Unit

__all__ = ["Inbox", "Parked"]

ERROR_CHARACTERS = 2_000

_HEAD = """subscription = :s and (key = '' or not exists (
    select 1 from hw_retry as e where e.subscription = r.subscription and e.source = r.source
    and e.key = r.key and e.position < r.position))"""
_HEADS = f"""select source, attempts, record from hw_retry as r
where {_HEAD} and due <= :now order by position limit 64"""  # noqa: S608 - our own words
_NEXT_DUE = f"select min(due) from hw_retry as r where {_HEAD}"  # noqa: S608
_PARK = """insert into hw_retry (subscription, id, source, position, key, attempts, due, error, record)
values (:s, :id, :source, :position, :key, :attempts, :due, :error, :record) on conflict do nothing"""
_BURY = """insert into hw_dead (id, subscription, source, position, key, attempts, error, record, died_at)
values (:id, :s, :source, :position, :key, :attempts, :error, :record, :now) on conflict do nothing"""


class Parked:
    """A delivery that waits for its next attempt."""

    __slots__ = ("attempts", "record", "source")

    def __init__(self, source: str, attempts: int, record: Record) -> None:
        self.source = source
        self.attempts = attempts
        self.record = record


class Inbox:
    """One subscription's rows in its module's database."""

    __slots__ = ("_clock", "_store", "name")

    def __init__(self, name: str, store: Store, clock: Clock) -> None:
        self.name = name
        self._store = store
        self._clock = clock

    # --- cursors ------------------------------------------------------------------------------

    async def begin_at(self, unit: Unit, source: str, position: int) -> int:
        """Give a new subscription its cursor; return where the cursor is."""
        await unit.execute(
            """insert into hw_cursor (subscription, source, position) values (:s, :source, :p)
            on conflict do nothing""",
            {**self._of(source), "p": position},
        )
        return await self.cursor(unit, source)

    async def cursor(self, unit: Unit, source: str) -> int:
        """Return how far the source's log has been dealt with."""
        rows = await unit.fetch(
            "select position from hw_cursor where subscription = :s and source = :source", self._of(source)
        )
        return int(rows[0][0])

    async def cursors(self) -> dict[str, int]:
        """Return every cursor, as committed."""
        rows = await self._read("select source, position from hw_cursor where subscription = :s", {"s": self.name})
        return dict(rows)

    async def move(self, unit: Unit, source: str, position: int) -> None:
        """Move the cursor on; never back."""
        await unit.execute(
            "update hw_cursor set position = :p where subscription = :s and source = :source and position < :p",
            {**self._of(source), "p": position},
        )

    # --- effects ------------------------------------------------------------------------------

    async def known(self, record: Record) -> bool:
        """Whether the event has taken effect, as committed."""
        return bool(
            await self._read("select 1 from hw_inbox where subscription = :s and id = :id", self._id(record))
        )

    async def first_time(self, unit: Unit, record: Record) -> bool:
        """Enter the event; False when its effect is there already. Unique by the table's key."""
        return await unit.execute(
            "insert into hw_inbox (subscription, id, at) values (:s, :id, :at) on conflict do nothing",
            {**self._id(record), "at": self._clock.wall()},
        ) == 1

    # --- what failed --------------------------------------------------------------------------

    async def blocked(self, unit: Unit, source: str) -> set[str]:
        """Return the keys that have a parked delivery: later ones wait behind it."""
        rows = await unit.fetch(
            "select distinct key from hw_retry where subscription = :s and source = :source and key <> ''",
            self._of(source), most=1_000_000,
        )
        return {key for (key,) in rows}

    async def any_parked(self) -> bool:
        """Whether anything is parked."""
        return bool(await self._read("select 1 from hw_retry where subscription = :s limit 1", {"s": self.name}))

    async def due(self) -> list[Parked]:
        """Return parked deliveries whose time has come, the first of each key only."""
        rows = await self._read(_HEADS, {"s": self.name, "now": self._clock.wall()})
        return [Parked(source, attempts, from_json(Record, data)) for source, attempts, data in rows]

    async def next_due(self) -> float | None:
        """Return when the next parked delivery is due, in wall seconds."""
        due: float | None = (await self._read(_NEXT_DUE, {"s": self.name}))[0][0]
        return due

    async def park(
        self, unit: Unit, source: str, record: Record, *, attempts: int = 0, due: float = 0.0, error: str = ""
    ) -> None:
        """Set a delivery aside."""
        await unit.execute(
            _PARK, {**self._row(source, record), "attempts": attempts, "due": due, "error": error[:ERROR_CHARACTERS]}
        )

    async def count(self, unit: Unit, record: Record, *, attempts: int, due: float, error: str | None = None) -> bool:
        """Note an attempt at a parked delivery; False when it is parked no more."""
        keep = "" if error is None else ", error = :error"
        params: dict[str, object] = {**self._id(record), "attempts": attempts, "due": due}
        if error is not None:
            params["error"] = error[:ERROR_CHARACTERS]
        return await unit.execute(
            f"update hw_retry set attempts = :attempts, due = :due{keep} where subscription = :s and id = :id",  # noqa: S608
            params,
        ) == 1

    async def unpark(self, unit: Unit, record: Record) -> None:
        """Forget a parked delivery."""
        await unit.execute("delete from hw_retry where subscription = :s and id = :id", self._id(record))

    async def bury(self, unit: Unit, source: str, record: Record, *, attempts: int, error: str) -> None:
        """Make a delivery a dead letter."""
        await unit.execute(
            _BURY,
            {
                **self._row(source, record), "id": f"{self.name}:{record.id}", "attempts": attempts,
                "error": error[:ERROR_CHARACTERS], "now": self._clock.wall(),
            },
        )

    # --- parameters ---------------------------------------------------------------------------

    def _of(self, source: str) -> dict[str, object]:
        return {"s": self.name, "source": source}

    def _id(self, record: Record) -> dict[str, object]:
        return {"s": self.name, "id": record.id}

    def _row(self, source: str, record: Record) -> dict[str, object]:
        return {
            "s": self.name, "id": record.id, "source": source, "position": record.position, "key": record.key,
            "record": to_json(record),
        }

    async def _read(self, sql: str, params: Params) -> list[Row]:
        snapshot = self._store.read()
        try:
            return list(await snapshot.fetch(sql, params))
        finally:
            snapshot.close()

"""What every `EventLog` promises, as tests; used as `StoreKit` is, with the same factory."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest
from msgspec.structs import replace

from headwater.errors import QueryError
from headwater.ports import Record, Store
from headwater.testing.store_kit import StoreHouse, soon

__all__ = ["LogKit"]


def record(number: int, name: str = "kit.happened") -> Record:
    """Return an event; its id says its number."""
    return Record(
        id=f"id-{number:04d}", name=name, version=2, key=f"k{number % 3}", payload=b'{"n":%d}' % number,
        at=1e9 + number / 8, trace="00-" + "0" * 31 + "1-" + "0" * 15 + "1-01", identity=b'{"name":"me"}',
    )


async def append(store: Store, *records: Record) -> int:
    """Append in a unit of its own."""
    unit = await store.begin(deadline=soon())
    await unit.append(records)
    return await unit.commit()


async def ids(store: Store, *, after: int = 0, names: Sequence[str] = (), limit: int = 1000) -> list[str]:
    """Return the ids that a read answers with."""
    records, _ = await store.log.read(after=after, names=names, limit=limit)
    return [r.id for r in records]


class LogKit(StoreHouse):
    """The promises of `headwater.ports.log`."""

    async def test_an_empty_log(self, tmp_path: Path) -> None:
        """Its head is 0, and reading finds nothing."""
        async with self.opened(tmp_path) as store:
            assert await store.log.head() == 0
            assert await store.log.read(after=0, names=(), limit=10) == ([], 0)

    async def test_records_come_back_whole_and_in_order(self, tmp_path: Path) -> None:
        """Every field survives; positions ascend; `commit` returns the last one."""
        async with self.opened(tmp_path) as store:
            written = [record(number) for number in range(3)]
            head = await append(store, *written)
            found, looked = await store.log.read(after=0, names=(), limit=10)
            positions = [r.position for r in found]
            assert positions == sorted(set(positions))
            assert positions[0] > 0
            assert positions[-1] == head == looked == await store.log.head()
            assert [replace(r, position=0) for r in found] == written

    async def test_reading_goes_on_where_it_stopped(self, tmp_path: Path) -> None:
        """At the limit the answered position is the last record's; else it is the head."""
        async with self.opened(tmp_path) as store:
            head = await append(store, *(record(number) for number in range(5)))
            seen: list[str] = []
            after = 0
            while after < head:
                found, after = await store.log.read(after=after, names=(), limit=2)
                assert len(found) <= 2
                assert not found or found[-1].position <= after
                seen += [r.id for r in found]
            assert seen == [record(number).id for number in range(5)]

    async def test_only_the_names_asked_for(self, tmp_path: Path) -> None:
        """Other names are passed over, and the position says so, also when nothing was found."""
        async with self.opened(tmp_path) as store:
            head = await append(store, record(1, "kit.a"), record(2, "kit.b"), record(3, "kit.a"), record(4, "kit.c"))
            assert await ids(store, names=["kit.a", "kit.b"]) == ["id-0001", "id-0002", "id-0003"]
            assert await store.log.read(after=0, names=["kit.none"], limit=10) == ([], head)

    async def test_only_committed_records_are_read(self, tmp_path: Path) -> None:
        """What a unit appended and rolled back is never seen; its neighbours' records are."""
        async with self.opened(tmp_path) as store:

            async def work(number: int) -> None:
                unit = await store.begin(deadline=soon())
                await unit.append([record(number)])
                await (unit.rollback() if number % 2 else unit.commit())

            await asyncio.gather(*(work(number) for number in range(8)))
            assert await ids(store) == ["id-0000", "id-0002", "id-0004", "id-0006"]

    async def test_an_id_is_appended_once(self, tmp_path: Path) -> None:
        """The same id again is a QueryError, and the first record stands."""
        async with self.opened(tmp_path) as store:
            await append(store, record(1))
            unit = await store.begin(deadline=soon())
            with pytest.raises(QueryError):
                await unit.append([record(1)])
            await unit.rollback()
            assert await ids(store) == ["id-0001"]

    async def test_positions_grow_by_commit_order(self, tmp_path: Path) -> None:
        """A reader that follows the log while many units append sees every record once, in order."""
        async with self.opened(tmp_path) as store:
            seen: list[str] = []

            async def follow() -> None:
                after = 0
                while len(seen) < 100:
                    found, after = await store.log.read(after=after, names=(), limit=7)
                    seen.extend(r.id for r in found)
                    await asyncio.sleep(0)

            follower = asyncio.create_task(follow())
            heads = await asyncio.gather(*(append(store, record(number)) for number in range(100)))
            await asyncio.wait_for(follower, 10)
            assert seen == [record(number).id for number in range(100)]
            assert heads == sorted(set(heads))

    async def test_positions_are_never_used_twice(self, tmp_path: Path) -> None:
        """Not after a rollback, not after old records were removed, not after a restart."""
        async with self.opened(tmp_path) as store:
            first = await append(store, record(1), record(2))
            unit = await store.begin(deadline=soon())
            await unit.append([record(3)])
            await unit.rollback()
            assert (second := await append(store, record(4))) > first
            unit = await store.begin(deadline=soon())
            await unit.execute("delete from hw_log", {})
            await unit.commit()
            assert (third := await append(store, record(5))) > second
        if self.survives_restart:
            async with self.opened(tmp_path) as store:
                assert await store.log.head() == third
                assert await append(store, record(6)) > third

    async def test_records_are_found_by_id(self, tmp_path: Path) -> None:
        """In log order, whatever order was asked in; unknown ids are left out."""
        async with self.opened(tmp_path) as store:
            await append(store, *(record(number) for number in range(4)))
            found = await store.log.find(["id-0003", "none", "id-0001"])
            assert [r.id for r in found] == ["id-0001", "id-0003"]

    async def test_what_is_left_is_counted_without_being_read(self, tmp_path: Path) -> None:
        """`behind` counts what `read` would give, up to its limit, and knows the age of the first."""
        async with self.opened(tmp_path) as store:
            assert await store.log.behind(after=0, names=(), most=9) == (0, 0.0)
            await append(store, *(record(n, name=f"kit.{'odd' if n % 2 else 'even'}") for n in range(6)))
            first = (await store.log.read(after=0, names=(), limit=1))[0][0].position
            assert await store.log.behind(after=first, names=(), most=9) == (5, record(1).at)
            assert await store.log.behind(after=first, names=("kit.even",), most=9) == (2, record(2).at)
            assert await store.log.behind(after=0, names=("kit.odd", "kit.even"), most=4) == (4, record(0).at)
            assert await store.log.behind(after=await store.log.head(), names=(), most=9) == (0, 0.0)

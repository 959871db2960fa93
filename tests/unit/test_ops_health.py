"""Health: of a real node on real stores, whose parts are broken one at a time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from headwater import App, Event, Module, Tx, contract
from headwater.ops.health import DISK_BYTES_LEAST, LAG_SECONDS, STORE_SECONDS, Health, health_of
from headwater.runtime.delivery import Fenced, Pump
from headwater.runtime.node import Node
from tests.flow.house import parts


@contract("desk.rung", v=1)
class Rung(Event):
    """Somebody rang."""


def modules() -> list[Module]:
    desk, porter = Module("desk"), Module("porter")

    @porter.on(Rung)
    async def hear(_event: Rung, _tx: Tx) -> None:
        pass

    return [desk, porter]


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[Node]:
    made = Node(App("house", modules=modules()), parts(tmp_path))
    await made.start()
    try:
        yield made
    finally:
        await made.stop()


async def look(node: Node, **said: Any) -> Health:
    return await health_of(node, **{"served": True, "disk_free": DISK_BYTES_LEAST, "lag": LAG_SECONDS, **said})


def pump(node: Node) -> Pump:
    return next(worker for worker in node.workers if isinstance(worker, Pump))


async def test_a_node_that_is_well(node: Node) -> None:
    """Every store, every worker, the disk, the loop and the load are looked at, and nothing is the matter."""
    health = await look(node)
    assert (health.status, health.reasons) == ("ready", ())
    names = [check.name for check in health.checks]
    assert len(names) == len(set(names))
    assert {"node", "store desk", "store porter", "disk", "loop", "load", pump(node).name} <= set(names)
    assert {worker.name for worker in node.workers} <= set(names)


async def test_a_node_that_has_not_begun(tmp_path: Path) -> None:
    node = Node(App("house", modules=modules()), parts(tmp_path))
    health = await look(node, served=False)
    assert health.status == "not-ready"
    assert "node: starting" in health.reasons


async def test_a_node_that_retires_says_so_while_it_serves(node: Node) -> None:
    node.retire()
    health = await look(node)
    assert (health.status, health.reasons) == ("not-ready", ("node: draining",))


async def test_a_node_that_drains_is_not_told_to_be_full(node: Node) -> None:
    """It refuses everybody; the reason is not that there is too much to do."""
    node.pause()
    assert (await look(node)).reasons == ("node: draining",)


async def test_a_store_that_cannot_be_read(node: Node) -> None:
    await node.stores["desk"].close()
    health = await look(node)
    assert health.status == "not-ready"
    (reason,) = [r for r in health.reasons if r.startswith("store ")]
    assert reason.startswith("store desk: ")


async def test_stores_that_do_not_answer_hold_up_nobody(node: Node) -> None:
    """The other checks are there all the same, after a second and not after one for each store."""
    looked: list[str] = []

    class Stuck:
        def read(self) -> Stuck:
            return self

        async def fetch(self, *_: object) -> list[Any]:
            looked.append("fetch")
            while len(looked) < len(node.stores):  # until the other store is looked at too
                await asyncio.sleep(0)
            await asyncio.Event().wait()
            return []

        def close(self) -> None:
            looked.append("close")

    real = dict(node.stores)
    node.stores.update(dict.fromkeys(real, Stuck()))  # type: ignore[arg-type]
    try:
        async with asyncio.timeout(20 * STORE_SECONDS):
            health = await look(node)
    finally:
        node.stores.update(real)
    assert [c.name for c in health.checks if c.state == "not-ready"] == ["store desk", "store porter"]
    assert "no answer within 1 s" in health.reasons[0]
    assert looked == ["fetch", "fetch", "close", "close"]


async def test_a_worker_that_has_ended(node: Node) -> None:
    """Its events would wait for ever, so nobody should be sent here."""
    broken = pump(node)
    broken.abandon()
    while broken.alive:
        await asyncio.sleep(0)
    health = await look(node)
    assert (health.status, health.reasons) == ("not-ready", (f"{broken.name}: has ended",))


async def test_a_worker_that_fails_is_told_of_until_it_does_not(node: Node) -> None:
    """Degraded: it goes on trying, and the neighbours are no better."""
    broken = pump(node)
    broken.failure = RuntimeError("no luck")
    health = await look(node)
    assert (health.status, health.reasons) == ("degraded", (f"{broken.name}: RuntimeError: no luck",))
    broken.failure = None
    assert (await look(node)).status == "ready"


async def test_a_worker_whose_work_a_neighbour_does_is_well(node: Node) -> None:
    pump(node).failure = Fenced("the neighbour has it")
    assert (await look(node)).status == "ready"


@pytest.mark.parametrize(("free", "status"), [(None, "ready"), (DISK_BYTES_LEAST, "ready"), (DISK_BYTES_LEAST - 1, "degraded"), (0, "degraded")])
async def test_a_disk_that_is_almost_full(node: Node, free: int | None, status: str) -> None:
    """Degraded and no more: reads work."""
    health = await look(node, disk_free=free)
    assert health.status == status
    assert [r.partition(":")[0] for r in health.reasons] == ([] if status == "ready" else ["disk"])


async def test_a_loop_that_was_late(node: Node) -> None:
    health = await look(node, lag=LAG_SECONDS + 0.5)
    assert (health.status, health.reasons) == ("degraded", ("loop: it was 1.5 s late within the last minute",))


async def test_load_degrades_before_it_refuses_everybody(node: Node) -> None:
    most = node.parts.in_flight_most
    for _ in range(int(most * 0.7)):
        node.enter()
    health = await look(node)
    assert (health.status, health.reasons) == (
        "degraded", ("load: there is much to do: refused are calls of priority low",)
    )
    for _ in range(most - node.in_flight):
        node.enter()
    health = await look(node)
    assert health.status == "not-ready"
    assert "takes no more calls" in health.reasons[0]
    while node.in_flight:
        node.leave()
    assert (await look(node)).status == "ready"


async def test_the_worst_decides(node: Node) -> None:
    """And everything that is not well is named."""
    node.retire()
    health = await look(node, disk_free=0, lag=9.0)
    assert health.status == "not-ready"
    assert [r.partition(":")[0] for r in health.reasons] == ["node", "disk", "loop"]

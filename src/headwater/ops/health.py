"""Whether a process may be sent work, and if not, why.

Degraded is no reason to send work elsewhere: where a disk is full, reads still work, and the neighbours are no better.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Literal

from headwater.errors import HeadwaterError
from headwater.model.contract import PRIORITIES
from headwater.model.message import Value
from headwater.ports import Store
from headwater.runtime.delivery import Fenced
from headwater.runtime.node import Node

__all__ = ["STORE_SECONDS", "Check", "Health", "State", "health_of"]

State = Literal["ready", "degraded", "not-ready"]
STORE_SECONDS = 1.0
LAG_SECONDS = 1.0
"""A loop that was later than this within the last minute is told of."""
DISK_BYTES_LEAST = 64 * 1024 * 1024
_RANKS: tuple[State, ...] = ("ready", "degraded", "not-ready")


class Check(Value, frozen=True):
    """One thing that was looked at. reason: "" when all is well."""

    name: str
    state: State
    reason: str = ""


class Health(Value, frozen=True):
    """All that was looked at; the worst of it is the status."""

    status: State
    checks: tuple[Check, ...]

    @property
    def reasons(self) -> tuple[str, ...]:
        """What is not well, in words."""
        return tuple(f"{c.name}: {c.reason}" for c in self.checks if c.state != "ready")


async def health_of(node: Node, *, served: bool, disk_free: int | None, lag: float) -> Health:
    """Look at a node. served: whether it has been ready before. lag: the most of the last minute, in seconds."""
    stores = [_store(name, store) for name, store in node.stores.items()]
    checks = (
        _life(node, served=served), *await asyncio.gather(*stores), *_workers(node), _disk(disk_free), _loop(lag),
        _room(node),
    )
    status: State = _RANKS[max(_RANKS.index(check.state) for check in checks)]
    return Health(status=status, checks=checks)


def _life(node: Node, *, served: bool) -> Check:
    if node.ready:
        return Check(name="node", state="ready")
    return Check(name="node", state="not-ready", reason="draining" if served else "starting")


async def _store(name: str, store: Store) -> Check:
    told = f"store {name}"
    try:
        async with asyncio.timeout(STORE_SECONDS):
            snapshot = store.read()
            try:
                await snapshot.fetch("select 1", {})
            finally:
                snapshot.close()
    except TimeoutError:
        return Check(name=told, state="not-ready", reason=f"no answer within {STORE_SECONDS:g} s")
    except HeadwaterError as error:
        return Check(name=told, state="not-ready", reason=str(error))
    return Check(name=told, state="ready")


def _workers(node: Node) -> Iterable[Check]:
    for worker in node.workers:
        if not worker.alive:
            yield Check(name=worker.name, state="not-ready", reason="has ended")
        elif worker.failure is not None and not isinstance(worker.failure, Fenced):  # a neighbour does that work
            said = f"{type(worker.failure).__name__}: {worker.failure}"
            yield Check(name=worker.name, state="degraded", reason=said)
        else:
            yield Check(name=worker.name, state="ready")


def _disk(free: int | None) -> Check:
    if free is not None and free < DISK_BYTES_LEAST:
        return Check(name="disk", state="degraded", reason=f"{free} bytes are free where the data lies")
    return Check(name="disk", state="ready")


def _loop(lag: float) -> Check:
    if lag > LAG_SECONDS:
        return Check(name="loop", state="degraded", reason=f"it was {lag:.1f} s late within the last minute")
    return Check(name="loop", state="ready")


def _room(node: Node) -> Check:
    refused = PRIORITIES[node.lowest + 1 :]
    if not node.taking or not refused:
        return Check(name="load", state="ready")
    if len(refused) == len(PRIORITIES):
        return Check(name="load", state="not-ready", reason="it has as much to do as it can, and takes no more calls")
    why = "the event loop is late" if len(refused) == node.shedding else "there is much to do"
    return Check(name="load", state="degraded", reason=f"{why}: refused are calls of priority {', '.join(refused)}")

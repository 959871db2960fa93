"""Everything a node gets from outside: the real parts, or simulated ones. No part is optional magic."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any

from headwater.model.message import Message
from headwater.model.module import Module
from headwater.ports import Bell, Clock, CrashPoints, Executor, Files, Ids, Random, Store, Telemetry

__all__ = ["DeliveryFaults", "Parts", "Statements"]

Statements = Callable[[object], tuple[str, Mapping[str, object]]]
"""Turns a statement object of a query builder into SQL and the values it carries."""


class DeliveryFaults:
    """Deliver events badly on purpose, as a real broker would on a bad day. For dev and tests.

    duplicate: chance (0..1) that a delivery happens twice. delay: longest extra wait, in seconds.
    """

    __slots__ = ("delay", "duplicate")

    def __init__(self, *, duplicate: float = 0.0, delay: float = 0.0) -> None:
        self.duplicate = duplicate
        self.delay = delay


class Parts:
    """One node's parts.

    owner: `instance:slot:run`, unique for each process and run; leases are held under it.
    scratch: lends an empty, temporary store with a module's schema; projections are rebuilt in it.
    encode: near calls encode and decode like remote ones, always.
    replace: providers (of `Use`) that are replaced by a value. fakes: contracts answered by a function.
    files: where large content is kept, if anywhere.
    in_flight_most: calls from outside at one time; more are refused as Overloaded.
    """

    __slots__ = (
        "bell", "clock", "encode", "executor", "fakes", "faults", "files", "ids", "in_flight_most", "owner", "points",
        "random", "replace", "scratch", "statements", "store", "telemetry",
    )

    def __init__(
        self,
        *,
        store: Callable[[Module], Store],
        scratch: Callable[[Module], AbstractAsyncContextManager[Store]],
        clock: Clock,
        random: Random,
        ids: Ids,
        executor: Executor,
        bell: Bell,
        telemetry: Telemetry,
        points: CrashPoints,
        owner: str,
        encode: bool = False,
        faults: DeliveryFaults | None = None,
        replace: Mapping[Callable[..., Any], object] | None = None,
        fakes: Mapping[type[Message], Callable[[Any], Any]] | None = None,
        statements: Statements | None = None,
        in_flight_most: int = 4096,
        files: Files | None = None,
    ) -> None:
        self.store = store
        self.scratch = scratch
        self.clock = clock
        self.random = random
        self.ids = ids
        self.executor = executor
        self.bell = bell
        self.telemetry = telemetry
        self.points = points
        self.owner = owner
        self.encode = encode
        self.faults = faults
        self.replace = dict(replace or {})
        self.fakes = dict(fakes or {})
        self.statements = statements
        self.in_flight_most = in_flight_most
        self.files = files

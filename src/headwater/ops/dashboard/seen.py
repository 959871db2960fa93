"""What there is to see of an application at one moment. Counts are since the start of the processes that count them."""

from __future__ import annotations

from headwater.model.message import Value
from headwater.ops.snapshot import StoreFigures
from headwater.ports import SlowStatement, TraceRecord

__all__ = ["OUTSIDE", "Arrow", "Burn", "ContractSeen", "Dead", "Process", "Seen", "Subscribed"]

OUTSIDE = ""
"""Where a request comes from that no module made."""


class Arrow(Value, frozen=True):
    """One way that messages take: from a module, or from outside, to a module.

    kind: "request" from outside, "call" between modules, "event" to a subscription. errors: calls that ended as not
    executed or unknown, deliveries that failed. A declared refusal is no error.
    """

    source: str
    target: str
    name: str
    kind: str
    count: int = 0
    errors: int = 0


class ContractSeen(Value):
    """One contract. buckets: how many calls took at most as long as each of `EDGES` of the meter says, and longer."""

    name: str
    kind: str
    module: str
    buckets: tuple[int, ...] = ()
    failure: int = 0
    not_executed: int = 0
    unknown: int = 0


class Subscribed(Value):
    """How far a subscription has come with one source. oldest: seconds that the first event waits, None if unknown."""

    name: str
    module: str
    source: str
    lag: int
    retrying: int = 0
    dead: int = 0
    owner: str = ""
    error: str = ""
    oldest: float | None = None


class Dead(Value):
    """A delivery that was given up. died_at: Unix seconds."""

    module: str
    id: str
    subscription: str
    message: str
    key: str
    attempts: int
    error: str
    died_at: float


class Process(Value):
    """One process and how it is. reasons: why it is not ready, or not well. What nobody measured is None."""

    name: str
    pid: int
    uptime: float
    ready: bool
    reasons: tuple[str, ...] = ()
    in_flight: int | None = None
    connections: int | None = None
    memory: int | None = None
    loop_lag: float | None = None


class Burn(Value):
    """How fast a contract's error budget is used up: 1.0 uses exactly all of it over the objective's period.

    aim: in words. windows: length in words, and rate. left: share of the budget that is left. alert: "" or in words.
    """

    contract: str
    aim: str
    windows: tuple[tuple[str, float], ...]
    left: float
    alert: str = ""


class Seen(Value):
    """All of it. at: Unix seconds. modules: in the application's order."""

    app: str
    version: str
    at: float
    modules: tuple[str, ...]
    arrows: tuple[Arrow, ...] = ()
    contracts: tuple[ContractSeen, ...] = ()
    subscriptions: tuple[Subscribed, ...] = ()
    dead: tuple[Dead, ...] = ()
    dead_count: int = 0
    slow: tuple[SlowStatement, ...] = ()
    traces: tuple[TraceRecord, ...] = ()
    processes: tuple[Process, ...] = ()
    burns: tuple[Burn, ...] = ()
    stores: tuple[StoreFigures, ...] = ()
    notes: tuple[str, ...] = ()

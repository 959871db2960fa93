"""Everything that is told of a running application, as plain values.

A worker tells of itself in a `Snapshot` with one process; `merge` makes one of several. Counts are since the start of
the processes that count them, and never go down while those live. What lies in the shared stores is told by
`Backlog`: it is the same for every worker, so it is not added up.

Every histogram is a tuple of counts, one for each upper edge of its scale and one for what lies beyond.
"""

from __future__ import annotations

from headwater.model.message import Value
from headwater.ports import Outcome
from headwater.runtime.heart import LAG_EDGES
from headwater.runtime.meter import EDGES, SIZE_EDGES

__all__ = [
    "LAG_EDGES",
    "Backlog",
    "ContractFigures",
    "DeliveryFigures",
    "Missing",
    "Objective",
    "ProcessFigures",
    "RouteFigures",
    "Snapshot",
    "StoreFigures",
    "Way",
    "Window",
    "quantile",
]


class ContractFigures(Value, frozen=True):
    """Calls of one contract, from wherever. name: wire name. buckets: on the scale `runtime.meter.EDGES`.

    seconds: all calls together. outcomes: "value", "failure", "not_executed", "unknown"; they add up to the calls.
    """

    name: str
    kind: str
    module: str
    outcomes: dict[Outcome, int]
    buckets: tuple[int, ...] = (0,) * (len(EDGES) + 1)
    seconds: float = 0.0

    @property
    def calls(self) -> int:
        """How many have ended."""
        return sum(self.outcomes.values())

    @property
    def errors(self) -> int:
        """Calls that did not run or may not have. A declared refusal is no error."""
        return self.outcomes.get("not_executed", 0) + self.outcomes.get("unknown", 0)


class RouteFigures(Value, frozen=True):
    """Answers of one route. statuses: how many of 1xx, 2xx, 3xx, 4xx and 5xx."""

    method: str
    path: str
    contract: str
    module: str
    statuses: tuple[int, int, int, int, int] = (0, 0, 0, 0, 0)


class Way(Value, frozen=True):
    """A call edge: from a module's handlers to another contract. kind: "call", or "send" for durable commands.

    errors: as of `ContractFigures`.
    """

    source: str
    contract: str
    module: str
    kind: str
    count: int = 0
    errors: int = 0


class DeliveryFigures(Value, frozen=True):
    """An event edge: from the module that emits to the subscription. event: wire name.

    delivered: effects that were committed. failed: attempts that raised. retries: attempts after the first.
    dead: deliveries given up.
    """

    source: str
    event: str
    subscription: str
    module: str
    delivered: int = 0
    failed: int = 0
    retries: int = 0
    dead: int = 0


class Backlog(Value, frozen=True):
    """What a subscription has not dealt with, of one source; for a module's durable commands "module:sends".

    lag: events; `more` when there are more than were counted. oldest: seconds since the first of them was
    committed, 0.0 when there is none. retrying: deliveries that wait for another attempt. dead: dead letters that
    lie there. owner: the process that serves it, "" for none. error: of the newest retry.
    """

    subscription: str
    module: str
    source: str
    lag: int = 0
    more: bool = False
    oldest: float = 0.0
    retrying: int = 0
    dead: int = 0
    owner: str = ""
    error: str = ""


class StoreFigures(Value, frozen=True):
    """One module's store: group commits and connections.

    commits: shared transactions. commands: units of work that shared them. sizes: on `SIZE_EDGES`. buckets: seconds
    of each commit, fsync and all, on `EDGES`. failed: commits that failed. waiting: units that wait for the write
    turn now. readers: read connections that are open; reading: that are in use; read_waiting: readers that wait.
    """

    module: str
    commits: int = 0
    commands: int = 0
    failed: int = 0
    sizes: tuple[int, ...] = (0,) * (len(SIZE_EDGES) + 1)
    buckets: tuple[int, ...] = (0,) * (len(EDGES) + 1)
    seconds: float = 0.0
    waiting: int = 0
    readers: int = 0
    reading: int = 0
    read_waiting: int = 0


class Window(Value, frozen=True):
    """How many calls there were in the last `seconds`, and how many were good."""

    seconds: float
    total: int = 0
    good: int = 0


class Objective(Value, frozen=True):
    """What a contract aims at, and how it does.

    kind: "availability", or "latency" with its threshold in seconds. target: the share of good calls. since: all
    calls since the start of the processes; windows: the latest, shortest first.
    """

    contract: str
    kind: str
    target: float
    threshold: float | None
    since: Window
    windows: tuple[Window, ...] = ()


class ProcessFigures(Value, frozen=True):
    """One process. What its system does not tell is None.

    slot: its number among the workers. started_at: Unix seconds. status: "ready", "degraded" or "not-ready"; reasons
    say why. in_flight: requests that wait inside. refused: priorities that are refused now, as it has too much to do.
    connections: of HTTP clients. rss, pss: bytes of memory, the latter with what is shared counted in part.
    cpu: seconds. loop_lag: how late the loop was at the last look; loop_lag_most: in the last minute; loop_lags: on
    `LAG_EDGES`; loop_lag_seconds: all of them together. gc_*: by generation.
    """

    slot: int
    pid: int
    version: str
    python: str
    loop: str
    started_at: float
    uptime: float
    status: str
    reasons: tuple[str, ...] = ()
    in_flight: int = 0
    refused: tuple[str, ...] = ()
    connections: int = 0
    rss: int | None = None
    pss: int | None = None
    cpu: float = 0.0
    fds: int | None = None
    threads: int | None = None
    tasks: int = 0
    loop_lag: float = 0.0
    loop_lag_most: float = 0.0
    loop_lag_seconds: float = 0.0
    loop_lags: tuple[int, ...] = (0,) * (len(LAG_EDGES) + 1)
    gc_collections: tuple[int, ...] = ()
    gc_collected: tuple[int, ...] = ()
    gc_uncollectable: tuple[int, ...] = ()


class Missing(Value, frozen=True):
    """A worker that should be there and has not told of itself."""

    slot: int
    reason: str


class Snapshot(Value, frozen=True):
    """An application at one moment. at: Unix seconds. modules: in the application's order."""

    app: str
    at: float
    modules: tuple[str, ...] = ()
    processes: tuple[ProcessFigures, ...] = ()
    missing: tuple[Missing, ...] = ()
    contracts: tuple[ContractFigures, ...] = ()
    routes: tuple[RouteFigures, ...] = ()
    ways: tuple[Way, ...] = ()
    deliveries: tuple[DeliveryFigures, ...] = ()
    stores: tuple[StoreFigures, ...] = ()
    objectives: tuple[Objective, ...] = ()
    backlogs: tuple[Backlog, ...] = ()


def quantile(buckets: tuple[int, ...], share: float, edges: tuple[float, ...] = EDGES) -> float | None:
    """Return the upper edge of the bucket that holds the quantile; None when every bucket is empty."""
    wanted, seen = share * sum(buckets), 0
    for index, count in enumerate(buckets):
        seen += count
        if count and seen >= wanted:
            return edges[min(index, len(edges) - 1)]
    return None

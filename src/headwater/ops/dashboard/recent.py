"""From counts since the start to what is going on now: differences over the last half minute."""

from __future__ import annotations

from collections import deque

from headwater.model.message import Value
from headwater.ops.dashboard.seen import Arrow, ContractSeen, Seen
from headwater.runtime.meter import EDGES

__all__ = ["WINDOW_SECONDS", "ContractNow", "Flow", "Now", "Recent"]

WINDOW_SECONDS = 30.0
APART_SECONDS = 1.0


class Flow(Value, frozen=True):
    """An arrow and what went along it. rate: a second. share: of it that were errors. used: whether ever."""

    arrow: Arrow
    rate: float
    errors: float
    used: bool

    @property
    def share(self) -> float:
        """The part of the messages that ended in an error."""
        return min(1.0, self.errors / self.rate) if self.rate else 0.0


class ContractNow(Value):
    """A contract in the window. total: calls since the start. buckets, outcomes: in the window."""

    name: str
    kind: str
    module: str
    total: int
    rate: float
    buckets: tuple[int, ...]
    value: int
    failure: int
    not_executed: int
    unknown: int

    @property
    def count(self) -> int:
        """Calls in the window."""
        return sum(self.buckets)

    @property
    def errors(self) -> int:
        """Calls in the window that did not run, or may not have."""
        return self.not_executed + self.unknown


class Now(Value):
    """A moment with its rates. seconds: how long the window is; None: counted since the start."""

    seen: Seen
    seconds: float | None
    flows: tuple[Flow, ...]
    contracts: tuple[ContractNow, ...]


class Recent:
    """Keeps what was seen in the last half minute, as far as anybody looked."""

    def __init__(self) -> None:
        self._kept: deque[Seen] = deque()

    def take(self, seen: Seen) -> Now:
        """Return what is going on, by comparing with what was seen before."""
        kept = self._kept
        while kept and (seen.at - kept[0].at > WINDOW_SECONDS or _restarted(kept[0], seen)):
            kept.popleft()
        before = kept[0] if kept and seen.at - kept[0].at >= APART_SECONDS else None
        if not kept or seen.at - kept[-1].at >= APART_SECONDS:
            kept.append(_counts(seen))
        seconds = max([APART_SECONDS, *(p.uptime for p in seen.processes)]) if before is None else seen.at - before.at
        return Now(
            seen=seen, seconds=None if before is None else seconds, flows=_flows(seen, before, seconds),
            contracts=_contracts(seen, before, seconds),
        )


def _counts(seen: Seen) -> Seen:
    """Keep no more than what is compared."""
    return Seen(
        app=seen.app, version=seen.version, at=seen.at, modules=(), arrows=seen.arrows, contracts=seen.contracts,
    )


def _restarted(before: Seen, now: Seen) -> bool:
    counts = {c.name: sum(c.buckets) for c in now.contracts}
    return any(sum(c.buckets) > counts.get(c.name, 0) for c in before.contracts)


def _flows(seen: Seen, before: Seen | None, seconds: float) -> tuple[Flow, ...]:
    old = {} if before is None else {(a.source, a.target, a.name, a.kind): a for a in before.arrows}
    flows: list[Flow] = []
    for arrow in seen.arrows:
        was = old.get((arrow.source, arrow.target, arrow.name, arrow.kind))
        count, errors = (arrow.count, arrow.errors) if was is None else (
            arrow.count - was.count, arrow.errors - was.errors
        )
        flows.append(
            Flow(
                arrow=arrow, rate=max(0, count) / seconds, errors=max(0, errors) / seconds, used=arrow.count > 0
            )
        )
    return tuple(flows)


def _contracts(seen: Seen, before: Seen | None, seconds: float) -> tuple[ContractNow, ...]:
    old = {} if before is None else {c.name: c for c in before.contracts}
    return tuple(_contract(one, old.get(one.name), seconds) for one in seen.contracts)


def _contract(now: ContractSeen, was: ContractSeen | None, seconds: float) -> ContractNow:
    buckets = now.buckets or (0,) * (len(EDGES) + 1)
    other = [now.failure, now.not_executed, now.unknown]
    total = sum(buckets)
    if was is not None and was.buckets:
        buckets = tuple(a - b for a, b in zip(buckets, was.buckets, strict=True))
        other = [a - b for a, b in zip(other, (was.failure, was.not_executed, was.unknown), strict=True)]
    count = sum(buckets)
    return ContractNow(
        name=now.name, kind=now.kind, module=now.module, total=total, rate=count / seconds, buckets=buckets,
        value=max(0, count - sum(other)), failure=other[0], not_executed=other[1], unknown=other[2],
    )

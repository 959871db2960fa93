"""The parts of the page that are figures: contracts, subscriptions, statements, processes, objectives."""

from __future__ import annotations

from collections.abc import Sequence

from headwater.ops.dashboard.html import Html, Part, breakable, el
from headwater.ops.dashboard.recent import ContractNow, Now
from headwater.ops.dashboard.seen import Burn, Process, Subscribed
from headwater.ops.dashboard.tables import Column, Order, badge, nothing, table
from headwater.ops.dashboard.words import duration, per_second, percent, size, whole
from headwater.ops.snapshot import StoreFigures, quantile
from headwater.ports import SlowStatement
from headwater.runtime.meter import EDGES

__all__ = ["burns", "contracts", "processes", "slow", "stores", "subscriptions"]

SPARK_FROM, SPARK_TO, SPARK_BARS = 1e-5, 10.0, 30
SPARK_WIDTH, SPARK_HEIGHT = 120.0, 24.0


def contracts(now: Now, order: Order) -> Html:
    """Return latency and outcomes, contract by contract."""
    columns = (
        Column[ContractNow]("contract", "Contract", lambda c: [breakable(c.name), " ", el("small", c.kind)], head=True,
                            sort=lambda c: c.name),
        Column[ContractNow]("rate", "Rate", lambda c: per_second(c.rate), number=True, sort=lambda c: c.rate),
        *(_quantile_column(share) for share in (50, 95, 99)),
        Column[ContractNow]("spread", "Spread, 10 µs to 10 s", _spark),
        Column[ContractNow]("value", "Values", lambda c: whole(c.value), number=True, sort=lambda c: c.value),
        Column[ContractNow]("refused", "Refusals", lambda c: whole(c.failure), number=True, sort=lambda c: c.failure),
        Column[ContractNow]("not_executed", "Not executed", lambda c: whole(c.not_executed), number=True,
                            sort=lambda c: c.not_executed, bad=lambda c: c.not_executed > 0),
        Column[ContractNow]("unknown", "Unknown", lambda c: whole(c.unknown), number=True, sort=lambda c: c.unknown,
                            bad=lambda c: c.unknown > 0),
        Column[ContractNow]("total", "Since start", lambda c: whole(c.total), number=True, sort=lambda c: c.total),
    )
    return table("contracts", "Contracts: rates, latency and outcomes", columns, now.contracts, order)


def _quantile_column(percentile: int) -> Column[ContractNow]:
    share = percentile / 100
    return Column(
        f"p{percentile}", f"p{percentile}", lambda c: duration(quantile(c.buckets, share)), number=True,
        sort=lambda c: quantile(c.buckets, share) or 0.0,
    )


def _spark(contract: ContractNow) -> Part:
    """Return the histogram as bars of equal ratios of time; the numbers beside it say the same in short."""
    if not contract.count:
        return None
    bars = _bars(contract.buckets)
    most = max(bars)
    step = SPARK_WIDTH / SPARK_BARS
    return el(
        "svg",
        [
            el("rect", x=index * step, y=SPARK_HEIGHT - height, width=step - 0.8, height=height)
            for index, height in enumerate((max(1.5, SPARK_HEIGHT * b / most) if b else 0.0) for b in bars) if height
        ],
        el("path", d=f"M0,{SPARK_HEIGHT - 0.5} H{SPARK_WIDTH}", class_="axis"),
        viewBox=f"0 0 {SPARK_WIDTH:.0f} {SPARK_HEIGHT:.0f}", width=SPARK_WIDTH, height=SPARK_HEIGHT, class_="spark",
        aria_hidden="true",
    )


def _bars(buckets: Sequence[int]) -> list[int]:
    bars = [0] * SPARK_BARS
    ratio = (SPARK_TO / SPARK_FROM) ** (1 / SPARK_BARS)
    ends = [SPARK_FROM * ratio ** (n + 1) for n in range(SPARK_BARS)]
    bar = 0
    for edge, count in zip((*EDGES, EDGES[-1]), buckets, strict=True):
        while bar < SPARK_BARS - 1 and edge > ends[bar]:
            bar += 1
        bars[bar] += count
    return bars


def subscriptions(now: Now) -> Html:
    """Return how far each subscription has come."""
    if not now.seen.subscriptions:
        return nothing("No module subscribes to anything.")
    columns = (
        Column[Subscribed]("name", "Subscription", lambda s: breakable(s.name), head=True),
        Column[Subscribed]("source", "Events of", lambda s: s.source),
        Column[Subscribed]("lag", "Waiting", lambda s: whole(s.lag), number=True, bad=lambda s: s.lag > 1_000),
        Column[Subscribed]("oldest", "Oldest waits", lambda s: duration(s.oldest), number=True),
        Column[Subscribed]("retrying", "Retrying", lambda s: whole(s.retrying), number=True,
                           bad=lambda s: s.retrying > 0),
        Column[Subscribed]("dead", "Dead", lambda s: whole(s.dead), number=True, bad=lambda s: s.dead > 0),
        Column[Subscribed]("error", "Newest error", lambda s: s.error),
    )
    return table("subscriptions", "Subscriptions: events that wait, retries, dead letters", columns,
                 now.seen.subscriptions)


def slow(now: Now) -> Html:
    """Return the statements that took long."""
    if not now.seen.slow:
        return nothing("No statement was slow.")
    columns = (
        Column[SlowStatement]("sql", "Statement", lambda s: el("code", s.sql), head=True),
        Column[SlowStatement]("module", "Module", lambda s: s.module),
        Column[SlowStatement]("count", "Times", lambda s: whole(s.count), number=True),
        Column[SlowStatement]("most", "Longest", lambda s: duration(s.most), number=True),
        Column[SlowStatement]("total", "Together", lambda s: duration(s.total), number=True),
    )
    return table("slow", "Slow statements", columns, now.seen.slow)


def stores(now: Now) -> Html:
    """Return how each module's store does: group commits, and connections for reading."""
    if not now.seen.stores:
        return nothing("Nobody counts what the stores do.")
    columns = (
        Column[StoreFigures]("module", "Store of", lambda s: s.module, head=True),
        Column[StoreFigures]("commits", "Commits", lambda s: whole(s.commits), number=True),
        Column[StoreFigures]("shared", "Commands in one", lambda s: f"{s.commands / max(1, s.commits):.1f}",
                             number=True),
        *(_commit_column(percentile) for percentile in (50, 99)),
        Column[StoreFigures]("failed", "Failed", lambda s: whole(s.failed), number=True, bad=lambda s: s.failed > 0),
        Column[StoreFigures]("waiting", "Writers waiting", lambda s: whole(s.waiting), number=True),
        Column[StoreFigures]("reading", "Readers in use", lambda s: f"{s.reading} of {s.readers}", number=True),
        Column[StoreFigures]("read_waiting", "Readers waiting", lambda s: whole(s.read_waiting), number=True,
                             bad=lambda s: s.read_waiting > 0),
    )
    return table("stores", "Stores since the start: commits and connections", columns, now.seen.stores)


def _commit_column(percentile: int) -> Column[StoreFigures]:
    return Column(
        f"commit-p{percentile}", f"Commit p{percentile}", lambda s: duration(quantile(s.buckets, percentile / 100)),
        number=True,
    )


def processes(now: Now) -> Html:
    """Return the processes and how they are."""
    columns = (
        Column[Process]("name", "Process", lambda p: [p.name, " ", el("small", f"pid {p.pid}")], head=True),
        Column[Process]("ready", "State", _state),
        Column[Process]("uptime", "Up", lambda p: duration(p.uptime), number=True),
        Column[Process]("in_flight", "In flight", lambda p: _maybe(p.in_flight), number=True),
        Column[Process]("connections", "Clients", lambda p: _maybe(p.connections), number=True),
        Column[Process]("memory", "Memory", lambda p: "\N{EN DASH}" if p.memory is None else size(p.memory),
                        number=True),
        Column[Process]("loop", "Loop lag", lambda p: duration(p.loop_lag), number=True,
                        bad=lambda p: (p.loop_lag or 0) > 0.1),
    )
    return table("processes", "Processes and their health", columns, now.seen.processes)


def _state(process: Process) -> Part:
    if process.ready and not process.reasons:
        return badge("ready", "good")
    look = badge("degraded", "wait") if process.ready else badge("not ready", "bad")
    return [look, " ", "; ".join(process.reasons)]


def _maybe(number: int | None) -> str:
    return "\N{EN DASH}" if number is None else whole(number)


def burns(now: Now) -> Html:
    """Return how fast error budgets are used up."""
    if not now.seen.burns:
        return nothing("No contract says what it aims at (slo_p99, availability).")
    windows = [length for length, _ in now.seen.burns[0].windows]
    columns = (
        Column[Burn]("contract", "Contract", lambda b: breakable(b.contract), head=True),
        Column[Burn]("aim", "Aim", lambda b: b.aim),
        *(_burn_column(length) for length in windows),
        Column[Burn]("left", "Budget left", lambda b: percent(max(0.0, b.left)), number=True,
                     bad=lambda b: b.left <= 0),
        Column[Burn]("alert", "State", lambda b: badge(b.alert, "bad") if b.alert else badge("within", "good")),
    )
    return table("burns", "Objectives: how fast error budgets burn; 1 uses exactly all of it", columns, now.seen.burns)


def _burn_column(length: str) -> Column[Burn]:
    def rate(burn: Burn) -> float:
        return dict(burn.windows).get(length, 0.0)

    return Column(
        f"burn-{length}", f"Burn, {length}", lambda b: f"{rate(b):.1f}", number=True, bad=lambda b: rate(b) > 1
    )

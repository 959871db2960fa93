"""A whole run: who takes part, in which rounds, and what is kept of it."""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from bench.rounds import machine
from bench.web import agreement, syscalls
from bench.web.cases import CASES
from bench.web.contenders import BASE, CONTENDERS, Contender
from bench.web.figures import Report, Tail
from bench.web.load import LoadFailed, press
from bench.web.openloop import constant
from bench.web.server import NotStarted, Server, running
from bench.web.starting import start_once

__all__ = ["RATES", "Plan", "cores", "run"]

RATES = {"hello": 15_000, "order": 5_000}
TAILS = ("headwater", BASE)
STARTS = ("headwater", BASE, "uvicorn", "Litestar", "FastAPI", "NestJS")
CALLS = ("headwater", BASE, "uvicorn")
TAIL_SECONDS = 2.0
TRIES = 3
LATE = 0.01  # share of the time that the generator may be kept from its core
FEW_BYTES = ("hello", "order")
_Taker = TypeVar("_Taker", Server, Contender)


@dataclass(frozen=True)
class Plan:
    """How much is measured. core, other: the servers' core, and that of the load."""

    python: str
    core: int
    other: int
    names: Sequence[str]
    cases: Sequence[str]
    rounds: int = 5
    seconds: float = 1.0
    extras: bool = True


def run(plan: Plan) -> Report:
    """Measure by plan."""
    report = Report(
        taken=dt.datetime.now(dt.UTC).date().isoformat(), machine=machine(), busy=_busy(),
        rounds=plan.rounds, seconds=plan.seconds,
    )
    with tempfile.TemporaryDirectory(prefix="headwater-bench-") as made:
        folder = Path(made)
        for sync in ("full", "normal"):
            cases = [case for case in plan.cases if CASES[case].sync == sync]
            chosen = [CONTENDERS[name] for name in plan.names if set(cases) & set(CONTENDERS[name].cases)]
            if chosen:
                with running(chosen, python=plan.python, core=plan.core, folder=folder, sync=sync) as (servers, out):
                    report.left_out += out
                    _serve(plan, report, _agreeing(servers, cases, report), cases, first=sync == "full")
        if plan.extras:
            _starts(plan, report, folder)
    return report


def _serve(plan: Plan, report: Report, servers: list[Server], cases: Sequence[str], *, first: bool) -> None:
    _rounds(plan, report, servers, cases)
    if first and plan.extras:
        report.memory = {server.name: server.memory() for server in servers}
        _tails(plan, report, servers)
        _calls(plan, report, servers)


def _rounds(plan: Plan, report: Report, servers: Sequence[Server], cases: Sequence[str]) -> None:
    for case in cases:
        found = report.load.setdefault(case, {})

        def one(server: Server, number: int, case: str = case) -> None:
            sample = press(server, CASES[case], core=plan.other, seconds=plan.seconds)
            if number:
                report.load[case].setdefault(server.name, []).append(sample)

        takers = [server for server in servers if case in CONTENDERS[server.name].cases]
        _interleave(takers, plan.rounds, one, report, CASES[case].title)
        for name in [name for name, samples in found.items() if len(samples) != plan.rounds]:
            del found[name]  # ratios are taken round by round: who missed one has none


def _tails(plan: Plan, report: Report, servers: Sequence[Server]) -> None:
    takers = [server for server in servers if server.name in TAILS]
    chance = random.Random(1)
    for case, rate in RATES.items():
        if case not in plan.cases:
            continue
        good: dict[str, list[Tail]] = {}
        for number in range(plan.rounds * TRIES):
            _say(f"{CASES[case].title} at {rate}/s: round {number}")
            chance.shuffle(takers)
            tails = {t.name: _tail(plan, t, case, rate) for t in takers}
            if number and all(tail is not None and tail.late < LATE for tail in tails.values()):
                for name, tail in tails.items():
                    good.setdefault(name, []).extend([tail] if tail else [])
            if any(len(each) == plan.rounds + 2 for each in good.values()):
                break
        if good:
            report.tails[case] = good
        else:
            report.left_out.append(f"{CASES[case].title} at {rate}/s: the generator was kept from its core")


def _tail(plan: Plan, server: Server, case: str, rate: int) -> Tail | None:
    try:
        return constant(server, case, core=plan.other, rate=rate, seconds=TAIL_SECONDS)
    except RuntimeError as error:
        _say(str(error))
        return None


def _calls(plan: Plan, report: Report, servers: Sequence[Server]) -> None:
    if not syscalls.available():
        report.left_out.append("system calls a request: strace is not installed")
        return
    for server in servers:
        for case in FEW_BYTES:
            if server.name in CALLS and case in plan.cases:
                _say(f"system calls: {server.name}, {case}")
                try:
                    counted = syscalls.per_request(server, CASES[case], core=plan.other)
                except (RuntimeError, OSError) as error:
                    report.left_out.append(f"system calls a request of {server.name}: {error}")
                else:
                    report.calls.setdefault(case, {}).setdefault(server.name, []).append(counted)


def _starts(plan: Plan, report: Report, folder: Path) -> None:
    takers = [CONTENDERS[name] for name in STARTS if name in plan.names]

    def one(contender: Contender, number: int) -> None:
        took = start_once(contender, python=plan.python, core=plan.core, folder=folder)
        if number:
            report.start.setdefault(contender.name, []).append(took)

    _interleave(takers, plan.rounds + 2, one, report, "start")


def _agreeing(servers: Sequence[Server], cases: Sequence[str], report: Report) -> list[Server]:
    good = []
    for server in servers:
        said = agreement.disagreement(server.port, [case for case in CONTENDERS[server.name].cases if case in cases])
        if said is None:
            good.append(server)
        else:
            report.left_out.append(f"{server.name} answers something else: {said}")
    return good


def _interleave(
    takers: Sequence[_Taker], rounds: int, one: Callable[[_Taker, int], None], report: Report, what: str
) -> None:
    """Let everybody have a turn in every round, each time in another order. Round 0 warms up."""
    chance, order = random.Random(1), list(takers)
    for number in range(rounds + 1):
        _say(f"{what}: round {number} of {rounds}")
        chance.shuffle(order)
        for taker in list(order):
            try:
                _twice(one, taker, number)
            except (LoadFailed, NotStarted, RuntimeError) as error:
                order.remove(taker)
                report.left_out.append(f"{taker.name}, {what}: {error}")


def _twice(one: Callable[[_Taker, int], None], taker: _Taker, number: int) -> None:
    """Give a second chance: a busy machine may lose a connection, an error of the contender comes again."""
    try:
        one(taker, number)
    except (LoadFailed, NotStarted) as error:
        _say(f"once more: {error}")
        one(taker, number)


def _busy() -> float:
    """Return how many cores others keep busy, looked at for a second."""

    def spent() -> int:
        fields = [int(x) for x in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
        return sum(fields) - fields[3] - fields[4]

    with contextlib.suppress(OSError):
        before = spent()
        time.sleep(1)
        return (spent() - before) / os.sysconf("SC_CLK_TCK")
    return 0.0


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def cores() -> Mapping[str, int]:
    """Return the core for servers and the one for the load. Raises LoadFailed on a machine with one core."""
    free = sorted(os.sched_getaffinity(0))
    if len(free) < 2:
        raise LoadFailed("servers and load each need a core of their own, and this machine gives us one")
    return {"core": free[0], "other": free[1]}

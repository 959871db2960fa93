"""The command line of the replay: 0 when exact, 1 when it is not, 2 when it could not be tried."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO
from urllib.parse import urlsplit

from shop.replay.client import Client, GaveUp, Refused
from shop.replay.reading import Plan, files_of, read
from shop.replay.run import Outcome, replay

__all__ = ["main"]

BAR = 30


def main(arguments: Sequence[str]) -> int:
    """Run the command and return its exit code."""
    options = _parser().parse_args(arguments)
    try:
        plan = read(files_of(options.dir, options.days))
        token = options.token or os.environ.get("SHOP_TOKEN") or _development_token(options.base_url)
        client = Client(options.base_url, token=token, patience=options.patience)
        outcome = replay(
            plan, client, speed=options.speed or None, patience=options.patience,
            progress=_Bar(plan, sys.stderr).show,
        )
    except (ValueError, OSError, Refused, GaveUp) as error:
        print(f"replay: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nreplay: stopped; begin it again and it goes on where it was", file=sys.stderr)
        return 2
    print(json.dumps(outcome.as_dict()) if options.json else _told(outcome))
    return 0 if outcome.exact else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m shop", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    sub = commands.add_parser("replay", help="send real order lines through the shop and compare the sums")
    sub.add_argument("dir", type=Path, metavar="DIR", help="folder with one .csv file for each day")
    sub.add_argument("--base-url", default="http://127.0.0.1:8000", help="where the shop is (%(default)s)")
    sub.add_argument("--days", help="2010-12-01,2010-12-02 or a number: the first N; all when left out")
    sub.add_argument("--speed", type=float, help="times the invoices' own speed; else as fast as it goes")
    sub.add_argument("--patience", type=float, default=90.0, help="seconds to try on (%(default)s)")
    sub.add_argument("--token", help="of a staff member; else $SHOP_TOKEN, else a development token")
    sub.add_argument("--json", action="store_true", help="print the outcome for a script")
    return parser


def _development_token(base_url: str) -> str | None:
    """Have `headwater token` make one, for a shop on this machine that runs from this folder."""
    if urlsplit(base_url).hostname not in ("127.0.0.1", "localhost", "::1"):
        return None
    command = [sys.executable, "-m", "headwater.cli", "token", "--role", "staff"]
    made = subprocess.run(command, capture_output=True, text=True, check=False)
    return made.stdout.strip() or None


class _Bar:
    """A bar on a terminal, one line for each day elsewhere."""

    def __init__(self, plan: Plan, out: TextIO) -> None:
        self._total = len(plan.steps)
        self._out = out
        self._live = out.isatty()
        self._day = ""
        self._begun = time.monotonic()
        self._drawn = 0.0

    def show(self, done: int, day: str) -> None:
        """Draw, not too often."""
        now = time.monotonic()
        if self._live and (done == self._total or now - self._drawn > 0.1):
            self._drawn = now
            full = BAR * done // max(1, self._total)
            rate = done / max(0.001, now - self._begun)
            end = "\n" if done == self._total else ""
            bar = "#" * full + "." * (BAR - full)
            self._out.write(f"\r{day} [{bar}] {done}/{self._total} {rate:.0f}/s{end}")
            self._out.flush()
        elif not self._live and day != self._day:
            self._day = day
            self._out.write(f"{day}: {done} of {self._total} done before\n")
            self._out.flush()


def _told(outcome: Outcome) -> str:
    expected, found = outcome.expected, outcome.found
    refused = [f"  {count} refused: {reason}" for reason, count in sorted(outcome.refused.items())]
    verdict = [f"WRONG  {line}" for line in outcome.wrong] or ["exact: not one cent or unit differs"]
    return "\n".join(
        (
            f"{outcome.lines} lines read, {sum(outcome.refused.values())} refused, "
            f"in {outcome.seconds:.1f} s with {outcome.retries} repeats",
            *refused,
            f"orders   {found.orders} of {expected.orders}, {found.units} units of {expected.units}, "
            f"{found.revenue_cents} cents of {expected.revenue_cents}",
            f"returns  {found.returned_units} units of {expected.returned_units}, "
            f"{found.refunded_cents} cents of {expected.refunded_cents}",
            *verdict,
        )
    )

"""Measure everything and write docs/performance.md and docs/performance.svg.

    python -m bench                     everything, about a quarter of an hour
    python -m bench --quick             a few minutes; prints the page and writes nothing
    python -m bench --from FILE.json    write the page again from what a run has kept

Ctrl-C ends it and every server that it has started.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import msgspec

from bench.prepare import ROOT, package, prepare, versions
from bench.web.cases import CASES
from bench.web.chart import chart
from bench.web.contenders import BASE, CONTENDERS
from bench.web.figures import Inner, Report
from bench.web.load import LoadFailed, require_wrk
from bench.web.measure import Plan, cores, run
from bench.web.page import page

PAGE = ROOT / "docs/performance.md"
CHART = ROOT / "docs/performance.svg"
NOTES = ROOT / "bench/notes.md"


def main() -> int:
    """Run from the command line."""
    said = _arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that servers are stopped on the way out
    try:
        report = _kept(said.source) if said.source else _measured(said)
    except LoadFailed as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; every server was stopped, nothing was written", file=sys.stderr)
        return 130
    if said.json:
        Path(said.json).write_bytes(msgspec.json.format(msgspec.json.encode(report)))
    text = page(report, NOTES.read_text(encoding="utf-8"))
    if said.quick or said.only or said.cases:
        print(text)
    else:
        PAGE.write_text(text, encoding="utf-8")
        CHART.write_text(chart(report), encoding="utf-8")
        print(f"wrote {PAGE.relative_to(ROOT)} and {CHART.relative_to(ROOT)}")
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="two rounds, few contenders")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="how long a turn is")
    parser.add_argument("--only", default="", help="contenders, divided by +; writes no page")
    parser.add_argument("--cases", default="", help=f"of {', '.join(CASES)}; writes no page")
    parser.add_argument("--json", default="", help="keep what was measured in this file")
    parser.add_argument("--from", dest="source", default="", help="a file that --json has written")
    return parser.parse_args()


def _kept(name: str) -> Report:
    return msgspec.json.decode(Path(name).read_bytes(), type=Report)


def _measured(said: argparse.Namespace) -> Report:
    require_wrk()
    python = prepare()
    names = said.only.split("+") if said.only else list(CONTENDERS)
    if said.quick and not said.only:
        names = ["headwater", BASE, "uvicorn", "FastAPI", "FastAPI, all features"]
    _known("contender", names, list(CONTENDERS))
    cases = said.cases.split(",") if said.cases else list(CASES)
    _known("case", cases, list(CASES))
    whole = not (said.only or said.cases)
    rounds, seconds = (2, 1.0) if said.quick else (said.rounds, said.seconds)
    plan = Plan(
        python=str(python), names=names, cases=cases, rounds=rounds, seconds=seconds, extras=whole, **cores()
    )
    inner = _inside() if whole else []
    report = run(plan)
    report.inner, report.versions = inner, versions(python)
    return report


def _known(what: str, said: list[str], known: list[str]) -> None:
    for name in said:
        if name not in known:
            raise LoadFailed(f"there is no {what} {name!r}; there are {', '.join(known)}")


def _inside() -> list[Inner]:
    print("inside a process: calls, events, transactions", file=sys.stderr, flush=True)
    path = os.pathsep.join([str(ROOT), str(package())])
    ran = subprocess.run(
        [sys.executable, "-m", "bench.inner", "--json"], cwd=ROOT, env={**os.environ, "PYTHONPATH": path},
        stdout=subprocess.PIPE, check=False,
    )
    if ran.returncode:
        raise LoadFailed("`python -m bench.inner` failed: see above")
    return msgspec.convert(json.loads(ran.stdout)["results"], list[Inner])


if __name__ == "__main__":
    sys.exit(main())

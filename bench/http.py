"""HTTP servers side by side: requests for each second of server CPU, interleaved, one worker on one core.

python -m bench.http [--rounds N] [--seconds S] [--only NAME+NAME] [--cases hello,order,item,row,full,normal] [--json FILE]

Needs `wrk` (Debian package) and, for the contenders, the environment that `make bench` installs from
bench/contenders/requirements.txt; who is missing there is named and left out. Load comes from the core that the servers
do not use. CPU is kernel and user time of the server's whole process tree.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import re
import shutil
import signal
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent
REAL_HEADERS = {
    "User-Agent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36",
    "Accept": "application/json, text/plain, */*",
    "Accept-Language": "en-GB,en;q=0.9",
    "Accept-Encoding": "gzip, deflate, br",
    "Referer": "https://shop.example/products",
    "Origin": "https://shop.example",
    "Cookie": "session=0123456789abcdef0123456789abcdef; theme=dark",
    "Cache-Control": "no-cache",
    "X-Request-Id": "0af7651916cd43dd8448eb211c80319c",
    "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00",
    "Sec-Fetch-Mode": "cors",
}
ORDER = json.dumps(
    {
        "order_id": "order-000000001", "customer_id": "customer-0001",
        "lines": [{"product_id": f"product-{n}", "quantity": n + 1, "price_cents": 199 + n} for n in range(5)],
    }
)


@dataclass(frozen=True)
class Case:
    """One kind of request."""

    title: str
    path: str
    body: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    sync: str = "full"
    spread: int = 0


CASES = {
    "hello": Case("hello", "/v1/hello"),
    "order": Case("order of 5 lines, validated", "/v1/orders", ORDER),
    "item": Case("path + query, 11 real headers", "/v1/items/42?q=shoes&limit=20", headers=REAL_HEADERS),
    "row": Case("SQLite row by key", "/v1/rows/", spread=10_000),
    "full": Case("order + outbox row, synchronous=FULL", "/v1/stored", ORDER),
    "normal": Case("order + outbox row, synchronous=NORMAL", "/v1/stored", ORDER, sync="normal"),
}
PURE = ("hello", "order", "item")
ALL = (*PURE, "row", "full", "normal")


@dataclass(frozen=True)
class Contender:
    """How one server is started. `{python}`, `{port}`, `{core}` are filled in. needs: what must be importable."""

    name: str
    command: Sequence[str]
    cases: Sequence[str] = PURE
    env: Mapping[str, str] = field(default_factory=dict)
    needs: str = ""


def granian(interface: str, target: str) -> list[str]:
    return [
        "{python}", "-m", "granian", "--interface", interface, "--port", "{port}", "--workers", "1", "--no-ws", "--http",
        "1", "--log-level", "error", "--loop", "uvloop", target,
    ]


def uvicorn(target: str) -> list[str]:
    return ["{python}", "-m", "uvicorn", target, "--port", "{port}", "--log-level", "error", "--no-access-log"]


HEADWATER = "bench.contenders.headwater_demo:app"
CONTENDERS = {
    c.name: c
    for c in (
        Contender("headwater", [sys.executable, "-m", "bench.contenders.serve_headwater", "{port}"], ALL),
        Contender("granian rsgi", granian("rsgi", "bench.contenders.granian_rsgi:app"), ALL, needs="granian"),
        Contender("uvloop, nothing parsed", [sys.executable, "-m", "bench.contenders.floor", "{port}"], ("hello",)),
        Contender("uvicorn", uvicorn("bench.contenders.uvicorn_asgi:app"), ALL, needs="uvicorn"),
        Contender("headwater asgi on uvicorn", [
            sys.executable, "-m", "uvicorn", "bench.contenders.serve_asgi:app", "--port", "{port}", "--log-level", "error",
            "--no-access-log",
        ]),
        Contender("fastapi", uvicorn("bench.contenders.fastapi_app:app"), needs="fastapi"),
        Contender(
            "fastapi, all features", uvicorn("bench.contenders.fastapi_app:app"), env={"BENCH_FULL": "1"},
            needs="prometheus_fastapi_instrumentator",
        ),
    )
}


class Server:
    """One running contender."""

    def __init__(self, contender: Contender, python: str, core: int, folder: Path, sync: str) -> None:
        self.name = contender.name
        self.port = _free_port()
        self.log = folder / f"{contender.name.replace(' ', '-')}.log"
        command = [part.format(python=python, port=self.port, core=core) for part in contender.command]
        database = folder / f"{contender.name.replace(' ', '-')}-{sync}.db"
        _prepare(database)
        env = {
            **os.environ, **contender.env, "PYTHONPATH": f"{ROOT}:{ROOT / 'src'}", "BENCH_DATABASE": str(database),
            "BENCH_SYNC": sync, "BENCH_FOLDER": str(folder / f"{contender.name.replace(' ', '-')}-{sync}"),
        }
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                ["taskset", "-c", str(core), *command], cwd=ROOT, env=env, stdout=log, stderr=log, start_new_session=True
            )
        self._wait()

    def _wait(self) -> None:
        end = time.monotonic() + 30
        while time.monotonic() < end:
            if self.process.poll() is not None:
                break
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"http://127.0.0.1:{self.port}/v1/hello", timeout=2).read()
                return
            time.sleep(0.05)
        self.stop()
        raise RuntimeError(f"{self.name} did not start: {self.log.read_text()[-400:]}")

    def cpu(self) -> float:
        """Return seconds of CPU of the whole tree so far."""
        return sum(_cpu(pid) for pid in _tree(self.process.pid))

    def memory(self) -> float:
        """Return MiB that the tree has for itself (PSS)."""
        total = 0
        for pid in _tree(self.process.pid):
            with contextlib.suppress(OSError, ValueError):
                text = Path(f"/proc/{pid}/smaps_rollup").read_text()
                total += int(re.search(r"^Pss:\s+(\d+)", text, re.MULTILINE)[1])  # type: ignore[index]
        return total / 1024

    def stop(self) -> None:
        """End the process group."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGTERM)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _prepare(path: Path) -> None:
    if not path.exists():
        connection = sqlite3.connect(path)
        connection.execute("pragma journal_mode=wal")
        connection.executescript((HERE / "contenders/demo_sql/0001_demo.sql").read_text().replace(" strict", ""))
        connection.close()


def _tree(pid: int) -> list[int]:
    found = [pid]
    for child in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            for each in child.read_text().split():
                found += _tree(int(each))
    return found


def _cpu(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def load(server: Server, case: Case, core: int, seconds: float, folder: Path, connections: int = 64) -> tuple[float, float]:
    """Return requests a second and microseconds of server CPU for each."""
    script = folder / "case.lua"
    lines = [f'wrk.headers["{name}"] = "{value}"' for name, value in case.headers.items()]
    if case.body:
        lines += ['wrk.method = "POST"', f"wrk.body = [[{case.body}]]", 'wrk.headers["Content-Type"] = "application/json"']
    if case.spread:
        lines += [
            "local n = 0",
            f'function request() n = (n * 7 + 13) % {case.spread}; return wrk.format(nil, "{case.path}" .. (n + 1)) end',
        ]
    script.write_text("\n".join(lines) + "\nfunction done(s) io.write('REQUESTS ', s.requests, ' ERRORS ', s.errors.status"
                      " + s.errors.read + s.errors.timeout + s.errors.connect, ' US ', s.duration, '\\n') end\n")
    before = server.cpu()
    ran = subprocess.run(
        ["taskset", "-c", str(core), "wrk", "-t1", f"-c{connections}", f"-d{seconds:g}s", "-s", str(script),
         f"http://127.0.0.1:{server.port}{case.path}"],
        capture_output=True, text=True, check=True,
    )
    cpu = server.cpu() - before
    found = re.search(r"REQUESTS (\d+) ERRORS (\d+) US (\d+)", ran.stdout)
    if found is None or int(found[2]) or not int(found[1]):
        raise RuntimeError(f"{server.name}, {case.title}: {ran.stdout[-300:]}")
    return int(found[1]) / int(found[3]) * 1e6, cpu / int(found[1]) * 1e6


@contextlib.contextmanager
def running(contenders: Sequence[Contender], python: str, core: int, folder: Path, sync: str) -> Iterator[list[Server]]:
    """Start all, and stop all."""
    servers: list[Server] = []
    try:
        for contender in contenders:
            try:
                servers.append(Server(contender, python, core, folder, sync))
            except RuntimeError as error:
                print(f"left out: {error}", file=sys.stderr)
        yield servers
    finally:
        for server in servers:
            server.stop()


def compare(names: Sequence[str], cases: Sequence[str], python: str, rounds: int, seconds: float) -> dict[str, dict[str, list[tuple[float, float]]]]:
    """Return for each case and contender the figures of every round."""
    core, other = sorted(os.sched_getaffinity(0))[:2]
    figures: dict[str, dict[str, list[tuple[float, float]]]] = {}
    chance = random.Random(1)
    for sync in ("full", "normal"):
        chosen = [c for c in cases if CASES[c].sync == sync]
        contenders = [CONTENDERS[n] for n in names if set(chosen) & set(CONTENDERS[n].cases)]
        if not chosen:
            continue
        with tempfile.TemporaryDirectory() as made, running(contenders, python, core, Path(made), sync) as servers:
            for number in range(rounds + 1):
                for case in chosen:
                    takers = [s for s in servers if case in CONTENDERS[s.name].cases]
                    chance.shuffle(takers)
                    for server in takers:
                        got = load(server, CASES[case], other, seconds if number else 1, Path(made))
                        if number:  # the first round warms up
                            figures.setdefault(case, {}).setdefault(server.name, []).append(got)
    return figures


def table(figures: dict[str, dict[str, list[tuple[float, float]]]], base: str = "granian rsgi") -> str:
    """Return a Markdown table: for each case the ratio by CPU, the ratio by requests/s and microseconds of CPU."""
    cases = list(figures)
    names = list(dict.fromkeys(n for case in cases for n in figures[case]))
    lines = ["| contender | " + " | ".join(f"{CASES[c].title}: per CPU s (us) | requests/s" for c in cases) + " |"]
    lines.append("|" + "---|" * (1 + 2 * len(cases)))
    rows = []
    for name in names:
        cells = []
        for case in cases:
            mine, theirs = figures[case].get(name), figures[case].get(base)
            if not mine or not theirs:
                cells += ["-", "-"]
                continue
            by_cpu = statistics.median(b[1] / m[1] for m, b in zip(mine, theirs, strict=True))
            by_rate = statistics.median(m[0] / b[0] for m, b in zip(mine, theirs, strict=True))
            cells += [f"{by_cpu:.2f} ({statistics.median(m[1] for m in mine):.1f})", f"{by_rate:.2f}"]
        rows.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join([*lines, *rows])


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--only", default="")
    parser.add_argument("--cases", default=",".join(ALL))
    parser.add_argument("--python", default=os.environ.get("BENCH_PYTHON", str(ROOT / ".venv-bench/bin/python")))
    parser.add_argument("--json", default="")
    said = parser.parse_args()
    if shutil.which("wrk") is None:
        sys.exit("the load comes from wrk: install the package `wrk`")
    names = said.only.split("+") if said.only else list(CONTENDERS)
    figures = compare(names, said.cases.split(","), said.python, said.rounds, said.seconds)
    if said.json:
        Path(said.json).write_text(json.dumps(figures))
    print(table(figures))


if __name__ == "__main__":
    main()

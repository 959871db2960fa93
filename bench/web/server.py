"""One running contender: started on its core, asked whether it is up, measured, and ended with all its children."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench.prepare import ROOT, SOURCE, package
from bench.web.cases import KEY, TOKEN, Sync
from bench.web.contenders import Contender

__all__ = ["NotStarted", "Server", "answers", "running"]

START_SECONDS = 30.0
STOP_SECONDS = 6.0
TICKS = os.sysconf("SC_CLK_TCK")


class NotStarted(RuntimeError):
    """A contender that cannot take part."""


class Server:
    """A contender that runs. Its processes are a group of their own, so that all of them can be ended."""

    def __init__(self, contender: Contender, *, python: str, core: int, folder: Path, sync: Sync = "full") -> None:
        self.name = contender.name
        self.port = _free_port()
        self.folder = folder / f"{re.sub('[^a-z]+', '-', contender.name.lower())}-{sync}"
        _prepare(self.folder, sync)
        self.log = self.folder / "log"
        command = [part.format(python=python, port=self.port, folder=self.folder) for part in contender.command]
        env = {
            **{name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"},
            **contender.env, "PYTHONPATH": f"{ROOT}:{SOURCE if contender.pure else package()}",
            "BENCH_DATABASE": str(self.folder / "bare.db"),
            "BENCH_SYNC": sync, "BENCH_FOLDER": str(self.folder), "BENCH_KEY": KEY, "BENCH_TOKEN": TOKEN,
        }
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [*_dies_with_us(), "taskset", "-c", str(core), *command], cwd=ROOT, env=env, stdin=subprocess.DEVNULL,
                stdout=log, stderr=log, start_new_session=True,
            )

    def wait(self, pause: float = 0.05) -> None:
        """Return when it answers. Raises NotStarted, and then it is stopped."""
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end and self.process.poll() is None:
            if answers(self.port):
                return
            time.sleep(pause)
        self.stop()
        raise NotStarted(f"{self.name} does not start: {self.log.read_text(errors='replace')[-600:].strip()}")

    def pids(self) -> list[int]:
        """Return its processes."""
        return _tree(self.process.pid)

    def cpu(self) -> float:
        """Return seconds of CPU, user and kernel, of all its processes so far."""
        return sum(_cpu(pid) for pid in self.pids())

    def memory(self) -> float:
        """Return MiB that its processes have for themselves (PSS)."""
        total = 0
        for pid in self.pids():
            with contextlib.suppress(OSError):
                found = re.search(r"^Pss:\s+(\d+)", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)
                total += int(found[1]) if found else 0
        return total / 1024

    def ask_to_stop(self) -> None:
        """Tell it to end, and return at once."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGTERM)

    def stop(self) -> None:
        """End it and all its processes."""
        self.ask_to_stop()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(STOP_SECONDS)
        with contextlib.suppress(ProcessLookupError):  # the group may outlive its leader
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


@contextlib.contextmanager
def running(
    contenders: Sequence[Contender], *, python: str, core: int, folder: Path, sync: Sync = "full"
) -> Iterator[tuple[list[Server], list[str]]]:
    """Start all of them; give those that run, and why others do not. All are stopped at the end, however it comes."""
    servers: list[Server] = []
    left_out: list[str] = []
    try:
        for contender in contenders:
            servers.append(Server(contender, python=python, core=core, folder=folder, sync=sync))
            try:
                servers[-1].wait()
            except NotStarted as error:
                servers.pop()
                left_out.append(str(error))
        yield servers, left_out
    finally:
        _stop(servers)


def answers(port: int) -> bool:
    """Return whether somebody answers a request there with 200."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=2) as connection:
        connection.sendall(
            f"GET /v1/hello HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n\r\n".encode()
        )
        return connection.recv(4096).startswith(b"HTTP/1.1 200")
    return False


def _stop(servers: Sequence[Server]) -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C must not leave the rest running
    try:
        for server in servers:
            server.ask_to_stop()
        for server in servers:
            server.stop()
    finally:
        signal.signal(signal.SIGINT, before)


def _dies_with_us() -> list[str]:
    return ["setpriv", "--pdeathsig", "TERM"] if shutil.which("setpriv") else []


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _prepare(folder: Path, sync: Sync) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    durability = "disk" if sync == "full" else "process"
    topology = f'[data]\ndurability = "{durability}"\n\n[[auth.keys]]\nid = "bench"\nkey = "env:BENCH_KEY"\n'
    (folder / "topology.toml").write_text(topology)
    if not (folder / "bare.db").exists():
        schema = (ROOT / "bench/contenders/demo_sql/0001_demo.sql").read_text()
        with contextlib.closing(sqlite3.connect(folder / "bare.db")) as connection:
            connection.execute("pragma journal_mode=wal")
            connection.executescript(schema)


def _tree(pid: int) -> list[int]:
    found = [pid]
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            for child in children.read_text().split():
                found += _tree(int(child))
    return found


def _cpu(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / TICKS

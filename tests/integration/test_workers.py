"""Several processes as one instance. The edge is a stand-in that answers with its process id."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

STAND_IN = """
import asyncio, os, sys, types

class Server:
    def __init__(self, app, node, **settings):
        pass

    async def start(self, listener):
        async def answer(reader, writer):
            await reader.readuntil(b"\\r\\n\\r\\n")
            writer.write(b"HTTP/1.1 200 OK\\r\\nConnection: close\\r\\n\\r\\n%d" % os.getpid())
            await writer.drain()
            writer.close()
        self.server = await asyncio.start_server(answer, sock=listener)

    async def stop(self, *, within):
        self.server.close()

edge = types.ModuleType("headwater.edge.server")
edge.Server = Server
sys.modules["headwater.edge.server"] = edge
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A fresh application, and the stand-in on the path of its processes."""
    subprocess.run([sys.executable, "-m", "headwater.cli", "new", "myapp"], cwd=tmp_path, check=True, timeout=60)
    (tmp_path / "sitecustomize.py").write_text(STAND_IN)
    return tmp_path / "myapp"


@contextmanager
def running(project: Path, *args: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run the command; gives the process and its address."""
    environment = {**os.environ, "PYTHONPATH": str(project.parent), "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(
        [sys.executable, "-m", "headwater.cli", *args, "--port", "0"], cwd=project, env=environment, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )
    try:
        assert process.stdout is not None
        first = process.stdout.readline()
        found = re.search(r"http://\S+", first)
        assert found, first + process.stdout.read()
        yield process, found[0]
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate(timeout=30)


def eventually(true: Callable[[], bool]) -> None:
    """Wait until something holds."""
    for _ in range(200):
        if true():
            return
        time.sleep(0.1)
    raise AssertionError("it did not come to pass in 20 s")


def pids(address: str) -> set[int]:
    """Which processes answer."""
    found = set()
    for _ in range(12):
        try:
            found.add(int(urllib.request.urlopen(address, timeout=5).read()))
        except OSError:
            time.sleep(0.05)
    return found


def alive(pid: int) -> bool:
    """Whether a process runs (a zombie does not)."""
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z"


@pytest.mark.parametrize("args", [("run",), ("run", "--workers", "2")])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_drains_and_leaves_nobody(project: Path, args: tuple[str, ...], number: signal.Signals) -> None:
    """Both signals end it with 0, and no process stays behind."""
    with running(project, *args) as (process, address):
        eventually(lambda: bool(pids(address)))
        seen = pids(address)
        process.send_signal(number)
        assert process.wait(30) == 0
        assert not any(alive(pid) for pid in seen)


def test_a_dead_worker_is_replaced(project: Path) -> None:
    """After a kill -9 of one worker, two answer again."""
    with running(project, "run", "--workers", "2") as (_, address):
        eventually(lambda: len(pids(address)) == 2)
        victim = min(pids(address))
        os.kill(victim, signal.SIGKILL)
        eventually(lambda: len(pids(address) - {victim}) == 2)


def test_workers_end_with_a_killed_supervisor(project: Path) -> None:
    """No orphans, also when the supervisor had no time to say goodbye."""
    with running(project, "run", "--workers", "2") as (process, address):
        eventually(lambda: len(pids(address)) == 2)
        seen = pids(address)
        process.kill()
        eventually(lambda: not any(alive(pid) for pid in seen))


def test_a_second_instance_is_refused(project: Path) -> None:
    """The data folder has one owner; tools beside it work."""
    with running(project, "run") as (_, address):
        eventually(lambda: bool(pids(address)))
        second = subprocess.run(
            [sys.executable, "-m", "headwater.cli", "run", "--port", "0"], cwd=project, capture_output=True, text=True,
            timeout=60, check=False,
        )
        assert (second.returncode, "data-folder-in-use" in second.stderr) == (2, True)
        beside = subprocess.run(
            [sys.executable, "-m", "headwater.cli", "subscriptions", "--json"], cwd=project, capture_output=True,
            text=True, timeout=60, check=False,
        )
        assert (beside.returncode, beside.stdout) == (0, "[]\n")


def test_dev_reloads_on_change(project: Path) -> None:
    """A written file brings a new process to the same address."""
    with running(project, "dev") as (_, address):
        eventually(lambda: bool(pids(address)))
        before = pids(address)
        time.sleep(0.6)
        os.utime(project / "myapp" / "app.py")
        eventually(lambda: bool(pids(address) - before))

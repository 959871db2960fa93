"""Real processes: signals, several workers as one instance, restarts, what was acknowledged."""

from __future__ import annotations

import itertools
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import apsw
import pytest


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A fresh application."""
    subprocess.run([sys.executable, "-m", "headwater.cli", "new", "myapp"], cwd=tmp_path, check=True, timeout=60)
    return tmp_path / "myapp"


@contextmanager
def running(project: Path, *args: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run the command; gives the process and its address."""
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
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


def ready(address: str) -> bool:
    """Whether somebody answers and takes work."""
    try:
        return bool(urllib.request.urlopen(f"{address}/readyz", timeout=5).status == 200)
    except OSError:
        return False


def children(process: subprocess.Popen[str]) -> set[int]:
    """Its child processes."""
    try:
        return {int(pid) for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()}
    except OSError:
        return set()


def write(address: str, text: str) -> int:
    """Write a note; return the status."""
    request = urllib.request.Request(
        f"{address}/v1/notes", json.dumps({"text": text}).encode(), {"Content-Type": "application/json"}
    )
    try:
        return int(urllib.request.urlopen(request, timeout=10).status)
    except urllib.error.HTTPError as error:
        return error.code


def notes(project: Path) -> set[str]:
    """Read the notes of a stopped application."""
    database = apsw.Connection(str(project / "data" / "modules" / "notes.db"))
    try:
        return {text for (text,) in database.execute("select text from note")}
    finally:
        database.close()


def alive(pid: int) -> bool:
    """Whether a process runs (a zombie does not)."""
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z"


@pytest.mark.real
@pytest.mark.parametrize("args", [("run",), ("run", "--workers", "2")])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_drains_and_leaves_nobody(project: Path, args: tuple[str, ...], number: signal.Signals) -> None:
    """Both signals end it with 0, no process stays behind, and nothing acknowledged is lost."""
    with running(project, *args) as (process, address):
        eventually(lambda: ready(address))
        seen = children(process)
        kept: list[int] = []
        refused: list[str] = []

        def load() -> None:
            for n in itertools.count():
                try:
                    status = write(address, f"note {n}")
                except OSError:
                    return  # the door is shut
                if status < 300:
                    kept.append(n)
                elif status != 503:
                    refused.append(f"{n}: {status}")

        writers = threading.Thread(target=load)
        writers.start()
        time.sleep(0.4)
        process.send_signal(number)
        assert process.wait(30) == 0
        writers.join()
        assert not any(alive(pid) for pid in seen)
        assert not refused
    assert kept
    assert {f"note {n}" for n in kept} <= notes(project)


@pytest.mark.real
def test_a_dead_worker_is_replaced(project: Path) -> None:
    """After a kill -9 of one worker, two serve again, on the same address."""
    with running(project, "run", "--workers", "2") as (process, address):
        eventually(lambda: len(children(process)) == 2 and ready(address))
        victim = min(children(process))
        os.kill(victim, signal.SIGKILL)
        eventually(lambda: len(children(process) - {victim}) == 2 and ready(address))
        assert write(address, "after") < 300


@pytest.mark.real
def test_workers_end_with_a_killed_supervisor(project: Path) -> None:
    """No orphans, also when the supervisor had no time to say goodbye."""
    with running(project, "run", "--workers", "2") as (process, address):
        eventually(lambda: len(children(process)) == 2 and ready(address))
        seen = children(process)
        process.kill()
        eventually(lambda: not any(alive(pid) for pid in seen))


@pytest.mark.real
def test_a_second_instance_is_refused(project: Path) -> None:
    """The data folder has one owner; tools beside it work."""
    with running(project, "run") as (_, address):
        eventually(lambda: ready(address))
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


@pytest.mark.real
def test_dev_reloads_on_change(project: Path) -> None:
    """A written file brings a new process to the same address."""
    with running(project, "dev") as (process, address):
        eventually(lambda: bool(children(process)) and ready(address))
        before = children(process)
        time.sleep(0.6)
        os.utime(project / "myapp" / "app.py")
        eventually(lambda: bool(children(process) - before) and ready(address))

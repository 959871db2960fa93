"""How many system calls a server makes for a request on a connection that is kept, counted by strace."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

from bench.web.cases import Case
from bench.web.load import press
from bench.web.server import Server

__all__ = ["available", "per_request"]

ATTACH_SECONDS = 0.5
SECONDS = 6.0  # long, so that opening the connections does not count


def available() -> bool:
    """Return whether strace is installed."""
    return shutil.which("strace") is not None


def per_request(server: Server, case: Case, *, core: int) -> float:
    """Return system calls of all its threads for each request. Raises RuntimeError when they cannot be counted."""
    table = server.folder / "strace"
    attach = [part for pid in server.pids() for part in ("-p", str(pid))]
    tracer = subprocess.Popen(
        ["taskset", "-c", str(core), "strace", "-c", "-f", "-o", str(table), *attach],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )
    try:
        time.sleep(ATTACH_SECONDS)
        sample = press(server, case, core=core, seconds=SECONDS)
    finally:
        tracer.send_signal(signal.SIGINT)
        tracer.wait(20)
    return total_of(table) / (sample.rate * SECONDS)


def total_of(table: Path) -> int:
    """Return the number of calls in strace's table."""
    found = re.search(r"^\s*100\.00\s+\S+\s+(?:\S+\s+)?(\d+)\s+(?:\d+\s+)?total$", table.read_text(), re.MULTILINE)
    if found is None:
        raise RuntimeError("strace counted nothing: may this user trace processes? See kernel.yama.ptrace_scope")
    return int(found[1])

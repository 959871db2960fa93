"""How long a process takes from its start to its first answer."""

from __future__ import annotations

import time
from pathlib import Path

from bench.web.contenders import Contender
from bench.web.server import Server

__all__ = ["start_once"]

PAUSE = 0.001


def start_once(contender: Contender, *, python: str, core: int, folder: Path) -> float:
    """Return milliseconds to the first answer; files are as the run before left them. Raises NotStarted."""
    before = time.perf_counter()
    server = Server(contender, python=python, core=core, folder=folder)
    try:
        server.wait(PAUSE)
        return (time.perf_counter() - before) * 1000
    finally:
        server.stop()

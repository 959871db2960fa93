"""A real `headwater run`, for tests that kill it."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path

__all__ = ["RunningApp", "running_app"]

_ADDRESS = re.compile(r"http://\S+")


class RunningApp:
    """A server process of a project, on a free port and a data folder of its own. Never left running.

    project: a folder with `[tool.headwater]` in its pyproject.toml. environment: on top of this
    process's own, such as HEADWATER_CRASH_AT.
    """

    def __init__(self, project: Path, data: Path, *, arguments: Sequence[str] = ()) -> None:
        self._project = project
        self._data = data
        self._arguments = tuple(arguments)
        self._process: subprocess.Popen[str] | None = None
        self._port = 0
        self.log = data.with_name(data.name + ".log")

    def start(self, environment: Mapping[str, str] | None = None, *, within: float = 20.0) -> None:
        """Start and wait until it takes work; on the same port as the first time.

        Returns early when the process ends by itself. Raises TimeoutError with its output.
        """
        seen = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("a", encoding="utf-8") as out:
            self._process = subprocess.Popen(  # noqa: S603 - our own interpreter
                [
                    sys.executable, "-m", "headwater.cli", "run", "--port", str(self._port), "--data",
                    str(self._data), *self._arguments,
                ],
                cwd=self._project, env={**os.environ, **(environment or {})}, stdout=out, stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL, text=True,
            )
        deadline = time.monotonic() + within
        while time.monotonic() < deadline:
            said = self.log.read_text(encoding="utf-8")[seen:]
            found = _ADDRESS.search(said)
            if found is not None:
                self._port = int(found[0].rpartition(":")[2])
            if self._port and self._is_ready():
                return
            if self.ended:
                return
            time.sleep(0.02)
        raise TimeoutError(f"not ready after {within} s:\n{self.log.read_text(encoding='utf-8')[-2000:]}")

    def _is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.address}/readyz", timeout=1) as answer:  # noqa: S310 - loopback
                return bool(answer.status == 200)
        except OSError:
            return False

    @property
    def address(self) -> str:
        """Where it serves."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def ended(self) -> bool:
        """Whether the process is gone."""
        return self._process is None or self._process.poll() is not None

    @property
    def exit_code(self) -> int | None:
        """Its exit code, negative for a signal; None while it runs."""
        return None if self._process is None else self._process.poll()

    def kill(self) -> None:
        """Kill -9, and wait until it is gone."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def stop(self, *, within: float = 20.0) -> int:
        """Ask it to drain; return its exit code."""
        assert self._process is not None
        self._process.terminate()
        return self._process.wait(within)


@contextlib.contextmanager
def running_app(
    project: Path, data: Path, *, environment: Mapping[str, str] | None = None, arguments: Sequence[str] = ()
) -> Generator[RunningApp]:
    """Run a project for the length of a test."""
    app = RunningApp(project, data, arguments=arguments)
    try:
        app.start(environment)
        yield app
    finally:
        app.kill()

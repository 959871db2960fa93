"""Several worker processes as one instance: started, restarted, stopped together.

The supervisor holds the data folder's lock and reserves the port; workers share both. They hold the
reading end of a pipe that only the supervisor could close, so none outlives it.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from types import FrameType

import click
import msgspec

from headwater.cli.reading import read_on
from headwater.cli.serving import DRAIN_SECONDS
from headwater.cli.settings import Settings

__all__ = ["Supervisor"]

LOOK_SECONDS = 0.1
RESTART_SECONDS = 1.0
QUICK_SECONDS = 5.0
QUICK_DEATHS_MOST = 5
CONFIGURATION = 2


class Supervisor:
    """Keeps `count` workers running until a signal, or until they die faster than they can be started.

    changed: asked at every look; True restarts the workers (for `dev`). A patient supervisor does not
    give up on workers that cannot start, but waits for a change.
    """

    def __init__(
        self, settings: Settings, *, count: int, changed: Callable[[], bool] = lambda: False, patient: bool = False
    ) -> None:
        self._settings = settings
        self._changed = changed
        self._patient = patient
        self._workers: dict[int, tuple[subprocess.Popen[bytes], float]] = {}
        self._due = dict.fromkeys(range(count), 0.0)
        self._quick = 0
        self._signals = 0
        self._alive, self._hold = os.pipe()

    def run(self) -> int:
        """Return the exit code: 0 after a clean drain, 1 after giving up, 2 for a wrong configuration."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._asked)
        code = 0
        try:
            while not self._signals and not code:
                self._start_due()
                time.sleep(LOOK_SECONDS)
                if self._changed():
                    click.echo("headwater: files have changed, restarting")
                    self._stop_all()
                    self._due, self._quick = dict.fromkeys([*self._due, *self._workers], 0.0), 0
                    self._workers.clear()
                code = self._look_after()
        finally:
            clean = self._stop_all()
        return code or (0 if clean else 1)

    def _asked(self, _number: int, _frame: FrameType | None) -> None:
        self._signals += 1
        if self._signals > 1:
            for process, _ in self._workers.values():
                process.kill()

    def _start_due(self) -> None:
        now = time.monotonic()
        for slot in [s for s, due in self._due.items() if due <= now]:
            del self._due[slot]
            told = msgspec.structs.replace(self._settings, slot=slot, alive=self._alive)
            process = subprocess.Popen(
                [sys.executable, "-m", "headwater.cli.worker", msgspec.json.encode(told).decode()],
                pass_fds=(self._settings.lock, self._alive), cwd=self._settings.folder,
                start_new_session=True,  # Ctrl-C reaches the supervisor alone, which forwards it once
            )
            self._workers[slot] = (process, now)

    def _look_after(self) -> int:
        now = time.monotonic()
        for slot, (process, since) in list(self._workers.items()):
            code = process.poll()
            if code is None:
                continue
            del self._workers[slot]
            if self._patient:
                click.echo(f"headwater: stopped with {code}; waiting for a change", err=True)
                self._due[slot] = float("inf")
                continue
            if code == CONFIGURATION:
                return CONFIGURATION
            self._quick = self._quick + 1 if now - since < QUICK_SECONDS else 0
            if self._quick >= QUICK_DEATHS_MOST:
                click.echo(f"error: workers: {self._quick} died within {QUICK_SECONDS:g} s, giving up", err=True)
                click.echo(read_on("workers"), err=True)
                return 1
            click.echo(f"headwater: worker {slot} ended with {code}, starting it again", err=True)
            self._due[slot] = max(since + RESTART_SECONDS, now)
        return 0

    def _stop_all(self) -> bool:
        """Let every worker drain, kill who does not; return whether all drained."""
        processes = [process for process, _ in self._workers.values()]
        for process in processes:
            process.send_signal(signal.SIGTERM)
        end = time.monotonic() + 2 * DRAIN_SECONDS + 2
        for process in processes:
            try:
                process.wait(max(0.0, end - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        return all(process.returncode in (0, CONFIGURATION) for process in processes)

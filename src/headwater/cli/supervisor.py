"""Several worker processes as one instance: started, restarted, replaced, stopped together.

The supervisor holds the data folder's lock and a listening socket for each worker; workers inherit both. So a client
that comes while a worker is being replaced waits in the socket's queue and is not refused. Workers hold the
reading end of a pipe that only the supervisor could close, so none outlives it.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
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
READY_SECONDS = 60.0


class Supervisor:
    """Keeps `count` workers running until a signal, or until they die faster than they can be started.

    SIGHUP replaces them by new ones, one after another, each when its successor serves; one that does not come to
    serve leaves everything as it is. listeners: a socket for each worker, which else opens its own; admin: for the
    first. changed: asked at every look; True restarts the workers (for `dev`). A patient supervisor does not
    give up on workers that cannot start, but waits for a change.
    """

    def __init__(
        self, settings: Settings, *, count: int, listeners: Sequence[socket.socket] = (),
        admin: socket.socket | None = None, changed: Callable[[], bool] = lambda: False, patient: bool = False,
    ) -> None:
        self._settings = settings
        self._listeners = listeners
        self._admin = admin
        self._changed = changed
        self._patient = patient
        self._workers: dict[int, tuple[subprocess.Popen[bytes], float]] = {}
        self._due = dict.fromkeys(range(count), 0.0)
        self._quick = 0
        self._signals = 0
        self._replace = False
        self._alive, self._hold = os.pipe()

    def run(self) -> int:
        """Return the exit code: 0 after a clean drain, 1 after giving up, 2 for a wrong configuration."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._asked)
        signal.signal(signal.SIGHUP, self._asked_for_new)
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
                if self._replace:
                    self._replace = False
                    self._replace_all()
                code = self._look_after()
        finally:
            clean = self._stop_all()
        return code or (0 if clean else 1)

    def _asked(self, _number: int, _frame: FrameType | None) -> None:
        self._signals += 1
        if self._signals > 1:
            for process, _ in self._workers.values():
                process.kill()

    def _asked_for_new(self, _number: int, _frame: FrameType | None) -> None:
        self._replace = True

    def _start_due(self) -> None:
        now = time.monotonic()
        for slot in [s for s, due in self._due.items() if due <= now]:
            del self._due[slot]
            self._workers[slot] = (self._start(slot), now)

    def _start(self, slot: int, told: int = -1) -> subprocess.Popen[bytes]:
        """Start a worker. told: where it says that it serves."""
        settings = msgspec.structs.replace(
            self._settings, slot=slot, alive=self._alive, told=told,
            listener=self._listeners[slot].fileno() if self._listeners else -1,
            admin=self._admin.fileno() if self._admin is not None and slot == 0 else -1,
        )
        given = (settings.lock, settings.alive, settings.listener, settings.admin, told)
        return subprocess.Popen(
            [sys.executable, "-m", "headwater.cli.worker", msgspec.json.encode(settings).decode()],
            pass_fds=[one for one in given if one >= 0], cwd=settings.folder,
            start_new_session=True,  # Ctrl-C reaches the supervisor alone, which forwards it once
        )

    def _replace_all(self) -> None:
        for slot, (old, _) in list(self._workers.items()):
            if self._signals:
                return
            hears, tells = os.pipe()
            new = self._start(slot, tells)
            os.close(tells)
            serves = self._serves(new, hears)
            os.close(hears)
            if not serves:
                _end([new], within=0.0)
                click.echo(f"headwater: the new worker {slot} does not serve; what runs stays as it is", err=True)
                return
            self._workers[slot] = (new, time.monotonic())
            _end([old])
        click.echo("headwater: all workers are new")

    def _serves(self, worker: subprocess.Popen[bytes], hears: int) -> bool:
        """Wait until a new worker serves; False when it ends, takes too long, or everything is to stop."""
        end = time.monotonic() + READY_SECONDS
        while time.monotonic() < end and worker.poll() is None and not self._signals:
            if select.select([hears], [], [], LOOK_SECONDS)[0]:
                return bool(os.read(hears, 1))
        return False

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
        _end(processes)
        return all(process.returncode in (0, CONFIGURATION) for process in processes)


def _end(processes: Sequence[subprocess.Popen[bytes]], *, within: float = 2 * DRAIN_SECONDS + 2) -> None:
    """Let processes drain; kill who does not in time."""
    for process in processes:
        process.send_signal(signal.SIGTERM)
    end = time.monotonic() + within
    for process in processes:
        try:
            process.wait(max(0.0, end - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

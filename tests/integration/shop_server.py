"""The shop as a process of its own, for tests that stop, kill and restart it."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "shop"
RETAIL = Path(os.environ.get("ONLINE_RETAIL", ROOT.parent / "shared" / "data" / "online-retail"))
START_SECONDS = 30.0
HEADWATER = (sys.executable, "-m", "headwater.cli")


class ShopServer:
    """`headwater run` on a port that stays the same over restarts."""

    def __init__(self, data: Path) -> None:
        self.data = data
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = int(free.getsockname()[1])
        self.process: subprocess.Popen[bytes] | None = None
        self.log = data.with_suffix(".log")

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def command(self) -> list[str]:
        return [*HEADWATER, "run", "--port", str(self.port), "--data", str(self.data)]

    def start(self) -> None:
        """Start it and return when it answers."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(self.command(), cwd=EXAMPLE, stdout=log, stderr=log)
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                if self.ask("GET", "/v1/reports/revenue")[0] == 200:
                    return
            except OSError:
                pass
            assert self.process.poll() is None, f"the shop ended by itself:\n{self.log.read_text()}"
            assert time.monotonic() < deadline, f"the shop does not answer:\n{self.log.read_text()}"
            time.sleep(0.02)

    def kill(self) -> None:
        """End it as a power cut would."""
        self._signal(signal.SIGKILL)

    def stop(self) -> None:
        """End it in order."""
        self._signal(signal.SIGTERM)

    def _signal(self, number: int) -> None:
        if self.process is not None and self.process.poll() is None:
            os.kill(self.process.pid, number)
            self.process.wait(30)

    def token(self) -> str:
        """Return a token of a staff member."""
        made = subprocess.run(
            [*HEADWATER, "token", "--role", "staff", "--data", str(self.data)],
            cwd=EXAMPLE, check=True, capture_output=True, text=True,
        )
        return made.stdout.strip()

    def ask(self, method: str, path: str, body: object = None, token: str | None = None) -> tuple[int, Any]:
        """Return status and decoded answer of one request."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            headers = {"content-type": "application/json"}
            if token is not None:
                headers["authorization"] = f"Bearer {token}"
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            answer = connection.getresponse()
            data = answer.read()
        except http.client.HTTPException as error:
            raise ConnectionError(str(error)) from error
        finally:
            connection.close()
        return answer.status, json.loads(data) if data else None

    def replay(self, *arguments: str, folder: Path = RETAIL) -> subprocess.Popen[str]:
        """Begin `python -m shop replay` against it, with a JSON outcome on stdout."""
        return subprocess.Popen(
            [sys.executable, "-m", "shop", "replay", str(folder), "--base-url", self.url, "--json", *arguments],
            cwd=EXAMPLE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env={**os.environ, "SHOP_TOKEN": self.token()},
        )


@contextmanager
def shop_server(folder: Path) -> Iterator[ShopServer]:
    """Run the shop over an empty data folder; it is gone afterwards, whatever happens."""
    server = ShopServer(folder / "data")
    try:
        server.start()
        yield server
    finally:
        server.kill()


def finish(replay: subprocess.Popen[str]) -> dict[str, Any]:
    """Wait for a replay and return its outcome; fails with what it said when it was not exact."""
    out, err = replay.communicate(timeout=300)
    assert replay.returncode == 0, f"exit code {replay.returncode}\n{out}\n{err}"
    outcome: dict[str, Any] = json.loads(out)
    return outcome


def need_retail() -> None:
    """Fail, and say so, when the real order lines are not there: their absence must not look like success."""
    assert RETAIL.is_dir(), f"REAL INPUT IS MISSING: {RETAIL} is not there; put the online-retail files into it"


"""The ASGI application on real servers: uvicorn and granian, from the working folder of a fresh project."""

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

import pytest

SERVERS = {
    "uvicorn": ["uvicorn", "--factory", "headwater.asgi:application", "--host", "127.0.0.1", "--log-level", "warning"],
    "granian": ["granian", "--interface", "asgi", "--factory", "headwater.asgi:application", "--host", "127.0.0.1"],
}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh application."""
    folder = tmp_path_factory.mktemp("asgi")
    subprocess.run([sys.executable, "-m", "headwater.cli", "new", "myapp"], cwd=folder, check=True, timeout=60)
    return folder / "myapp"


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def ask(port: int, method: str, path: str, body: Any = None) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        headers = {"content-type": "application/json"} if body is not None else {}
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        answer = connection.getresponse()
        return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()
    finally:
        connection.close()


@contextmanager
def serving(server: str, project: Path) -> Iterator[int]:
    """Run a server; it has to drain when asked to end."""
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", *SERVERS[server], "--port", str(port)], cwd=project, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    try:
        end = time.monotonic() + 30
        while True:
            try:
                if ask(port, "GET", "/readyz")[0] == 200:
                    break
            except OSError:
                pass
            if process.poll() is not None or time.monotonic() > end:
                process.kill()
                raise AssertionError(process.communicate()[0].decode())
            time.sleep(0.05)
        yield port
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()


@pytest.mark.parametrize("server", list(SERVERS))
def test_the_same_application_behind_another_server(server: str, project: Path) -> None:
    """Routes, problems, strictness and headers are the same; what was written is there in the next process."""
    with serving(server, project) as port:
        status, headers, body = ask(port, "POST", "/v1/notes", {"text": f"kept by {server}"})
        assert status == 201, body
        assert headers["x-content-type-options"] == "nosniff"
        assert "default-src 'none'" in headers["content-security-policy"]
        status, headers, body = ask(port, "POST", "/v1/notes", {"text": "y", "role": "admin"})
        assert (status, headers["content-type"]) == (422, "application/problem+json")
        assert ask(port, "GET", "/v1/nothing")[0] == 404
        assert ask(port, "DELETE", "/v1/notes")[0] == 405
    with serving(server, project) as port:
        assert server in ask(port, "GET", "/v1/notes")[2].decode()


def test_two_processes_do_not_share_a_data_folder(project: Path) -> None:
    """The second one says so and ends."""
    with serving("uvicorn", project):
        second = subprocess.run(
            [sys.executable, "-m", *SERVERS["uvicorn"], "--port", str(free_port())], cwd=project, capture_output=True,
            timeout=30, check=False,
        )
        assert second.returncode != 0
        assert b"in use" in second.stderr + second.stdout

"""A real OpenTelemetry Collector beside the test: it receives OTLP and hands everything on as JSON.

It is built once, with Go, as collector.yaml says. HEADWATER_COLLECTOR_DIR says where it lies.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

HOW = (
    'export HEADWATER_COLLECTOR_DIR=$HOME/.cache/headwater-collector; mkdir -p "$HEADWATER_COLLECTOR_DIR"; '
    'cp tests/integration/collector.yaml "$HEADWATER_COLLECTOR_DIR"; (cd "$HEADWATER_COLLECTOR_DIR" && '
    "go run go.opentelemetry.io/collector/cmd/builder@v0.165.0 --config collector.yaml)"
)


def binary() -> Path:
    """Return the collector's program; skip where there is none."""
    folder = os.environ.get("HEADWATER_COLLECTOR_DIR")
    if not folder:
        pytest.skip(f"HEADWATER_COLLECTOR_DIR is not set; build the OpenTelemetry Collector with: {HOW}")
    found = Path(folder) / "otelcol"
    if not found.is_file():
        pytest.skip(f"there is no collector at {found}; build it with: {HOW}")
    return found


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


class Sink:
    """Receives what the collector hands on."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []

    def spans(self) -> list[dict[str, Any]]:
        return [
            {**span, "resource": resource["resource"]}
            for body in self.bodies
            for resource in json.loads(body)["resourceSpans"]
            for scope in resource["scopeSpans"]
            for span in scope["spans"]
        ]

    def wait_for(self, count: int, seconds: float = 20.0) -> list[dict[str, Any]]:
        end = time.monotonic() + seconds
        while len(self.spans()) < count and time.monotonic() < end:
            time.sleep(0.05)
        return self.spans()


@contextmanager
def listening(sink: Sink) -> Iterator[int]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            sink.bodies.append(self.rfile.read(int(self.headers["content-length"])))
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def collector(folder: Path, port: int) -> Iterator[Sink]:
    """Run a collector that listens at `port`, until the end of the block."""
    program, sink = binary(), Sink()
    with listening(sink) as behind:
        config = folder / "collector.yaml"
        config.write_text(f"""
receivers: {{otlp: {{protocols: {{http: {{endpoint: "127.0.0.1:{port}"}}}}}}}}
exporters: {{otlp_http: {{endpoint: "http://127.0.0.1:{behind}", encoding: json, compression: none}}}}
service:
  telemetry: {{metrics: {{level: none}}, logs: {{level: warn}}}}
  pipelines: {{traces: {{receivers: [otlp], exporters: [otlp_http]}}}}
""")
        with (folder / "collector.log").open("w") as out:
            process = subprocess.Popen([program, "--config", config], stdout=out, stderr=out)
        try:
            end = time.monotonic() + 20
            while True:
                try:
                    socket.create_connection(("127.0.0.1", port), 1).close()
                    break
                except OSError:
                    if process.poll() is not None or time.monotonic() > end:
                        raise AssertionError((folder / "collector.log").read_text()[-2000:]) from None
                    time.sleep(0.05)
            yield sink
        finally:
            process.terminate()
            process.wait(10)

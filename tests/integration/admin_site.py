"""Applications in real processes with an admin listener, and what it takes to ask them."""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from headwater.testing.process import RunningApp
from tests.integration.shop_server import EXAMPLE, HEADWATER, ROOT

SEEN_PATH = os.pathsep.join(str(p) for p in (ROOT / "src", ROOT / "examples" / "shop", ROOT))


def another(app: str) -> dict[str, str]:
    """Return the environment in which another application is served than the shop."""
    return {"HEADWATER_APP": app, "PYTHONPATH": SEEN_PATH}


class Answer(NamedTuple):
    """One answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


def ask(
    port: int, method: str, path: str, *, body: Any = None, host: str | None = None, **headers: str
) -> Answer:
    """Ask once; an underscore in a header's name stands for a hyphen."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=15)
    try:
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        if body is not None:
            given["content-type"] = "application/json"
        if host is not None:
            given["host"] = host
        connection.request(method, path, None if body is None else json.dumps(body), given)
        answer = connection.getresponse()
        return Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
    finally:
        connection.close()


def eventually(true: Callable[[], Any], within: float = 15.0) -> Any:
    """Wait until something holds, and return it."""
    end = time.monotonic() + within
    while not (found := true()):
        assert time.monotonic() < end, "it did not come to pass"
        time.sleep(0.05)
    return found


class Site:
    """A running application, by default the shop, and its two ports. admin: 0 where there is none."""

    def __init__(self, app: RunningApp, data: Path) -> None:
        self.app = app
        self.data = data
        self.public = int(app.address.rpartition(":")[2])
        found = re.search(r"admin +http://\S+:(\d+)", app.log.read_text())
        self.admin = 0 if found is None else int(found[1])

    def order(self, request: str, customer: str = "c", product: str = "pin") -> int:
        body = {"request_id": request, "customer_id": customer, "lines": [{"product_id": product, "quantity": 1}]}
        return ask(self.public, "POST", "/v1/orders", body=body).status

    def stock(self) -> None:
        made = subprocess.run(
            [*HEADWATER, "token", "--role", "staff", "--data", str(self.data)], cwd=EXAMPLE, check=True,
            capture_output=True, text=True,
        )
        staff = f"Bearer {made.stdout.strip()}"
        pin = {"description": "pin", "price_cents": 5}
        assert ask(self.public, "PUT", "/v1/products/pin", body=pin, authorization=staff).status < 300
        received = {"request_id": "pins", "quantity": 1000}
        assert ask(self.public, "POST", "/v1/stock/pin/receipts", body=received, authorization=staff).status < 300

    def metrics(self) -> dict[str, float]:
        answer = ask(self.admin, "GET", "/metrics")
        assert answer.status == 200
        lines = [line.rpartition(" ") for line in answer.body.decode().splitlines() if not line.startswith("#")]
        return {name: float(value) for name, _, value in lines}

    def summed(self, name: str, **labels: str) -> float:
        wanted = [f'{key}="{value}"' for key, value in labels.items()]
        return sum(
            value for told, value in self.metrics().items()
            if told.partition("{")[0] == name and all(one in told for one in wanted)
        )

    def settled(self) -> None:
        eventually(lambda: self.summed("headwater_event_lag") == 0)


@contextmanager
def serving(folder: Path, *arguments: str, topology: str = "", **environment: str) -> Iterator[Site]:
    file = folder / "topology.toml"
    file.write_text(topology or "[http]\nbody_limit = 1000000\n")
    app = RunningApp(EXAMPLE, folder / "data", arguments=("--topology", str(file), *arguments))
    try:
        app.start(environment)
        yield Site(app, folder / "data")
    finally:
        app.kill()


def full(site: Site) -> list[dict[str, Any]]:
    told = ask(site.admin, "GET", "/snapshot").json()
    return [] if told["missing"] else list(told["processes"])


def promtool(text: bytes) -> subprocess.CompletedProcess[bytes]:
    program = shutil.which("promtool")
    assert program, "promtool is missing: apt-get install prometheus"
    return subprocess.run([program, "check", "metrics"], input=text, capture_output=True, timeout=30, check=False)

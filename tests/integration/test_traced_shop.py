"""The shop as it is served: a request's trace at a real collector, logs as JSON lines, a blocked loop told."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
import time

import pytest

from tests.integration.collector import collector, free_port

APP = """
import logging, time
from headwater import Api, App, Command, Ctx, Event, Module, Tx, contract, public

@contract("desk.order", v=1)
class Order(Command[int]):
    key: str
    hold: float = 0.0

@contract("desk.ordered", v=1)
class Ordered(Event):
    key: str

@contract("stock.take", v=1)
class Take(Command[int]):
    key: str

desk, stock = Module("desk", uses=["stock"]), Module("stock")
log = logging.getLogger("desk")

@desk.handle(Order)
async def order(cmd: Order, ctx: Ctx, tx: Tx) -> int:
    taken = await ctx.call(Take(key=cmd.key))
    log.info("ordered %s with %s", cmd.key, "0pen-sesame")
    time.sleep(cmd.hold)
    await tx.emit(Ordered(key=cmd.key))
    return taken

@stock.handle(Take)
async def take(cmd: Take) -> int:
    return 1

@stock.on(Ordered)
async def ordered(event: Ordered, tx: Tx) -> None:
    log.info("heard of %s", event.key)

api = Api("v1", auth=public)
api.post("/orders", Order)
app = App("traced", modules=[desk, stock], apis=[api])
"""
TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@pytest.mark.real
def test_a_served_request_is_one_trace(tmp_path):
    (tmp_path / "app.py").write_text(APP)
    otlp, port = free_port(), free_port()
    (tmp_path / "t.toml").write_text(f'[traces]\nratio = 0.0\notlp = "http://127.0.0.1:{otlp}"\notlp_secret = "env:OTLP_KEY"\n')
    command = [sys.executable, "-m", "headwater.cli", "--app", "app:app", "run", "--port", str(port), "--data", str(tmp_path / "data"), "--topology", "t.toml"]
    with collector(tmp_path, otlp) as sink:
        with (tmp_path / "out").open("w") as out, (tmp_path / "log").open("w") as log:
            process = subprocess.Popen(command, cwd=tmp_path, stdout=out, stderr=log, env={**os.environ, "OTLP_KEY": "0pen-sesame"})
        try:
            request(port, {"key": "b", "hold": 0.4}, f"00-{TRACE[::-1]}-{SPAN}-00")
            assert request(port, {"key": "a"}, f"00-{TRACE}-{SPAN}-01") == 200
            spans = sink.wait_for(5)
        finally:
            process.terminate()
            process.wait(20)
    assert process.returncode == 0, (tmp_path / "log").read_text()
    assert {s["traceId"] for s in spans} == {TRACE}
    names = {s["spanId"]: s["name"] for s in spans} | {SPAN: "the caller"}
    assert {(s["name"], names[s["parentSpanId"]]) for s in spans if s["name"] != "begin"} == {
        ("desk.order/1", "the caller"), ("stock.take/1", "desk.order/1"), ("commit", "desk.order/1"),
        ("stock.ordered: desk.ordered/1", "desk.order/1"), ("commit", "stock.ordered: desk.ordered/1"),
    }
    text = (tmp_path / "log").read_text()
    assert "sesame" not in text
    lines = [json.loads(line) for line in text.splitlines()]
    said = {line["message"]: line for line in lines}
    ordered, heard = said["ordered a with ***"], said["heard of a"]
    assert (ordered["trace_id"], ordered["contract"], ordered["request_id"]) == (TRACE, "desk.order/1", "req-1")
    assert names[ordered["span_id"]] == "desk.order/1"
    assert (heard["trace_id"], names[heard["span_id"]]) == (TRACE, "stock.ordered: desk.ordered/1")
    (blocked,) = [line for line in lines if line["logger"] == "headwater.watchdog" and line["contract"] != "no handler"]
    assert blocked["contract"] == "desk.order/1"
    assert f"app.py:{1 + APP[: APP.index('time.sleep')].count(chr(10))}" in blocked["message"]


def request(port: int, body: dict, trace: str) -> int:
    end = time.monotonic() + 30
    while True:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        try:
            connection.request("POST", "/v1/orders", json.dumps(body), {"content-type": "application/json", "traceparent": trace, "x-request-id": "req-1"})
            answer = connection.getresponse()
            answer.read()
            return answer.status
        except OSError:
            assert time.monotonic() < end
            time.sleep(0.05)
        finally:
            connection.close()

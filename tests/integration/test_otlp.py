"""Spans at a real OpenTelemetry Collector; and receivers that are slow, gone or refuse."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from headwater import App, Module
from headwater.adapters.otlp import BATCH_SPANS, OtlpExporter
from headwater.errors import ConfigurationError
from headwater.model.secret import masked
from headwater.ports import SpanRecord, TraceRecord
from headwater.runtime.telemetry import TraceSettings
from headwater.topology.assemble import assemble
from headwater.topology.file import Traces, load_topology
from headwater.topology.telemetry import exporter_of, trace_settings
from tests.flow.house import call
from tests.flow.test_tracing import WHOLE, Order, nodes, tracer
from tests.integration.collector import collector, free_port


def trace(number: int = 1, spans: int = 1) -> TraceRecord:
    rows = tuple(
        SpanRecord(id=f"{i + 1:016x}", parent="" if not i else f"{1:016x}", name="a", kind="server", module="m", start=1.7e9, duration=0.5, outcome="value")
        for i in range(spans)
    )
    return TraceRecord(trace_id=f"{number:032x}", name="a", start=1.7e9, duration=0.5, outcome="value", spans=rows)


@pytest.mark.real
async def test_a_collector_sees_one_trace_with_the_right_parents(tmp_path):
    """From outside -> call between modules -> statements -> event handler and durable send: one trace."""
    port = free_port()
    with collector(tmp_path, port) as sink:
        exporter = OtlpExporter(f"http://127.0.0.1:{port}", service="desk", resource={"service.version": "7"}, every=0.05)
        exporter.start()
        made = tracer(ratio=0.0, keep_errors=False)
        made.sinks.append(exporter)
        async with nodes(tmp_path, made) as node:
            await call(node, Order(key="k"), trace_id="a" * 32, span_id="b" * 16, sampled=True, request_id="r-1")
            await node.settled()
        held = made.find("a" * 32)
        assert held is not None
        spans = await asyncio.to_thread(sink.wait_for, len(held.spans))
        await asyncio.to_thread(exporter.close)
    assert (exporter.sent, exporter.dropped) == (len(held.spans), 0)
    assert {span["traceId"] for span in spans} == {"a" * 32}
    names = {span["spanId"]: span["name"] for span in spans}
    kinds = {2: "server", 1: "internal", 5: "consumer", 3: "store"}
    found = {(kinds[s["kind"]], s["name"], names.get(s["parentSpanId"], s["parentSpanId"])) for s in spans if s["name"] != "begin"}
    assert found == {(k, n, above or "b" * 16) for k, n, above in WHOLE}
    resource = {a["key"]: a["value"]["stringValue"] for a in spans[0]["resource"]["attributes"]}
    assert resource == {"service.name": "desk", "service.version": "7"}
    statement = next(s for s in spans if s["name"] == "select cents")
    attributes = {a["key"]: a["value"] for a in statement["attributes"]}
    assert attributes["db.query.text"]["stringValue"] == "select cents from prices where key = :key and cents < ? and key <> ?"
    first = next(s for s in spans if s["name"] == "desk.order/1")
    assert int(first["startTimeUnixNano"]) < int(first["endTimeUnixNano"])


@pytest.mark.real
async def test_a_collector_that_comes_late_gets_everything(tmp_path):
    port = free_port()
    exporter = OtlpExporter(f"http://127.0.0.1:{port}", service="desk", every=0.05)
    exporter.start()
    for number in range(1, 4):
        exporter.take(trace(number))
    await asyncio.sleep(0.5)
    assert (exporter.sent, exporter.dropped) == (0, 0)
    with collector(tmp_path, port) as sink:
        spans = await asyncio.to_thread(sink.wait_for, 3)
        await asyncio.to_thread(exporter.close)
    assert {s["traceId"] for s in spans} == {f"{n:032x}" for n in range(1, 4)}
    assert exporter.retried >= 1


def test_a_receiver_that_never_answers_costs_the_application_nothing():
    """The queue stays bounded, what is dropped is counted, taking returns at once, closing is bounded."""
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(1)
        exporter = OtlpExporter(f"http://127.0.0.1:{deaf.getsockname()[1]}", service="desk", every=0.01, queued_most=1000)
        exporter.start()
        for number in range(1, 5001):
            exporter.take(trace(number))
        assert len(exporter._queue) <= 1000
        assert 5000 - 1000 - BATCH_SPANS <= exporter.dropped <= 4000
    # the listener is gone now: the waiting request fails, and so does the next
    exporter.close(within=0.2)
    assert exporter.dropped == 5000
    assert exporter._thread is not None
    assert not exporter._thread.is_alive()


class Picky:
    """A receiver that answers with a list of statuses, then with 200."""

    def __init__(self, *statuses: int) -> None:
        self.left = list(statuses)
        self.seen = 0
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["content-length"]))
                outer.seen += 1
                self.send_response(outer.left.pop(0) if outer.left else 200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.mark.parametrize(("statuses", "sent", "dropped", "requests"), [((503, 429), 1, 0, 3), ((400,), 0, 1, 1)])
def test_busy_is_tried_again_and_wrong_is_not(statuses, sent, dropped, requests, caplog):
    receiver = Picky(*statuses)
    exporter = OtlpExporter(f"http://127.0.0.1:{receiver.server.server_port}", service="desk", every=0.01)
    exporter.start()
    exporter.take(trace())
    end = time.monotonic() + 10
    while exporter.sent + exporter.dropped < 1 and time.monotonic() < end:
        time.sleep(0.01)
    exporter.close()
    receiver.close()
    assert (exporter.sent, exporter.dropped, receiver.seen) == (sent, dropped, requests)
    assert len([r for r in caplog.records if "cannot be sent" in r.message]) == 1


def test_a_wrong_endpoint_is_refused():
    with pytest.raises(ConfigurationError, match="write http"):
        OtlpExporter("localhost:4318", service="desk")


async def test_the_topology_file_says_what_is_traced_and_where_it_goes(tmp_path):
    (tmp_path / "t.toml").write_text('[traces]\nratio = 0.5\nslow = 0.3\notlp = "http://127.0.0.1:4318/x/"\notlp_header = "api-key"\notlp_secret = "env:KEY"\n')
    traces = load_topology(tmp_path / "t.toml").traces
    settings = trace_settings(traces)
    assert (settings.ratio, settings.slow, settings.keep_errors) == (0.5, 0.3, True)
    assert trace_settings(traces, dev=True).ratio == 1.0
    exporter = exporter_of(traces, service="shop", instance="i-1", environment={"KEY": "0pen-sesame"}, folder=tmp_path)
    assert exporter is not None
    assert exporter._headers["api-key"] == "0pen-sesame"
    assert exporter._path == "/x/v1/traces"
    assert masked("key 0pen-sesame") == "key ***"
    assert exporter_of(Traces(), service="shop", instance="i", environment={}, folder=tmp_path) is None
    node = assemble(App("desk", modules=[Module("desk")]), data=tmp_path, tracing=settings)
    assert node.parts.tracer is not None
    assert assemble(App("desk", modules=[Module("desk")]), data=tmp_path).parts.tracer is None
    off = TraceSettings(ratio=0.0, keep_errors=False)
    assert assemble(App("desk", modules=[Module("desk")]), data=tmp_path, tracing=off).parts.tracer is None

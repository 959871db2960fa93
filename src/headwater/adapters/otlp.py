"""Finished traces to an OpenTelemetry receiver: OTLP, protobuf over HTTP (extra `otlp`).

A thread of its own sends batches. The queue is bounded: what does not fit is dropped and counted.
A receiver that is slow, refuses or is gone is tried again with growing pauses; the application does
not notice.
"""

from __future__ import annotations

import gzip
import http.client
import importlib.util
import logging
import random
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from headwater.errors import ConfigurationError, MissingExtra
from headwater.model.secret import Secret, register_secret
from headwater.ports import SpanRecord, TraceRecord

__all__ = ["OtlpExporter"]

BATCH_SPANS = 512
QUEUED_SPANS_MOST = 16_384
BACKOFF_FIRST_SECONDS = 0.5
BACKOFF_MOST_SECONDS = 30.0
REQUEST_SECONDS = 10.0
ANSWER_BYTES_MOST = 64 * 1024
_AGAIN = frozenset({429, 502, 503, 504})
_KINDS = {"server": 2, "internal": 1, "consumer": 5, "store": 3}
_ERRORS = frozenset({"not_executed", "unknown"})

log = logging.getLogger("headwater.otlp")


class _Refused(Exception):
    """The receiver has answered, and not with a yes. again: whether it may say yes later, after `pause` seconds."""

    def __init__(self, said: str, *, again: bool, pause: float = 0.0) -> None:
        super().__init__(said)
        self.again = again
        self.pause = pause


class OtlpExporter:
    """Takes traces and sends them.

    endpoint: such as "http://localhost:4318". headers: sent with each batch; a `Secret` among them is
    masked everywhere. resource: attributes of this process beside service.name. every: the longest a
    finished trace waits for company, in seconds. give_up: after so many seconds a batch is dropped.

    sent, dropped and retried count spans, spans and requests.
    """

    def __init__(
        self, endpoint: str, *, service: str, resource: Mapping[str, str] | None = None,
        headers: Mapping[str, str | Secret[str]] | None = None, every: float = 2.0, give_up: float = 120.0,
        queued_most: int = QUEUED_SPANS_MOST,
    ) -> None:
        if importlib.util.find_spec("opentelemetry") is None:
            raise MissingExtra("sending traces", "otlp")
        parts = urlsplit(endpoint)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
            raise ConfigurationError(f"OTLP endpoint {endpoint!r}: write http://host:4318 or https://host")
        self.sent = 0
        self.dropped = 0
        self.retried = 0
        self._secure = parts.scheme == "https"
        self._host = parts.hostname
        self._port = parts.port
        self._path = f"{parts.path.rstrip('/')}/v1/traces"
        self._headers = {"content-type": "application/x-protobuf", "content-encoding": "gzip"}
        for name, value in (headers or {}).items():
            if isinstance(value, Secret):
                register_secret(value)
            self._headers[name] = value.reveal() if isinstance(value, Secret) else value
        self._resource = {"service.name": service, **(resource or {})}
        self._every = every
        self._give_up = give_up
        self._most = queued_most
        self._queue: deque[TraceRecord] = deque()
        self._queued = 0
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._end = 0.0
        self._connection: http.client.HTTPConnection | None = None
        self._thread: threading.Thread | None = None
        self._failing = False

    # --- the loop's side ----------------------------------------------------------------------

    def start(self) -> None:
        """Begin to send."""
        self._thread = threading.Thread(target=self._serve, name="headwater-otlp", daemon=True)
        self._thread.start()

    def take(self, trace: TraceRecord) -> None:
        """Take a trace. Returns at once and never raises; a full queue drops it."""
        count = len(trace.spans)
        with self._lock:
            if self._queued + count > self._most:
                self.dropped += count
                return
            self._queued += count
            self._queue.append(trace)
            enough = self._queued >= BATCH_SPANS
        if enough:
            self._wake.set()

    def close(self, *, within: float = 3.0) -> None:
        """Send what is queued, for at most `within` seconds; the rest is dropped. Blocks, so call it from a thread."""
        self._end = time.monotonic() + within
        self._closing.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join(within + REQUEST_SECONDS)
        self._drop(self._next_batch(most=self._most + BATCH_SPANS))

    # --- the thread's side --------------------------------------------------------------------

    def _serve(self) -> None:
        while not (self._closing.is_set() and not self._queue):
            self._wake.wait(self._every)
            self._wake.clear()
            while self._queue:
                batch = self._next_batch()
                try:
                    self._deliver(batch)
                except Exception:
                    log.exception("a batch of spans could not be sent")
                    self._drop(batch)
                if self._closing.is_set() and time.monotonic() >= self._end:
                    return
        self._disconnect()

    def _next_batch(self, most: int = BATCH_SPANS) -> Sequence[TraceRecord]:
        batch: list[TraceRecord] = []
        count = 0
        with self._lock:
            while self._queue and (not batch or count + len(self._queue[0].spans) <= most):
                batch.append(self._queue.popleft())
                count += len(batch[-1].spans)
            self._queued -= count
        return batch

    def _drop(self, batch: Sequence[TraceRecord]) -> None:
        self.dropped += sum(len(trace.spans) for trace in batch)

    def _deliver(self, batch: Sequence[TraceRecord]) -> None:
        body = gzip.compress(_request(batch, self._resource), 5)
        give_up = time.monotonic() + self._give_up
        pause = BACKOFF_FIRST_SECONDS
        while True:
            try:
                refused = self._post(body)
            except _Refused as error:
                self._tell(str(error))
                if not error.again:
                    self._drop(batch)
                    return
                wait = max(error.pause, random.uniform(pause / 2, pause))  # noqa: S311 - jitter is no secret
            except (OSError, http.client.HTTPException) as error:
                self._disconnect()
                self._tell(f"{type(error).__name__}: {error}")
                wait = random.uniform(pause / 2, pause)  # noqa: S311
            else:
                self.sent += sum(len(trace.spans) for trace in batch) - refused
                self.dropped += refused
                if self._failing:
                    log.info("spans are received again")
                self._failing = False
                return
            if time.monotonic() + wait > (min(give_up, self._end) if self._closing.is_set() else give_up):
                self._drop(batch)
                return
            self.retried += 1
            self._closing.wait(wait)
            pause = min(pause * 2, BACKOFF_MOST_SECONDS)

    def _post(self, body: bytes) -> int:
        """Send once; return how many spans the receiver did not take. Raises _Refused, OSError, HTTPException."""
        if self._connection is None:
            kind = http.client.HTTPSConnection if self._secure else http.client.HTTPConnection
            self._connection = kind(self._host, self._port, timeout=REQUEST_SECONDS)
        self._connection.request("POST", self._path, body, self._headers)
        response = self._connection.getresponse()
        answer = response.read(ANSWER_BYTES_MOST)
        if response.read(1):
            self._disconnect()
        if response.status == 200:
            return _not_taken(answer)
        after = response.getheader("retry-after", "")
        raise _Refused(
            f"the receiver answered {response.status}", again=response.status in _AGAIN,
            pause=min(float(after), BACKOFF_MOST_SECONDS) if after.isdecimal() else 0.0,
        )

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _tell(self, said: str) -> None:
        """Log the first of a row of failures; the rest is counted."""
        if not self._failing:
            log.warning("spans cannot be sent to %s: %s", self._host, said)
        self._failing = True


# --- protobuf -------------------------------------------------------------------------------------


def _request(batch: Sequence[TraceRecord], resource: Mapping[str, str]) -> bytes:
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    request: Any = ExportTraceServiceRequest()
    of_process = request.resource_spans.add()
    _attributes(of_process.resource.attributes, resource)
    scope = of_process.scope_spans.add()
    scope.scope.name = "headwater"
    for trace in batch:
        trace_id = bytes.fromhex(trace.trace_id)
        for record in trace.spans:
            _fill(scope.spans.add(), record, trace_id)
    data: bytes = request.SerializeToString()
    return data


def _fill(span: Any, record: SpanRecord, trace_id: bytes) -> None:
    span.trace_id = trace_id
    span.span_id = bytes.fromhex(record.id)
    span.parent_span_id = bytes.fromhex(record.parent)
    span.name = record.name
    span.kind = _KINDS[record.kind]
    span.start_time_unix_nano = int(record.start * 1e9)
    span.end_time_unix_nano = int((record.start + record.duration) * 1e9)
    span.status.code = 2 if record.outcome in _ERRORS else 0
    _attributes(
        span.attributes,
        {**record.attributes, "headwater.module": record.module, "headwater.outcome": record.outcome},
    )


def _attributes(target: Any, values: Mapping[str, str | float]) -> None:
    for key, value in values.items():
        pair = target.add()
        pair.key = key
        if isinstance(value, str):
            pair.value.string_value = value.encode("utf-8", "replace").decode()
        elif isinstance(value, int):
            pair.value.int_value = value
        else:
            pair.value.double_value = value


def _not_taken(answer: bytes) -> int:
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

    response: Any = ExportTraceServiceResponse()
    try:
        response.ParseFromString(answer)
    except Exception:
        return 0  # some receivers answer with JSON; a yes is a yes
    return int(response.partial_success.rejected_spans)

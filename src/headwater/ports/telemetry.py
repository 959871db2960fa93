"""What the hot path reports, and what becomes of it: cells for counting, finished traces for whoever wants them."""

from __future__ import annotations

from typing import Literal, Protocol

from msgspec import field

from headwater.model.contract import Contract
from headwater.model.message import Value

__all__ = [
    "Cell", "Outcome", "SlowStatement", "SpanKind", "SpanRecord", "StoreCell", "Telemetry", "TraceRecord", "TraceSink",
]

Outcome = Literal["value", "failure", "not_executed", "unknown"]
SpanKind = Literal["server", "internal", "consumer", "store"]
"""A call from outside, a call between modules, a delivered event, and work of the store."""


class SpanRecord(Value, gc=False):
    """One finished span. id, parent: 16 hex digits, parent "" for the first of a trace.

    start: Unix seconds. duration: seconds. attributes: masked, and never a parameter or a message's content.
    """

    id: str
    parent: str
    name: str
    kind: SpanKind
    module: str
    start: float
    duration: float
    outcome: Outcome
    attributes: dict[str, str | int | float] = field(default_factory=dict)


class TraceRecord(Value, gc=False):
    """One finished trace, or this process's part of it. name: of its first span.

    trace_id: 32 hex digits. spans: in order of their start. dropped: spans beyond the most that are kept.
    """

    trace_id: str
    name: str
    start: float
    duration: float
    outcome: Outcome
    spans: tuple[SpanRecord, ...]
    dropped: int = 0


class SlowStatement(Value, gc=False):
    """A statement that was slow at least once: its text without values, how often, and for how long, in seconds."""

    sql: str
    module: str
    count: int
    most: float
    total: float


class TraceSink(Protocol):
    """Takes finished traces, for export."""

    def take(self, trace: TraceRecord) -> None:
        """Take a trace. Called on the event loop: returns at once and never raises."""
        ...


class Cell(Protocol):
    """The meter of one contract: looked up once, at start."""

    def record(self, outcome: Outcome, seconds: float) -> None:
        """Count one finished call."""
        ...


class StoreCell(Protocol):
    """The meter of one store."""

    def committed(self, units: int, seconds: float, *, well: bool) -> None:
        """Count one shared commit and the units that took part. Called on the event loop."""
        ...


class Telemetry(Protocol):
    """Meters by contract."""

    def cell(self, contract: Contract) -> Cell:
        """Return the contract's meter; the same one every time."""
        ...

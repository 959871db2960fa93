"""What one process measures and records, in one place: meters and traces."""

from __future__ import annotations

from headwater.ports import Clock, Ids, Random
from headwater.runtime.meter import Meter
from headwater.runtime.tracing import Tracer

__all__ = ["Telemetry", "TraceSettings"]


class TraceSettings:
    """What is traced; see `Tracer`. ratio 0 without keep_errors and slow turns tracing off."""

    __slots__ = ("capacity", "keep_errors", "ratio", "slow", "slow_statement")

    def __init__(
        self, *, ratio: float = 0.01, keep_errors: bool = True, slow: float | None = None,
        slow_statement: float = 0.1, capacity: int = 256,
    ) -> None:
        self.ratio = ratio
        self.keep_errors = keep_errors
        self.slow = slow
        self.slow_statement = slow_statement
        self.capacity = capacity


class Telemetry:
    """`meter` always, `tracer` unless tracing is off."""

    __slots__ = ("meter", "tracer")

    def __init__(self, meter: Meter, tracer: Tracer | None) -> None:
        self.meter = meter
        self.tracer = tracer

    @classmethod
    def of(cls, settings: TraceSettings | None, *, clock: Clock, ids: Ids, random: Random) -> Telemetry:
        """Return the telemetry of a new process; no settings, no tracing."""
        if settings is None or not (settings.ratio or settings.keep_errors or settings.slow is not None):
            return cls(Meter(), None)
        return cls(
            Meter(),
            Tracer(
                clock, ids, random, ratio=settings.ratio, keep_errors=settings.keep_errors, slow=settings.slow,
                slow_statement=settings.slow_statement, capacity=settings.capacity,
            ),
        )

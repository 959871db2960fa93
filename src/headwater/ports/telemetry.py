"""What the hot path reports. An implementation only records; exporting happens elsewhere, later."""

from __future__ import annotations

from typing import Literal, Protocol

from headwater.model.context import Context
from headwater.model.contract import Contract

__all__ = ["Cell", "Outcome", "Telemetry"]

Outcome = Literal["value", "failure", "not_executed", "unknown"]


class Cell(Protocol):
    """The meter of one contract: looked up once, at start."""

    def record(self, outcome: Outcome, seconds: float) -> None:
        """Count one finished call."""
        ...


class Telemetry(Protocol):
    """Meters by contract, and spans while somebody wants them."""

    @property
    def tracing(self) -> bool:
        """Whether `span` is to be called; read once, at start."""
        ...

    def span(self, contract: Contract, context: Context, outcome: Outcome, seconds: float) -> None:
        """Take one finished call as a span of the context's trace."""
        ...

    def cell(self, contract: Contract) -> Cell:
        """Return the contract's meter; the same one every time."""
        ...

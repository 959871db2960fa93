"""The durable event log of one module: its outbox, read in commit order.

There is no second copy: what a transaction appended *is* the log. Subscriptions, relays to a broker
and people with a command line are all readers with a position of their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from headwater.model.message import Value

__all__ = ["EventLog", "Record"]


class Record(Value, gc=False):
    """One event as it is kept. `position` is 0 until it has been appended.

    id: UUIDv7, the same in every delivery and replay. name, version: of the contract. key: orders
    it, "" when the contract names none. payload: the message as JSON. at: Unix seconds.
    trace: W3C traceparent or "". identity: who caused it, as JSON or b"".
    """

    id: str
    name: str
    version: int
    key: str
    payload: bytes
    at: float
    trace: str = ""
    identity: bytes = b""
    position: int = 0


class EventLog(Protocol):
    """Positions grow by commit order and are never used twice; they may have gaps."""

    async def read(self, *, after: int, names: Sequence[str], limit: int) -> tuple[Sequence[Record], int]:
        """Return up to `limit` committed records past `after` whose name is listed, and a position.

        The position is how far the log has been looked through: the last record's when the limit
        was reached, else the head. An empty `names` means every name.
        """
        ...

    async def head(self) -> int:
        """Return the position of the newest committed record, 0 when there is none."""
        ...

    async def behind(self, *, after: int, names: Sequence[str], most: int) -> tuple[int, float]:
        """Return how many records `read` would still give, at most `most`, and the first one's `at`; 0.0 for none."""
        ...

    async def find(self, ids: Sequence[str]) -> Sequence[Record]:
        """Return the records with these ids, in log order; unknown ids are left out."""
        ...

"""Who was refused, and why: one record for each refusal, in the log and for the last few in memory.

A record never holds a credential. Every text in it is cut to length and written as JSON, so that nobody
can forge a line, whatever a request contains.
"""

from __future__ import annotations

import json
import logging
from collections import deque

from msgspec import Struct
from msgspec.structs import asdict

from headwater.model.identity import Identity
from headwater.ports import Clock

__all__ = ["Audit", "Refusal"]

KEPT = 256
CHARS_MOST = 200
log = logging.getLogger("headwater.audit")


class Refusal(Struct, frozen=True, kw_only=True):
    """One refusal. at: Unix seconds. subject and tenant are None where the caller was not known."""

    at: float
    status: int
    code: str
    reason: str
    method: str
    route: str
    request_id: str
    subject: str | None
    tenant: str | None
    address: str


class Audit:
    """Takes note of refusals. kept: how many of the last ones `recent` tells."""

    def __init__(self, clock: Clock, *, kept: int = KEPT) -> None:
        self._wall = clock.wall
        self._recent: deque[Refusal] = deque(maxlen=kept)
        self.counts: dict[int, int] = {}

    def refused(
        self, *, status: int, code: str, reason: str, method: str, route: str, request_id: str, identity: Identity,
        address: str,
    ) -> None:
        """Take note of one. route: as declared, never as asked, so that no secret in a path gets here."""
        record = Refusal(
            at=round(self._wall(), 3), status=status, code=_cut(code), reason=_cut(reason), method=_cut(method),
            route=_cut(route), request_id=_cut(request_id),
            subject=None if identity.subject is None else _cut(identity.subject),
            tenant=None if identity.tenant is None else _cut(identity.tenant), address=_cut(address),
        )
        self.counts[status] = self.counts.get(status, 0) + 1
        self._recent.append(record)
        log.warning("%s", _line(record))

    def recent(self) -> list[Refusal]:
        """Return the last refusals, newest first."""
        return list(reversed(self._recent))


def _line(record: Refusal) -> str:
    """JSON in printable ASCII: neither a terminal nor a log reader finds anything to obey in it."""
    return json.dumps(asdict(record))


def _cut(text: str) -> str:
    return text if len(text) <= CHARS_MOST else text[: CHARS_MOST - 1] + "…"

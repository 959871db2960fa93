"""How often somebody may ask: the generic cell rate algorithm, one number for each who asks.

GCRA (ITU-T I.371) keeps the time at which a caller's bucket will be empty again. A request is let in when that
time is at most `burst` periods ahead. The headers are those of draft-ietf-httpapi-ratelimit-headers.
"""

from __future__ import annotations

import heapq
import ipaddress
import math
from collections.abc import Callable, Hashable

from headwater.edge.http import Request
from headwater.edge.problems import Rejected
from headwater.model.limits import Limit

__all__ = ["Limiter", "Limits", "address_key", "principal_key"]

KEYS_MOST = 100_000
Key = Callable[[Request], Hashable]


class Limiter:
    """Counts one limit. Each process counts for itself.

    Keys are bounded: when there are too many, those go first that are nearest to being as good as new, so
    that nobody loses a refusal by bringing many others.
    """

    __slots__ = ("_full_at", "_most", "_now", "burst", "period")

    def __init__(self, limit: Limit, now: Callable[[], float], *, most: int = KEYS_MOST) -> None:
        self.period = limit.period
        self.burst = limit.burst
        self._now = now
        self._most = most
        self._full_at: dict[Hashable, float] = {}  # when each key will be as good as new, in seconds of `now`

    def take(self, key: Hashable) -> tuple[float, int, float]:
        """Count one request.

        Return how many seconds to wait (0.0: it is let in; else nothing was counted), how many more may come at
        once, and after how many seconds all of them may.
        """
        now = self._now()
        full_at = max(self._full_at.get(key, now), now)
        wait = full_at - now - (self.burst - 1) * self.period
        if wait > 1e-9:
            return wait, 0, full_at - now
        full_at += self.period
        if key not in self._full_at and len(self._full_at) >= self._most:
            self._make_room(now)
        self._full_at[key] = full_at
        return 0.0, int((self.burst * self.period - (full_at - now)) / self.period + 1e-9), full_at - now

    def __len__(self) -> int:
        return len(self._full_at)

    def _make_room(self, now: float) -> None:
        for key in [key for key, full_at in self._full_at.items() if full_at <= now]:
            del self._full_at[key]
        excess = len(self._full_at) - self._most * 9 // 10
        if excess > 0:
            for key in heapq.nsmallest(excess, self._full_at, key=self._full_at.__getitem__):
                del self._full_at[key]


class Limits:
    """What one route asks of a request: all its limits of one kind. A gate."""

    __slots__ = ("_limiters",)

    def __init__(self, limiters: tuple[tuple[Limit, Limiter], ...]) -> None:
        self._limiters = limiters

    def __call__(self, request: Request) -> tuple[tuple[bytes, bytes], ...]:
        """Return headers that tell what is left. Raises Rejected (429) with the time to wait."""
        headers: tuple[tuple[bytes, bytes], ...] = ()
        for limit, limiter in self._limiters:
            wait, left, until_full = limiter.take(_KEYS[limit.per](request))
            headers += (
                (b"ratelimit-policy", b'"%b";q=%d;w=%d' % (
                    limit.per.encode(), limit.burst, math.ceil(limit.burst * limit.period)
                )),
                (b"ratelimit", b'"%b";r=%d;t=%d' % (limit.per.encode(), left, math.ceil(wait or until_full))),
            )
            if wait:
                retry = (b"retry-after", b"%d" % math.ceil(wait))
                raise Rejected(429, "rate-limited", f"at most {limit.rate} for each {limit.per}", (*headers, retry))
        return headers


def address_key(request: Request) -> Hashable:
    """Return what counts as one address: IPv6 by /64, which one customer has at least."""
    peer = request.peer
    if ":" not in peer:
        return peer
    return ipaddress.ip_address(peer.partition("%")[0]).packed[:8]


def principal_key(request: Request) -> Hashable:
    """Return who asks: whoever has signed in, else the address."""
    identity = request.identity
    return address_key(request) if identity.subject is None else (identity.tenant, identity.subject)


_KEYS: dict[str, Key] = {"principal": principal_key, "address": address_key, "route": lambda _request: None}

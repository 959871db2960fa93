"""How often one caller may ask (GCRA): one number for each caller, exact, without a clock that ticks.

The number is when the caller would be back to rest at the full rate. What is past equals no entry, so
forgetting it changes nothing, and nothing else is ever forgotten.
"""

from __future__ import annotations

import ipaddress
import math
import secrets
from collections.abc import Callable, Hashable, Sequence

from headwater.edge.http import Request
from headwater.edge.problems import Rejected
from headwater.model.api import Route
from headwater.model.limits import Limit
from headwater.ports import Clock

__all__ = ["Limiter", "RateLimits", "Throttled"]

CALLERS_MOST = 65_536
SHARED_CELLS = 4_096
SWEEP_SECONDS = 1.0
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_SLACK = 1e-9
Headers = tuple[tuple[bytes, bytes], ...]


class Throttled(Rejected):
    """The caller asked too often."""

    code = "too-many-requests"

    def __init__(self, wait: float, headers: Headers) -> None:
        self.retry_after = wait
        later = (b"retry-after", str(max(1, math.ceil(wait))).encode())
        super().__init__(429, "too-many-requests", "that was asked too often; ask again later", (later, *headers))


class Limiter:
    """One limit for many callers, in bounded memory.

    share: over how many processes callers are spread, each of which counts for itself: each allows its part of the
    rate and of the burst. most: callers that are known at one time, each by its own number. More than that share
    4,096 numbers among them, which makes them wait for each other but gives nobody more than its due.
    """

    __slots__ = (
        "_cells", "_life", "_most", "_old", "_rotated", "_salt", "_swept", "_tolerance", "_young", "burst", "period",
    )

    def __init__(self, limit: Limit, *, share: int = 1, most: int = CALLERS_MOST) -> None:
        self.burst = max(1, limit.burst // share)
        self.period = limit.period * share
        self._tolerance = (self.burst - 1) * self.period + _SLACK
        self._life = self.burst * self.period
        self._most = most
        self._salt = secrets.token_hex(8)
        self._young: dict[Hashable, float] = {}
        self._old: dict[Hashable, float] = {}
        self._cells: dict[int, float] = {}
        self._rotated = self._swept = float("-inf")

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    def check(self, key: Hashable, now: float) -> float | None:
        """Count a request and return None; or the seconds to wait, and count nothing. now: monotonic seconds."""
        wait = self.wait(key, now)
        if wait is None:
            self.take(key, now)
        return wait

    def wait(self, key: Hashable, now: float) -> float | None:
        """Return the seconds to wait, None when nothing is to be waited for. Counts nothing."""
        wait = self._rest(key) - now - self._tolerance
        return wait + _SLACK if wait > 0 else None

    def take(self, key: Hashable, now: float) -> None:
        """Count a request."""
        rest = max(self._rest(key), now) + self.period
        if now - self._rotated > self._life:
            # whoever was not seen since the last rotation has been at rest for a while
            self._old, self._young, self._rotated = self._young, {}, now
        known = key in self._young or self._old.pop(key, None) is not None
        if known or len(self) < self._most or self._sweep(now):
            self._young[key] = rest
        else:
            self._cells[self._cell(key)] = rest

    def left(self, key: Hashable, now: float) -> int:
        """Return how many requests could come at once now."""
        return max(0, math.floor((self._life - self.full_in(key, now)) / self.period + 1e-6))

    def full_in(self, key: Hashable, now: float) -> float:
        """Return the seconds until the whole burst is there again."""
        return max(0.0, self._rest(key) - now)

    def _rest(self, key: Hashable) -> float:
        rest = self._young.get(key)
        if rest is None:
            rest = self._old.get(key)
            if rest is None:
                return self._cells.get(self._cell(key), float("-inf")) if self._cells else float("-inf")
        return rest

    def _cell(self, key: Hashable) -> int:
        return hash((self._salt, key)) % SHARED_CELLS  # so that nobody can choose whom to share with

    def _sweep(self, now: float) -> bool:
        """Forget whoever is at rest; return whether there is room then. Looks at everything, so not often."""
        if now - self._swept >= SWEEP_SECONDS:
            self._swept = now
            self._young = {key: rest for key, rest in self._young.items() if rest > now}
            self._old = {key: rest for key, rest in self._old.items() if rest > now}
            self._cells = {cell: rest for cell, rest in self._cells.items() if rest > now}
        return len(self) < self._most


class RateLimits:
    """The limits of all routes. A limit that several routes share, such as their API's, is counted once for all."""

    def __init__(self, clock: Clock, *, share: int = 1) -> None:
        self._monotonic = clock.monotonic
        self._share = share
        self._limiters: dict[int, tuple[Limit, Limiter]] = {}

    def of(self, route: Route) -> tuple[RouteLimits, ...]:
        """Return what a route asks of each request: what needs no name before authorisation, the rest after it.

        So wrong credentials count too, where addresses are limited.
        """
        named = [(f"{limit.per}-{n}", limit, self._limiter(limit)) for n, limit in enumerate(route.limits, 1)]
        early = [entry for entry in named if entry[1].per != "principal"]
        late = [entry for entry in named if entry[1].per == "principal"]
        return tuple(
            RouteLimits(entries, self._monotonic, early=first) for entries, first in ((early, True), (late, False))
            if entries
        )

    def _limiter(self, limit: Limit) -> Limiter:
        # by identity: two limits that read alike are still two
        return self._limiters.setdefault(id(limit), (limit, Limiter(limit, share=self._share)))[1]


class RouteLimits:
    """Limits of one route, as a gate. A request counts for all of them, or, refused by one, for none.

    early: to be asked before authorisation.
    """

    __slots__ = ("_limits", "_monotonic", "_policy", "early")

    def __init__(
        self, limits: Sequence[tuple[str, Limit, Limiter]], monotonic: Callable[[], float], *, early: bool
    ) -> None:
        self.early = early
        self._limits = [(limit.per, name, limiter) for name, limit, limiter in limits]
        self._monotonic = monotonic
        policy = ", ".join(f'"{name}";q={_quota(limit)};w={_window(limit)}' for name, limit, _ in limits)
        self._policy = (b"ratelimit-policy", policy.encode())

    def __call__(self, request: Request) -> Headers:
        """Count a request and return what its answer says about limits. Raises Throttled."""
        now = self._monotonic()
        asked = [(limiter, _key(per, request), name) for per, name, limiter in self._limits]
        for limiter, key, name in asked:
            wait = limiter.wait(key, now)
            if wait is not None:
                said = f'"{name}";r=0;t={math.ceil(wait)}'
                raise Throttled(wait, (self._policy, (b"ratelimit", said.encode())))
        for limiter, key, _ in asked:
            limiter.take(key, now)
        said = ", ".join(
            f'"{name}";r={limiter.left(key, now)};t={math.ceil(limiter.full_in(key, now))}'
            for limiter, key, name in asked
        )
        return self._policy, (b"ratelimit", said.encode())


def _key(per: str, request: Request) -> Hashable:
    if per == "route":
        return ""
    if per == "principal" and request.identity.subject is not None:
        return request.identity.tenant, request.identity.subject
    return _network(request.peer)


def _network(peer: str) -> Hashable:
    """An IPv6 customer has a /64 at least, so one address of it says nothing."""
    if ":" not in peer:
        return peer
    try:
        address = ipaddress.IPv6Address(peer.partition("%")[0])
    except ValueError:
        return peer
    return str(address.ipv4_mapped) if address.ipv4_mapped else int(address) >> 64


def _quota(limit: Limit) -> int:
    return int(limit.rate.partition("/")[0])


def _window(limit: Limit) -> int:
    return _UNITS[limit.rate.partition("/")[2]]

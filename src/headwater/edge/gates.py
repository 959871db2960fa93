"""What is asked of a request before its body is read, besides who sends it: put together for each route at start."""

from __future__ import annotations

from collections.abc import Mapping

from headwater.edge.cors import Origins
from headwater.edge.http import Request
from headwater.edge.lifecycle import Lifecycle
from headwater.edge.ratelimit import Limiter, Limits
from headwater.edge.route import Gate, Gates
from headwater.model.api import Route
from headwater.model.limits import Limit
from headwater.model.web import Cors
from headwater.ports import Clock

__all__ = ["Gatekeeper"]


class Gatekeeper:
    """Makes the gates of every route. A `Limit` that several routes share is counted once for all of them."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._limiters: dict[int, Limiter] = {}

    def of(self, route: Route) -> Gates:
        """Return a route's gates: whose page asks, whether the version lives, how often; some after who asks."""
        before: list[Gate] = []
        if route.cors is not None:
            before.append(Origins(route.cors, (route.method,)))
        if route.deprecated is not None:
            before.append(Lifecycle(route, self._clock.wall))
        by_address = tuple(limit for limit in route.limits if limit.per != "principal")
        by_principal = tuple(limit for limit in route.limits if limit.per == "principal")
        if by_address:
            before.append(self._limits(by_address))
        return tuple(before), (self._limits(by_principal),) if by_principal else ()

    def preflight(self, request: Request, cors: Mapping[str, Cors]) -> tuple[tuple[bytes, bytes], ...]:
        """Return the headers of an answer to OPTIONS at a place whose methods say who may ask."""
        asked = request.headers.get(b"access-control-request-method", b"").decode("latin-1")
        found = cors.get("GET" if asked == "HEAD" else asked)
        return () if found is None else Origins(found, tuple(cors)).preflight(request)

    def _limits(self, limits: tuple[Limit, ...]) -> Limits:
        return Limits(tuple((limit, self._limiter(limit)) for limit in limits))

    def _limiter(self, limit: Limit) -> Limiter:
        found = self._limiters.get(id(limit))
        if found is None:
            found = self._limiters[id(limit)] = Limiter(limit, self._clock.monotonic)
        return found

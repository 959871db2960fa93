"""What stands before every route besides its authorisation: origins, limits, and the audit of who was refused."""

from __future__ import annotations

from collections.abc import Callable

from headwater.edge.cors import CorsPolicy
from headwater.edge.http import Request
from headwater.edge.limits import RateLimits, RouteLimits, Throttled
from headwater.edge.problems import Unauthenticated
from headwater.errors import Denied, Hidden
from headwater.model.api import Route
from headwater.runtime.audit import Audit

__all__ = ["Gates", "Refused", "refusals"]

Refused = Callable[[BaseException, Request], None]
"""Told of every error that became an answer."""


class Gates:
    """Makes the gates of each route. Those that are `early` are to be asked before authorisation."""

    def __init__(self, limits: RateLimits) -> None:
        self._limits = limits

    def __call__(self, route: Route) -> tuple[CorsPolicy | RouteLimits, ...]:
        """Return the gates of a route, in order; none where it declares none."""
        cors = () if route.cors is None else (CorsPolicy(route.cors, (route.method,)),)
        return (*cors, *self._limits.of(route))


def refusals(audit: Audit, route: Route) -> Refused:
    """Return what takes note of a route's refusals."""
    told = f"{route.method} {route.path}"

    def refused(error: BaseException, request: Request) -> None:
        if isinstance(error, Throttled):
            status = 429
        elif isinstance(error, Denied):
            status = 401 if isinstance(error, Unauthenticated) else 404 if isinstance(error, Hidden) else 403
        else:
            return
        audit.refused(
            status=status, code=error.code, reason=str(error), method=request.method, route=told,
            request_id=request.id, identity=request.identity, address=request.peer,
        )

    return refused

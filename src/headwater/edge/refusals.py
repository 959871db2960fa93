"""Which answers go into the audit log, and what of a request goes with them."""

from __future__ import annotations

from collections.abc import Callable

from headwater.edge.http import Request
from headwater.edge.problems import Rejected, Unauthenticated
from headwater.errors import Denied, Hidden
from headwater.model.api import Route
from headwater.runtime.audit import Audit

__all__ = ["Refused", "refusals"]

Refused = Callable[[BaseException, Request], None]
"""Told of every error that became an answer."""


def refusals(audit: Audit, route: Route) -> Refused:
    """Return what takes note of a route's refusals: not known, not allowed, too often."""
    told = f"{route.method} {route.path}"

    def refused(error: BaseException, request: Request) -> None:
        if isinstance(error, Denied):
            status = 401 if isinstance(error, Unauthenticated) else 404 if isinstance(error, Hidden) else 403
            code = error.code
        elif isinstance(error, Rejected) and error.status == 429:
            status, code = 429, error.problem_code
        else:
            return
        audit.refused(
            status=status, code=code, reason=str(error), method=request.method, route=told, request_id=request.id,
            identity=request.identity, address=request.peer,
        )

    return refused

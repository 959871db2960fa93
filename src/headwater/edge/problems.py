"""Everything that is not a value, as RFC 9457 problem details. Internals never reach the caller."""

from __future__ import annotations

import logging
import math
from typing import Any

import msgspec

from headwater.edge.http import REASONS, Response
from headwater.errors import (
    DeadlineExceeded,
    DeadlineExpired,
    Denied,
    Hidden,
    IdempotencyConflict,
    InvalidMessage,
    NotExecuted,
    OutcomeUnknown,
    StoreFull,
)
from headwater.model.codec import to_json
from headwater.model.message import Failure
from headwater.model.secret import masked_bytes
from headwater.model.strict import NotJson

__all__ = ["PROBLEM", "Rejected", "Unauthenticated", "explained_at", "problem", "problem_of"]

PROBLEM = (b"content-type", b"application/problem+json")
_URN = "urn:headwater:problem:{}"
_TYPES = [_URN]
log = logging.getLogger("headwater.edge")


def explained_at(base: str | None) -> None:
    """Let the `type` of problems of the framework's own lead to their pages below `base`; a urn without one.

    For the whole process: what a code means does not depend on the application.
    """
    _TYPES[0] = _URN if base is None else f"{base.rstrip('/').replace('{', '{{').replace('}', '}}')}/errors/{{}}.html"


class Unauthenticated(Denied):
    """There is no token, or it is not believed."""

    code = "unauthenticated"


class Rejected(NotExecuted):
    """The request itself is wrong, before any message was read from it."""

    code = "rejected"

    def __init__(
        self, status: int, code: str, detail: str, headers: tuple[tuple[bytes, bytes], ...] = ()
    ) -> None:
        self.status = status
        self.problem_code = code
        self.headers = headers
        super().__init__(detail)


def problem(
    status: int, code: str, detail: str, request_id: str, *,
    headers: tuple[tuple[bytes, bytes], ...] = (), **more: Any,
) -> Response:
    """Return a problem document as a response."""
    body = {
        "type": _TYPES[0].format(code), "title": REASONS[status], "status": status,
        "code": code, "detail": detail, "instance": f"urn:request:{request_id}", **more,
    }
    return Response(status, masked_bytes(to_json(body)), (PROBLEM, *headers))


def problem_of(error: BaseException, request_id: str) -> Response:
    """Return what the caller is told about an outcome that is not a value."""
    if isinstance(error, Failure):
        return _refusal(error, request_id)
    if isinstance(error, InvalidMessage):
        status = 400 if isinstance(error, NotJson) else 422
        errors = [{"pointer": f.path, "detail": f.message} for f in error.fields]
        return problem(status, error.code, "the message breaks its rules", request_id, errors=errors)
    if isinstance(error, Rejected):
        return problem(error.status, error.problem_code, str(error), request_id, headers=error.headers)
    if isinstance(error, Unauthenticated):
        return problem(401, error.code, str(error), request_id, headers=((b"www-authenticate", b"Bearer"),))
    if isinstance(error, Hidden):  # word for word what is said of what is not there
        return problem(404, "not-found", "there is no such thing", request_id)
    if isinstance(error, Denied):
        return problem(403, error.code, str(error), request_id)
    if isinstance(error, IdempotencyConflict):
        return problem(409, error.code, str(error), request_id)
    if isinstance(error, NotExecuted):
        return _not_now(error, request_id)
    log.error("request %s failed", request_id, exc_info=error)
    if isinstance(error, DeadlineExceeded):
        return problem(504, error.code, "the time for this request ran out; it may have been done", request_id)
    code = error.code if isinstance(error, OutcomeUnknown) else "internal"
    return problem(500, code, "something went wrong here; it may have been done in part", request_id)


def _refusal(failure: Failure, request_id: str) -> Response:
    fields = msgspec.to_builtins(failure.__dict__["_data"])
    name = failure.__failure_name__
    return problem(
        failure.__failure_status__, name, f"refused: {name}", request_id, type=_URN.format(name), failure=fields
    )


def _not_now(error: NotExecuted, request_id: str) -> Response:
    status = 507 if isinstance(error, StoreFull) else 503
    headers: tuple[tuple[bytes, bytes], ...] = ()
    if error.retry_after is not None:
        headers = ((b"retry-after", str(math.ceil(error.retry_after)).encode()),)
    detail = "the time for this request was up before it began" if isinstance(error, DeadlineExpired) else str(error)
    return problem(status, error.code, detail, request_id, headers=headers)

"""What travels implicitly with a call: listed, typed, limited. Nothing else does."""

from __future__ import annotations

from headwater.model.identity import ANONYMOUS, Identity

__all__ = ["Context"]


class Context:
    """One request's surroundings, shared by every call made on its behalf.

    deadline: seconds on the node's monotonic clock, never infinite; calls further in have their own.
    trace_id, span_id: W3C trace context, 32 and 16 hex digits ("" until somebody traces).
    idempotency_key: from the outside, when the contract names no field.
    token: what the session has written, position by module name; grows as writes commit.
    """

    __slots__ = ("deadline", "idempotency_key", "identity", "request_id", "span_id", "token", "trace_id")

    def __init__(
        self,
        *,
        deadline: float,
        identity: Identity = ANONYMOUS,
        request_id: str = "",
        trace_id: str = "",
        span_id: str = "",
        idempotency_key: str | None = None,
        token: dict[str, int] | None = None,
    ) -> None:
        self.deadline = deadline
        self.identity = identity
        self.request_id = request_id
        self.trace_id = trace_id
        self.span_id = span_id
        self.idempotency_key = idempotency_key
        self.token: dict[str, int] = {} if token is None else token

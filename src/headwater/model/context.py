"""What travels implicitly with a call: listed, typed, limited. Nothing else does."""

from __future__ import annotations

from headwater.model.identity import ANONYMOUS, Identity

__all__ = ["Context"]


class Context:
    """One call's surroundings. Handlers see it through `Ctx`; nodes pass it on.

    deadline: seconds on the node's monotonic clock, never infinite.
    trace_id, span_id: W3C trace context, 32 and 16 hex digits ("" until somebody traces).
    idempotency_key: from the outside, when the contract names no field.
    token: what the session has written, position by module name; grows as writes commit.
    depth: calls above this one; bounded, so that a circle of calls ends.
    """

    __slots__ = ("deadline", "depth", "idempotency_key", "identity", "request_id", "span_id", "token", "trace_id")

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
        depth: int = 0,
    ) -> None:
        self.deadline = deadline
        self.identity = identity
        self.request_id = request_id
        self.trace_id = trace_id
        self.span_id = span_id
        self.idempotency_key = idempotency_key
        self.token: dict[str, int] = {} if token is None else token
        self.depth = depth

"""What travels implicitly with a call: listed, typed, limited. Nothing else does."""

from __future__ import annotations

from msgspec import Struct, field

from headwater.model.identity import ANONYMOUS, Identity

__all__ = ["Context"]


class Context(Struct, kw_only=True):
    """One request's surroundings, shared by every call made on its behalf.

    deadline: seconds on the node's monotonic clock, never infinite; calls further in have their own.
    trace_id, span_id: W3C trace context of the caller, 32 and 16 hex digits ("" until somebody traces).
    sampled: whether the caller records the trace; None when nobody has decided.
    idempotency_key: from the outside, when the contract names no field.
    token: what the session has written, position by module name; grows as writes commit.
    """

    deadline: float
    identity: Identity = ANONYMOUS
    request_id: str = ""
    trace_id: str = ""
    span_id: str = ""
    sampled: bool | None = None
    idempotency_key: str | None = None
    token: dict[str, int] = field(default_factory=dict)

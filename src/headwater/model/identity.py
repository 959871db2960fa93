"""Who is asking. One of the few things that travel implicitly with every call."""

from __future__ import annotations

from headwater.model.message import Value

__all__ = ["ANONYMOUS", "SYSTEM", "Identity"]


class Identity(Value):
    """The caller: a subject (None when nobody has signed in), roles, scopes, and a tenant if there are any."""

    subject: str | None = None
    roles: tuple[str, ...] = ()
    tenant: str | None = None
    scopes: tuple[str, ...] = ()


ANONYMOUS = Identity()
SYSTEM = Identity(subject="system")
"""The application itself: subscriptions, durable sends, tools."""

"""The port to whoever moves the money, and a stand-in for trying things out."""

from __future__ import annotations

from typing import Protocol

__all__ = ["DECLINED_CUSTOMER", "Gateway", "ScriptedGateway", "scripted"]

DECLINED_CUSTOMER = "decline-me"


class Gateway(Protocol):
    """Moves money. A call with a key it knows does nothing again and answers as it did before."""

    async def charge(self, *, key: str, customer_id: str | None, cents: int) -> bool:
        """Take the money; False when it is refused for good. Raises when nobody knows."""
        ...

    async def refund(self, *, key: str, cents: int) -> None:
        """Give the money back. Raises when nobody knows."""
        ...


class ScriptedGateway:
    """Has no memory and needs none: the same question always gets the same answer."""

    async def charge(self, *, key: str, customer_id: str | None, cents: int) -> bool:
        """Decline one customer, accept everybody else."""
        return customer_id != DECLINED_CUSTOMER

    async def refund(self, *, key: str, cents: int) -> None:
        """Accept."""


def scripted() -> Gateway:
    """Provide the stand-in. A test or a deployment replaces this provider."""
    return ScriptedGateway()

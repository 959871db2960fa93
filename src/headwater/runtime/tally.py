"""Plain counts beside the work: of calls between modules, and of deliveries. Whoever exports reads them."""

from __future__ import annotations

__all__ = ["DeliveryTally", "Tally"]


class Tally:
    """Calls that a module's handlers made to one contract. errors: those that did not run or may not have."""

    __slots__ = ("count", "errors")

    def __init__(self) -> None:
        self.count = 0
        self.errors = 0


class DeliveryTally:
    """What became of one event type in one subscription, in this process.

    delivered: effects that were committed. failed: attempts that raised. retries: attempts after the first.
    dead: given up.
    """

    __slots__ = ("dead", "delivered", "failed", "retries")

    def __init__(self) -> None:
        self.delivered = 0
        self.failed = 0
        self.retries = 0
        self.dead = 0

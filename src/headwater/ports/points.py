"""Named crash points: where a test, a simulation or an environment variable may strike.

In production `point` is one dictionary look-up. `HEADWATER_CRASH_AT=name:n` kills the process with
SIGKILL at the n-th passing of the point, for tests of real processes.
"""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["POINTS", "CrashPoints"]

POINTS: dict[str, str] = {
    "tx.begun": "a unit holds the write turn, nothing is written",
    "tx.before_commit": "the handler has returned, the shared commit has not begun",
    "tx.after_commit": "the commit is durable, nobody has been told",
    "store.before_group_commit": "several units are done, COMMIT has not run",
    "store.after_group_commit": "COMMIT has run, no waiter has been woken",
    "subscription.received": "a batch was read from the log, nothing is handled",
    "subscription.before_commit": "the effect and the inbox row are written, not committed",
    "subscription.after_commit": "effect and cursor are committed, the next batch is not read",
    "send.before_run": "a durable command is due and has not run",
    "send.after_run": "a durable command has run, its row is still there",
    "projection.before_swap": "a rebuilt read model is complete, not yet in place",
    "edge.before_answer": "the call has its outcome, no byte of the answer is written",
}
"""Every point and where it stands. `hit` refuses names that are not listed."""


class CrashPoints:
    """A node's crash points. `strike` is None in production; a harness puts its own function there.

    `strike(name)` may raise, or never return. It runs synchronously: a crash takes no time.
    """

    __slots__ = ("strike",)

    def __init__(self, strike: Callable[[str], None] | None = None) -> None:
        self.strike = strike

    def hit(self, name: str) -> None:
        """Pass a point."""
        if self.strike is not None:
            if name not in POINTS:
                raise KeyError(f"{name!r} is not a crash point; the list is headwater.ports.points.POINTS")
            self.strike(name)

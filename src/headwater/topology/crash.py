"""`HEADWATER_CRASH_AT=name:n`: kill the own process at the n-th passing of a named point, for tests."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping

from headwater.errors import ConfigurationError
from headwater.ports import POINTS, CrashPoints

__all__ = ["crash_points"]


def crash_points(environment: Mapping[str, str]) -> CrashPoints:
    """Return the points as the environment wants them. Raises ConfigurationError for an unknown name."""
    said = environment.get("HEADWATER_CRASH_AT")
    if not said:
        return CrashPoints()
    name, _, count = said.partition(":")
    if name not in POINTS or not (count or "1").isdecimal() or int(count or "1") < 1:
        raise ConfigurationError(
            f"HEADWATER_CRASH_AT={said!r}: write name:n, n from 1, with one of {', '.join(POINTS)}"
        )
    return CrashPoints(_Strike(name, int(count or "1")))


class _Strike:
    def __init__(self, name: str, passes: int) -> None:
        self._name = name
        self._left = passes

    def __call__(self, name: str) -> None:
        if name == self._name:
            self._left -= 1
            if self._left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

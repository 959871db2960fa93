"""Durations as people write them: "800ms", "30s", "10m", "7d"."""

from __future__ import annotations

import re

__all__ = ["seconds"]

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SHAPE = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")


def seconds(text: str) -> float:
    """Return the seconds in a duration such as "800ms". Raises ValueError naming the rule."""
    given: object = text
    match = _SHAPE.fullmatch(given) if isinstance(given, str) else None
    if match is None:
        raise ValueError(f"{text!r} is not a duration; write a number and ms, s, m, h or d: '800ms'")
    value = float(match[1]) * _UNITS[match[2]]
    if value <= 0:
        raise ValueError(f"{text!r}: a duration is longer than nothing")
    return value

"""How much one caller may ask for: rates as people write them, for routes and whole APIs."""

from __future__ import annotations

import re
from typing import Literal

from headwater.errors import ConfigurationError

__all__ = ["Limit", "Per"]

Per = Literal["principal", "address", "route"]
_RATE = re.compile(r"(\d{1,9})/(s|m|h|d)")
_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


class Limit:
    """`Limit("100/s", burst=200, per="principal")`: at most so many requests, evenly, with some at once.

    rate: a number and s, m, h or d. burst: how many may come at once; by default a second's worth, at
    least one. per: each signed-in caller (an anonymous one counts by address), each address, or all together.
    `period` is the seconds between two requests at the full rate.
    """

    __slots__ = ("burst", "per", "period", "rate")

    def __init__(self, rate: str, *, burst: int | None = None, per: Per = "principal") -> None:
        match = _RATE.fullmatch(rate)
        if match is None or int(match[1]) == 0:
            raise ConfigurationError(f"Limit({rate!r}): a rate is a number and a unit: '100/s', '5/m', '1000/h'")
        if per not in ("principal", "address", "route"):
            raise ConfigurationError(f"Limit({rate!r}, per={per!r}): use 'principal', 'address' or 'route'")
        self.rate = rate
        self.period = _UNITS[match[2]] / int(match[1])
        self.burst = max(1, round(1 / self.period)) if burst is None else burst
        self.per: Per = per
        if self.burst < 1:
            raise ConfigurationError(f"Limit({rate!r}, burst={burst}): at least one request fits")

    def __repr__(self) -> str:
        return f"Limit({self.rate!r}, burst={self.burst}, per={self.per!r})"

"""Numbers and times as people read them."""

from __future__ import annotations

__all__ = ["ago", "duration", "per_second", "percent", "size", "whole"]


def whole(number: float) -> str:
    """Return a count, its thousands apart."""
    return f"{number:,.0f}"


def per_second(rate: float) -> str:
    """Return a rate, as exact as it is useful."""
    if rate == 0:
        return "0/s"
    if rate < 0.1:
        return f"{rate * 60:.1f}/min"
    return f"{rate:.1f}/s" if rate < 10 else f"{rate:,.0f}/s"


def percent(share: float) -> str:
    """Return a share; what is not nothing is never shown as 0 %."""
    value = share * 100
    if value == 0:
        return "0 %"
    if value < 0.1:
        return "<0.1 %"
    return f"{value:.1f} %" if value < 10 else f"{value:.0f} %"


def duration(seconds: float | None) -> str:
    """Return a time span with its unit."""
    if seconds is None:
        return "\N{EN DASH}"
    for limit, factor, unit in ((1e-3, 1e6, "µs"), (1.0, 1e3, "ms"), (120.0, 1.0, "s")):
        if seconds < limit:
            value = seconds * factor
            return f"{value:.2g} {unit}" if value < 10 else f"{value:.0f} {unit}"
    minutes, hours = seconds / 60, seconds / 3600
    if minutes < 120:
        return f"{minutes:.0f} min"
    return f"{hours:.0f} h" if hours < 48 else f"{hours / 24:.0f} days"


def ago(seconds: float) -> str:
    """Return how long ago something was."""
    return "just now" if seconds < 1 else f"{duration(float(int(seconds)))} ago"


def size(number: float) -> str:
    """Return bytes."""
    value = float(number)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024 or unit == "GiB":
            break
        value /= 1024
    return f"{value:.0f} {unit}" if value >= 10 or unit == "B" else f"{value:.1f} {unit}"

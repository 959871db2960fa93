"""W3C trace context: `00-<trace id>-<span id>-<flags>`."""

from __future__ import annotations

import re

__all__ = ["parsed"]

_FORM = re.compile(r"00-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})")


def parsed(text: str) -> tuple[str, str, bool | None]:
    """Return trace id, span id and whether it is recorded; empty and None for what is no trace context."""
    found = _FORM.fullmatch(text)
    if found is None:
        return "", "", None
    return found[1], found[2], bool(int(found[3], 16) & 1)

"""W3C trace context: `00-<trace id>-<span id>-<flags>`; later versions may have more behind it."""

from __future__ import annotations

import re

__all__ = ["parsed"]

_FORM = re.compile(r"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")


def parsed(text: str) -> tuple[str, str, bool | None]:
    """Return trace id, span id and whether it is recorded; empty and None for what is no trace context."""
    found = _FORM.fullmatch(text)
    if found is None or (found[1] == "00" and found[5] is not None):
        return "", "", None
    return found[2], found[3], bool(int(found[4], 16) & 1)

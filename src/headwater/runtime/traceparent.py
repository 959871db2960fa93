"""W3C trace context: `00-<trace id>-<span id>-<flags>`; later versions may have more behind it."""

from __future__ import annotations

import re

__all__ = ["parsed"]

_USUAL = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-(0[01])")
_LATER = re.compile(r"(?!ff|00)[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(?:-.*)?")
_FLAGS = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")
_NO_TRACE, _NO_SPAN = "0" * 32, "0" * 16


def parsed(text: str) -> tuple[str, str, bool | None]:
    """Return trace id, span id and whether it is recorded; empty and None for what is no trace context."""
    found = _USUAL.fullmatch(text) or _FLAGS.fullmatch(text) or _LATER.fullmatch(text)
    if found is None:
        return "", "", None
    trace, span, flags = found.groups()
    if trace == _NO_TRACE or span == _NO_SPAN:
        return "", "", None
    return trace, span, flags == "01" or (flags != "00" and bool(int(flags, 16) & 1))

"""Where to read on about what a command has printed."""

from __future__ import annotations

__all__ = ["read_on"]


def read_on(*codes: str) -> str:
    """Return the line that ends an error message: the code, and what tells more about it."""
    return "\n".join(f"  read on: headwater help {code}, or docs/errors/{code}.md" for code in codes)

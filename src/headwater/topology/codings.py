"""Content codings for answers: those whose libraries are installed."""

from __future__ import annotations

from collections.abc import Callable

from headwater.adapters.zstd import Zstd
from headwater.errors import MissingExtra

__all__ = ["packers"]


def packers() -> dict[bytes, Callable[[bytes], bytes]]:
    """Return codings besides gzip, which is always there."""
    try:
        return {b"zstd": Zstd().compress}
    except MissingExtra:
        return {}

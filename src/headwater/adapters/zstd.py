"""Zstandard for answers (RFC 8878), with the library `zstandard`."""

from __future__ import annotations

from headwater.errors import MissingExtra

__all__ = ["Zstd"]

LEVEL = 3


class Zstd:
    """Compresses whole answers. Raises MissingExtra when the library is not there."""

    def __init__(self) -> None:
        try:
            import zstandard
        except ImportError:
            raise MissingExtra("compressing answers with zstd", "zstd") from None
        self._compressor = zstandard.ZstdCompressor(level=LEVEL)

    def compress(self, data: bytes) -> bytes:
        """Return the data, compressed."""
        return self._compressor.compress(data)

"""Certificates for the listening side, read again when their files change."""

from __future__ import annotations

import logging
import ssl
from pathlib import Path

from headwater.errors import ConfigurationError

__all__ = ["Certificates"]

log = logging.getLogger("headwater.edge")


class Certificates:
    """A TLS context over a certificate chain and its key, in PEM files.

    TLS 1.2 and newer. New connections use new files within a second of both having been written; a pair that does
    not fit together, or cannot be read, is told in the log and the one in use stays. Raises ConfigurationError when
    the first pair cannot be used.
    """

    def __init__(self, chain: Path, key: Path) -> None:
        self._chain = chain
        self._key = key
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.minimum_version = ssl.TLSVersion.TLSv1_2
        self.context.set_alpn_protocols(["http/1.1"])
        self._seen = self._stamp()
        try:
            self._load()
        except (OSError, ssl.SSLError) as error:
            raise ConfigurationError(
                f"the certificate {chain} with the key {key} cannot be used: {error.strerror or error}"
            ) from None

    def look(self) -> None:
        """Load the files again if they have changed."""
        stamp = self._stamp()
        if stamp == self._seen:
            return
        self._seen = stamp
        try:
            self._load()
        except (OSError, ssl.SSLError) as error:
            log.error("the new certificate in %s is not used: %s", self._chain, error)  # noqa: TRY400 - no trace helps
        else:
            log.info("the certificate in %s has been loaded", self._chain)

    def _load(self) -> None:
        # tried on a context of its own first: a pair that does not fit must not damage the one in use
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(self._chain, self._key)
        self.context.load_cert_chain(self._chain, self._key)

    def _stamp(self) -> tuple[tuple[int, int, int], ...]:
        found: list[tuple[int, int, int]] = []
        for path in (self._chain, self._key):
            try:
                stat = path.stat()
            except OSError:
                found.append((0, 0, 0))
            else:
                found.append((stat.st_ino, stat.st_mtime_ns, stat.st_size))
        return tuple(found)

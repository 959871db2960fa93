"""Writing an answer in pieces."""

from __future__ import annotations

import asyncio
import logging
from typing import Protocol

from headwater.edge.http import Response

__all__ = ["send"]

log = logging.getLogger("headwater.edge")


class Reader(Protocol):
    """The client, as far as its pace goes."""

    async def writable(self) -> None:
        """Return when more may be written."""
        ...


async def send(
    response: Response, transport: asyncio.WriteTransport, reader: Reader, *, chunked: bool, skip: bool
) -> bool:
    """Write the pieces of a body, framed; return whether all of it was written. skip: the answer to a HEAD.

    The source is always closed. Cancelled when the client goes away.
    """
    source = response.stream
    assert source is not None
    left = response.length
    try:
        if not skip:
            async for piece in source:
                if not piece:
                    continue
                if left is not None:
                    left -= len(piece)
                    if left < 0:
                        log.error("a streamed answer is longer than it said")
                        return False
                transport.write(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
                await reader.writable()
            if chunked:
                transport.write(b"0\r\n\r\n")
    except Exception:
        log.exception("a streamed answer broke off")
        return False
    finally:
        close = getattr(source, "aclose", None)
        if close is not None:
            await close()
    return skip or not left

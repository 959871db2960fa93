"""A stored file, as messages know it: what it is called in the file store, and what it is."""

from __future__ import annotations

from headwater.model.message import Value

__all__ = ["Blob"]


class Blob(Value):
    """A file in the file store. The bytes are never part of a message.

    id: its name in the store. size: bytes. sha256: of the content, as hex digits. media_type: what its sender
    said it is. As the result of a query behind a route it is the answer's body.
    """

    id: str
    size: int
    sha256: str
    media_type: str

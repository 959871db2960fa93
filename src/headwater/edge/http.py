"""A request and a response, as the compiled routes see them: no socket, no framework, no magic."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["Request", "Response"]


class Request:
    """One request, its head complete and its body read.

    target: as it stood in the request line. headers: names in lower case, in order. peer: address of
    the other end of the connection, "" when unknown.
    """

    __slots__ = ("_index", "body", "headers", "method", "params", "path", "peer", "query")

    def __init__(
        self, method: str, path: bytes, query: bytes, headers: Sequence[tuple[bytes, bytes]], body: bytes,
        peer: str = "",
    ) -> None:
        self.method = method
        self.path = path
        self.query = query
        self.headers = headers
        self.body = body
        self.peer = peer
        self.params: tuple[str, ...] = ()
        self._index: dict[bytes, bytes] | None = None

    def header(self, name: bytes) -> bytes | None:
        """Return a header's value; several of one name are joined with commas."""
        if self._index is None:
            index: dict[bytes, bytes] = {}
            for key, value in self.headers:
                index[key] = value if key not in index else index[key] + b", " + value
            self._index = index
        return self._index.get(name)


class Response:
    """One answer. `headers` come besides those that every answer has."""

    __slots__ = ("body", "headers", "status")

    def __init__(
        self, status: int, body: bytes = b"", headers: tuple[tuple[bytes, bytes], ...] = ()
    ) -> None:
        self.status = status
        self.body = body
        self.headers = headers

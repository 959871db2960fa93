"""A request and a response, as the compiled routes see them: no socket, no framework, no magic."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Iterable, Mapping
from http import HTTPStatus

from msgspec import Struct

from headwater.edge.security import api_headers
from headwater.model.identity import ANONYMOUS, Identity

__all__ = ["PAGE", "REASONS", "STANDARD", "Request", "Response", "fold", "lines"]

REASONS = dict.fromkeys(range(100, 600), "Refused") | {status.value: status.phrase for status in HTTPStatus}
"""What each status is called. Failures may have one that no RFC knows."""

STANDARD = b"cache-control: no-store\r\n" + api_headers()
"""What every answer says unless its route knows better: keep nothing, guess nothing, run nothing."""
PAGE = b"cache-control: no-store\r\nx-content-type-options: nosniff\r\n"
"""What a page of our own says instead; its policy is its own."""


class Request(Struct):
    """One request, its head complete.

    path, query: as they stood in the request line. headers: names in lower case; several of one name are
    joined. body: what was sent, once it is complete; `stream` in its place where the route asked for pieces.
    peer: address of the client, "" when unknown; behind a configured proxy, the one that it names.
    secure: whether the client came by TLS, here or at a configured proxy. id, identity: known once it was admitted;
    plain: no header that matters to routes is there, save those about the body and who asks. more: headers that its
    answer will carry besides. packed: the answer is wanted as MessagePack. begun: when it was admitted, in monotonic
    seconds, where somebody asks.
    """

    method: str
    path: bytes
    query: bytes
    headers: Mapping[bytes, bytes]
    body: bytes = b""
    peer: str = ""
    secure: bool = False
    params: tuple[str, ...] = ()
    stream: AsyncIterator[bytes] | None = None
    plain: bool = False
    id: str = ""
    identity: Identity = ANONYMOUS
    more: tuple[tuple[bytes, bytes], ...] = ()
    packed: bool = False
    begun: float = 0.0

    def header(self, name: bytes) -> bytes | None:
        """Return a header's value; several of one name are joined with commas."""
        return self.headers.get(name)


class Response(Struct):
    """One answer.

    headers: besides the `fixed` ones, which stand as on the wire, each ended by CR LF. stream: pieces of a body
    in place of `body`; `length` is how many bytes they make together, None when nobody knows.
    id: of the request. usual: a plain 200 without `headers` and `stream`, and with an `id`.
    """

    status: int
    body: bytes = b""
    headers: tuple[tuple[bytes, bytes], ...] = ()
    fixed: bytes = STANDARD
    stream: AsyncIterator[bytes] | None = None
    length: int | None = None
    id: str = ""
    usual: bool = False

    def pairs(self) -> list[tuple[bytes, bytes]]:
        """Return all its own headers as pairs."""
        mine = [(b"x-request-id", self.id.encode())] if self.id else []
        return [*lines(self.fixed), *self.headers, *mine]


@functools.lru_cache(maxsize=4096)
def lines(fixed: bytes) -> tuple[tuple[bytes, bytes], ...]:
    """Return header lines as pairs. Each route has one block of them."""
    parts = [line.partition(b": ") for line in fixed.split(b"\r\n") if line]
    return tuple((name, value) for name, _, value in parts)


def fold(pairs: Iterable[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """Return headers by lower-case name, several of one name joined as RFC 9110, 5.3 and RFC 6265 say."""
    found: dict[bytes, bytes] = {}
    for key, value in pairs:
        name = key.lower()
        before = found.get(name)
        found[name] = value if before is None else before + (b"; " if name == b"cookie" else b", ") + value
    return found

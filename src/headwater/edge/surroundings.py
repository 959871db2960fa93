"""What comes with a request besides its message: ids, budget, key, the session's token."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping

import msgspec

from headwater.edge.http import Request
from headwater.edge.problems import Rejected
from headwater.model.context import Context
from headwater.model.contract import Contract
from headwater.model.identity import Identity
from headwater.runtime.node import Node

__all__ = ["Surroundings", "token_header"]

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
_TRACE = re.compile(rb"00-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}")
_SECONDS = re.compile(rb"\d{1,6}(?:\.\d{1,6})?")
_KEY = re.compile(rb"[\x21-\x7e]{1,255}")
TOKEN_BYTES_MOST = 2_048
_token = msgspec.json.Decoder(dict[str, int])


class Surroundings:
    """Reads them for one contract."""

    __slots__ = ("_idempotent", "_ids", "_node", "_query", "_within")

    def __init__(self, contract: Contract, node: Node) -> None:
        self._node = node
        self._ids = node.parts.ids
        self._within = contract.within
        self._query = contract.kind == "query"
        self._idempotent = contract.idempotent is not None

    def request_id(self, request: Request) -> str:
        """Return the caller's id for the request if it is a decent one, else a new one."""
        given = request.header(b"x-request-id")
        return given.decode() if given is not None and _REQUEST_ID.fullmatch(given) else self._ids.new()

    def context(self, request: Request, request_id: str, identity: Identity) -> Context:
        """Return the call's context. Raises Rejected for a header that is not what it should be."""
        trace = request.header(b"traceparent")
        found = None if trace is None else _TRACE.fullmatch(trace)
        return self._node.context(
            within=self._budget(request), identity=identity, request_id=request_id,
            trace_id=found[1].decode() if found else "", span_id=found[2].decode() if found else "",
            idempotency_key=self._key(request), token=_session(request),
        )

    def _budget(self, request: Request) -> float:
        given = request.header(b"request-timeout")
        if given is None:
            return self._within
        if not _SECONDS.fullmatch(given) or float(given) <= 0:
            raise Rejected(400, "bad-timeout", "Request-Timeout is a number of seconds, such as 0.8")
        return min(float(given), self._within)

    def _key(self, request: Request) -> str | None:
        given = request.header(b"idempotency-key")
        if given is None or self._query:
            return None
        if not _KEY.fullmatch(given):
            raise Rejected(400, "bad-idempotency-key", "Idempotency-Key is 1 to 255 printable characters")
        return given.decode()


def token_header(token: Mapping[str, int]) -> tuple[bytes, bytes]:
    """Return the header that lets a session see its own writes."""
    return b"session-token", base64.urlsafe_b64encode(msgspec.json.encode(token)).rstrip(b"=")


def _session(request: Request) -> dict[str, int]:
    given = request.header(b"session-token")
    if given is None:
        return {}
    try:
        if len(given) > TOKEN_BYTES_MOST:
            raise ValueError
        token = _token.decode(base64.urlsafe_b64decode(given + b"=" * (-len(given) % 4)))
        if any(not 0 <= position < 2**63 for position in token.values()):
            raise ValueError
    except (ValueError, binascii.Error, msgspec.MsgspecError):
        raise Rejected(400, "bad-session-token", "Session-Token is not one that this application gave out") from None
    return token

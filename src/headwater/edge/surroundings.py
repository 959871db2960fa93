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
from headwater.ports import Ids
from headwater.runtime.node import Node
from headwater.runtime.traceparent import parsed

__all__ = ["RequestIds", "Surroundings", "token_header"]

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
_SECONDS = re.compile(rb"\d{1,6}(?:\.\d{1,6})?")
_KEY = re.compile(rb"[\x21-\x7e]{1,255}")
TOKEN_BYTES_MOST = 2_048
_token = msgspec.json.Decoder(dict[str, int])


class RequestIds:
    """Ids for requests: what the client sent if it is decent, else a part that is new for each process and a number."""

    __slots__ = ("_last", "_prefix")

    def __init__(self, ids: Ids) -> None:
        self._prefix = ids.new().replace("-", "")[-16:] + "-"
        self._last = 0

    def of(self, request: Request) -> str:
        """Return the request's id."""
        given = request.headers.get(b"x-request-id")
        return given.decode() if given is not None and _REQUEST_ID.fullmatch(given) else self.new()

    def new(self) -> str:
        """Return a new one."""
        self._last += 1
        return self._prefix + str(self._last)


class Surroundings:
    """Reads them for one contract."""

    __slots__ = ("_monotonic", "_query", "_within")

    def __init__(self, contract: Contract, node: Node) -> None:
        self._monotonic = node.parts.clock.monotonic
        self._within = contract.within
        self._query = contract.kind == "query"

    def context(self, request: Request) -> Context:
        """Return the call's context. Raises Rejected for a header that is not what it should be."""
        if request.plain:
            return Context(
                deadline=self._monotonic() + self._within, identity=request.identity, request_id=request.id
            )
        header = request.headers.get
        budget = header(b"request-timeout")
        within = self._within if budget is None else self._budget(budget)
        context = Context(
            deadline=self._monotonic() + within, identity=request.identity, request_id=request.id,
        )
        trace = header(b"traceparent")
        if trace is not None:
            context.trace_id, context.span_id, context.sampled = parsed(trace.decode("latin-1"))
        session = header(b"session-token")
        if session is not None:
            context.token = _session(session)
        key = header(b"idempotency-key")
        if key is not None and not self._query:
            if not _KEY.fullmatch(key):
                raise Rejected(400, "bad-idempotency-key", "Idempotency-Key is 1 to 255 printable characters")
            context.idempotency_key = key.decode()
        return context

    def _budget(self, given: bytes) -> float:
        if not _SECONDS.fullmatch(given) or float(given) <= 0:
            raise Rejected(400, "bad-timeout", "Request-Timeout is a number of seconds, such as 0.8")
        return min(float(given), self._within)


def token_header(token: Mapping[str, int]) -> tuple[bytes, bytes]:
    """Return the header that lets a session see its own writes."""
    return b"session-token", base64.urlsafe_b64encode(msgspec.json.encode(token)).rstrip(b"=")


def _session(given: bytes) -> dict[str, int]:
    try:
        if len(given) > TOKEN_BYTES_MOST:
            raise ValueError
        token = _token.decode(base64.urlsafe_b64decode(given + b"=" * (-len(given) % 4)))
        if any(not 0 <= position < 2**63 for position in token.values()):
            raise ValueError
    except (ValueError, binascii.Error, msgspec.MsgspecError):
        raise Rejected(400, "bad-session-token", "Session-Token is not one that this application gave out") from None
    return token

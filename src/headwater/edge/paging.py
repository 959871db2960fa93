"""Where the next page of a result lies, told as a link (RFC 8288), for clients that know nothing of the body."""

from __future__ import annotations

from typing import Any, get_args, get_origin
from urllib.parse import quote

import msgspec

from headwater.edge.http import Request
from headwater.model.contract import Contract
from headwater.model.page import Page

__all__ = ["NextLink"]

_SAFE = "/?&=%!$'()*+,;:@-._~"


class NextLink:
    """Tells the next page of one query, whose field of type `Cursor` is `name`."""

    __slots__ = ("_prefix", "name")

    def __init__(self, name: str) -> None:
        self.name = name
        self._prefix = f"{name}=".encode()

    @classmethod
    def of(cls, contract: Contract) -> NextLink | None:
        """Return the link of a contract whose result is a page, None for any other."""
        if (get_origin(contract.result) or contract.result) is not Page:
            return None
        fields = msgspec.structs.fields(contract.message)
        return next((cls(field.encode_name) for field in fields if _is_cursor(field.type)), None)

    def headers(self, result: Any, request: Request) -> tuple[tuple[bytes, bytes], ...]:
        """Return the header, none for the last page."""
        cursor: str | None = result.next
        if cursor is None:
            return ()
        kept = [part for part in request.query.split(b"&") if part and not part.startswith(self._prefix)]
        query = b"&".join([*kept, self._prefix + cursor.encode()])
        target = quote(request.path + b"?" + query, safe=_SAFE)
        return ((b"link", f'<{target}>; rel="next"'.encode()),)


def _is_cursor(hint: Any) -> bool:
    marks = getattr(hint, "__metadata__", ())
    if any(isinstance(mark, msgspec.Meta) and (mark.extra or {}).get("cursor") for mark in marks):
        return True
    return any(_is_cursor(inner) for inner in get_args(hint))

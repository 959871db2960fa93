"""What a route says to browsers and caches: who may keep an answer, and which pages may ask."""

from __future__ import annotations

import re

from headwater.errors import ConfigurationError
from headwater.model.duration import seconds

__all__ = ["Cors", "HttpCache", "Private", "Shared"]

_ORIGIN = re.compile(r"https?://[a-z0-9.-]+(:\d{1,5})?")


class HttpCache:
    """How long an answer may be kept, and by whom. `control` is the Cache-Control header."""

    __slots__ = ("control", "shared")

    def __init__(self, control: str, *, shared: bool) -> None:
        self.control = control
        self.shared = shared

    def __repr__(self) -> str:
        return f"HttpCache({self.control!r})"


def Private(age: str = "0s") -> HttpCache:  # noqa: N802 - reads as what it is: http_cache=Private("30s")
    """The caller's own cache may keep the answer so long; "0s": keep it, but ask each time whether it is new."""
    return HttpCache("private, no-cache" if age == "0s" else f"private, max-age={_whole(age)}", shared=False)


def Shared(age: str, *, stale: str | None = None) -> HttpCache:  # noqa: N802
    """Any cache may keep the answer so long, and while it asks for a new one `stale` longer. Public routes only."""
    more = "" if stale is None else f", stale-while-revalidate={_whole(stale)}"
    return HttpCache(f"public, max-age={_whole(age)}{more}", shared=True)


class Cors:
    """Which pages of other origins may use an API from a browser. Nobody may unless declared.

    origins: exact, such as "https://shop.example"; there is no wildcard and nothing is reflected
    unless it is listed. credentials: whether cookies and Authorization come along. headers: request headers
    besides the usual ones. max_age: how long a browser may remember the permission.
    """

    __slots__ = ("credentials", "headers", "max_age", "origins")

    def __init__(
        self, *origins: str, credentials: bool = False, headers: tuple[str, ...] = (), max_age: str = "10m"
    ) -> None:
        for origin in origins:
            if not _ORIGIN.fullmatch(origin):
                raise ConfigurationError(
                    f"Cors({origin!r}): an origin is scheme://host or scheme://host:port in lower case, no path, no *"
                )
        if not origins:
            raise ConfigurationError("Cors() names the origins that may ask: Cors('https://shop.example')")
        self.origins = origins
        self.credentials = credentials
        self.headers = tuple(h.lower() for h in headers)
        self.max_age = _whole(max_age)


def _whole(text: str) -> int:
    try:
        return round(seconds(text))
    except ValueError as error:
        raise ConfigurationError(str(error)) from None

"""The end of an API version: told in time (RFC 9745, RFC 8594), and then kept."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime

from headwater.edge.http import Request
from headwater.edge.problems import Rejected
from headwater.model.api import Route

__all__ = ["Lifecycle"]

Headers = tuple[tuple[bytes, bytes], ...]


class Lifecycle:
    """A gate for a route of a version that is on its way out. Days begin in UTC. `wall` gives seconds since 1970."""

    __slots__ = ("_deprecated", "_headers", "_sunset", "_wall")

    def __init__(self, route: Route, wall: Callable[[], float]) -> None:
        assert route.deprecated is not None
        self._wall = wall
        self._deprecated = _begin(route.deprecated)
        self._sunset = None if route.sunset is None else _begin(route.sunset)
        headers: list[tuple[bytes, bytes]] = [(b"deprecation", b"@%d" % self._deprecated)]
        if route.sunset is not None:
            told = datetime(route.sunset.year, route.sunset.month, route.sunset.day, tzinfo=UTC)
            headers.append((b"sunset", _http_date(told)))
        if route.successor is not None:
            headers.append((b"link", f'</{route.successor}>; rel="successor-version"'.encode()))
        self._headers = tuple(headers)

    def __call__(self, request: Request) -> Headers:
        """Return the headers that tell of the end. Raises Rejected (410) after it."""
        now = self._wall()
        if self._sunset is not None and now >= self._sunset:
            raise Rejected(410, "version-ended", "this version of the API has ended; use its successor", self._headers)
        return self._headers if now >= self._deprecated else ()


def _begin(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())


def _http_date(moment: datetime) -> bytes:
    day = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")[moment.weekday()]
    month = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")[moment.month - 1]
    return f"{day}, {moment.day:02d} {month} {moment.year:04d} 00:00:00 GMT".encode()

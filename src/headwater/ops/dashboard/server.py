"""What the dashboard answers: its page, one trace, its files, and the two things that can be done."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable, Mapping, Sequence
from importlib.resources import files
from typing import Protocol
from urllib.parse import parse_qsl

from headwater.edge.http import PAGE, Request, Response
from headwater.errors import HeadwaterError, Overloaded
from headwater.ops.dashboard.dead import ACT_PATH
from headwater.ops.dashboard.page import failed_page, main_page, trace_page
from headwater.ops.dashboard.recent import Recent
from headwater.ops.dashboard.seen import Seen
from headwater.ops.dashboard.tables import Order
from headwater.ports import Executor

__all__ = ["POLICY", "Dashboard", "Source"]

POLICY = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; "
    b"base-uri 'none'; frame-ancestors 'none'"
)
_SAFE = (
    (b"content-security-policy", POLICY), (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"), (b"cross-origin-resource-policy", b"same-origin"),
)
# no-referrer would also make browsers send the origin of our own forms as "null"
_HTML = (b"content-type", b"text/html; charset=utf-8")
_ASSETS = {"dashboard.css": b"text/css; charset=utf-8", "dashboard.js": b"text/javascript; charset=utf-8",
           "dashboard.svg": b"image/svg+xml"}
FORM = b"application/x-www-form-urlencoded"
FORM_BYTES_MOST = 4_096

Answer = Callable[[Request], Awaitable[Response]]


class Source(Protocol):
    """Where the dashboard looks, and what it asks to be done."""

    async def see(self) -> Seen:
        """Return what there is to see now."""
        ...

    async def replay(self, module: str, dead_id: str) -> None:
        """Put a dead letter back in line. Raises HeadwaterError where there is none."""
        ...

    async def discard(self, module: str, dead_id: str) -> None:
        """Delete a dead letter. Raises HeadwaterError where there is none."""
        ...


class Dashboard:
    """The dashboard over one source. `pages` says which function answers at which path.

    Whoever serves it decides who may come; what is changed here is changed by forms of its own pages only. Those carry
    the token, which nobody can guess and which is new for each process. executor: where pages are written.
    elsewhere: other pages that it leads to, by what they are called.
    """

    def __init__(
        self, source: Source, *, executor: Executor, token: str, elsewhere: Sequence[tuple[str, str]] = ()
    ) -> None:
        self._source = source
        self._executor = executor
        self._recent = Recent()
        self._token = token
        self._elsewhere = tuple(elsewhere)
        self.pages: Mapping[str, Answer] = {
            "/dashboard": self._page, "/dashboard/trace": self._trace, ACT_PATH: self._act,
            **{f"/{name}": _asset(name, kind) for name, kind in _ASSETS.items()},
        }

    async def respond(self, request: Request) -> Response:
        """Answer a request to any of the pages; 404 elsewhere."""
        found = self.pages.get(request.path.decode("ascii", "replace"))
        return _failed(404, "Not found", "There is nothing here.") if found is None else await found(request)

    async def _page(self, request: Request) -> Response:
        if request.method not in ("GET", "HEAD"):
            return _no_method(b"GET, HEAD")
        now = self._recent.take(await self._source.see())
        order = Order.of(_fields(request.query).get("sort", ""))
        return await self._written(lambda: main_page(now, order, self._token, self._elsewhere))

    async def _trace(self, request: Request) -> Response:
        if request.method not in ("GET", "HEAD"):
            return _no_method(b"GET, HEAD")
        wanted = _fields(request.query).get("id", "")
        seen = await self._source.see()
        trace = next((t for t in seen.traces if t.trace_id == wanted), None)
        if trace is None:
            return _failed(404, "No such trace", "It was not kept, or newer ones have taken its place.")
        return await self._written(lambda: trace_page(trace, seen.at))

    async def _written(self, write: Callable[[], str]) -> Response:
        try:
            return _html(200, await self._executor.run(write))
        except Overloaded as error:
            return _failed(503, "Too busy", str(error))

    async def _act(self, request: Request) -> Response:
        if request.method != "POST":
            return _no_method(b"POST")
        if not _from_here(request):
            return _failed(403, "Not from here", "Only forms of the dashboard's own pages may change something.")
        kind = (request.header(b"content-type") or b"").partition(b";")[0].strip().lower()
        if kind != FORM or len(request.body) > FORM_BYTES_MOST:
            return _failed(415, "Not a form", "This takes the forms of the dashboard.")
        said = _fields(request.body)
        if not hmac.compare_digest(said.get("token", "").encode(), self._token.encode()):
            return _failed(403, "The page is too old", "The application was started anew since. Go back and reload.")
        act = {"replay": self._source.replay, "discard": self._source.discard}.get(said.get("action", ""))
        if act is None:
            return _failed(422, "Not understood", "The action is replay or discard.")
        try:
            await act(said.get("module", ""), said.get("id", ""))
        except HeadwaterError as error:
            return _failed(409, "It was not done", str(error))
        return Response(303, b"", ((b"location", b"/dashboard#dead"), *_SAFE), PAGE)


def _from_here(request: Request) -> bool:
    """Tell whether a browser says that a page of this very origin sends this, as far as it says anything."""
    site = request.header(b"sec-fetch-site")
    if site is not None and site != b"same-origin":
        return False
    origin = request.header(b"origin")
    return origin is None or origin.partition(b"://")[2] == request.header(b"host")


def _fields(text: bytes) -> dict[str, str]:
    try:
        return dict(parse_qsl(text.decode("ascii"), max_num_fields=16, keep_blank_values=True))
    except ValueError:
        return {}


def _asset(name: str, kind: bytes) -> Answer:
    body = files("headwater.ops.dashboard").joinpath("assets", name).read_bytes()

    async def answer(request: Request) -> Response:
        if request.method not in ("GET", "HEAD"):
            return _no_method(b"GET, HEAD")
        return Response(200, body, ((b"content-type", kind), *_SAFE), PAGE)

    return answer


def _html(status: int, text: str) -> Response:
    return Response(status, text.encode(), (_HTML, *_SAFE), PAGE)


def _failed(status: int, title: str, text: str) -> Response:
    return _html(status, failed_page(title, text))


def _no_method(allowed: bytes) -> Response:
    return Response(405, b"", ((b"allow", allowed), *_SAFE), PAGE)

"""What answers at the paths of an API's pages, for the admin listener and for developing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from importlib.resources import files
from urllib.parse import urlsplit

from headwater.edge.http import PAGE, Request, Response
from headwater.edge.openapi.document import OpenApi
from headwater.errors import ConfigurationError
from headwater.model.app import App
from headwater.ops.api_pages.page import page

__all__ = ["Answer", "api_pages"]

Answer = Callable[[Request], Awaitable[Response]]
_ASSETS = {"docs.css": b"text/css; charset=utf-8", "docs.js": b"text/javascript; charset=utf-8"}


def api_pages(app: App, *, base: str = "", api_keys: bool = False) -> dict[str, Answer]:
    """Return what answers at /api/NAME and /api/NAME/openapi.json for each API, and at the paths of their files.

    base: where the API is served, such as "https://shop.example", when that is not where the pages are.
    api_keys: as for `OpenApi`. Everything is written here, once. Raises ConfigurationError for a base that is no
    address.
    """
    origin = _origin(base)
    documents = OpenApi(app, server=base or "/", api_keys=api_keys)
    safe = (
        (b"content-security-policy", _policy(origin)), (b"referrer-policy", b"no-referrer"),
        (b"cross-origin-opener-policy", b"same-origin"), (b"cross-origin-resource-policy", b"same-origin"),
    )
    pages: dict[str, Answer] = {}
    for name in documents.names:
        shown = page(documents.tree(name), name=name, base=base).encode()
        pages[f"/api/{name}"] = _fixed(shown, b"text/html; charset=utf-8", safe)
        pages[f"/api/{name}/openapi.json"] = _fixed(documents.document(name), b"application/json", safe)
    for name, kind in _ASSETS.items():
        body = files("headwater.ops.api_pages").joinpath("assets", name).read_bytes()
        pages[f"/api/{name}"] = _fixed(body, kind, safe)
    return pages


def _origin(base: str) -> str:
    if not base:
        return ""
    parts = urlsplit(base)
    if parts.scheme not in ("http", "https") or not parts.netloc or any(mark in base for mark in " ;,'\"<>"):
        raise ConfigurationError(f"api_pages(base={base!r}): an address is scheme://host or scheme://host:port")
    return f"{parts.scheme}://{parts.netloc}"


def _policy(origin: str) -> bytes:
    """Return the policy of the pages: nothing inline, nothing from elsewhere, and only the API is asked."""
    asked = f"'self' {origin}".strip()
    return (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; "
        f"connect-src {asked}; form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
    ).encode()


def _fixed(body: bytes, kind: bytes, safe: tuple[tuple[bytes, bytes], ...]) -> Answer:
    async def answer(request: Request) -> Response:
        if request.method not in ("GET", "HEAD"):
            return Response(405, b"", ((b"allow", b"GET, HEAD"), *safe), PAGE)
        return Response(200, body, ((b"content-type", kind), *safe), PAGE)

    return answer

"""Files for browsers, read into memory at start: a request is a look-up, and no path ever reaches the file system."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import quote

from headwater.edge.auth import Guard, Verifier, guard
from headwater.edge.http import Request, Response
from headwater.edge.problems import problem_of
from headwater.errors import ConfigurationError
from headwater.model.api import Auth
from headwater.model.pages import Pages

__all__ = ["POLICY", "Page", "StaticPages"]

FILE_BYTES_MOST = 2 * 1024 * 1024
ALL_BYTES_MOST = 16 * 1024 * 1024
POLICY = b"default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'"
"""Nothing inline, nothing from elsewhere, in nobody's frame."""

_TYPES = {
    ".avif": "image/avif", ".css": "text/css; charset=utf-8", ".gif": "image/gif", ".html": "text/html; charset=utf-8",
    ".ico": "image/x-icon", ".jpeg": "image/jpeg", ".jpg": "image/jpeg", ".js": "text/javascript; charset=utf-8",
    ".json": "application/json", ".map": "application/json", ".mjs": "text/javascript; charset=utf-8",
    ".pdf": "application/pdf", ".png": "image/png", ".svg": "image/svg+xml", ".txt": "text/plain; charset=utf-8",
    ".wasm": "application/wasm", ".webmanifest": "application/manifest+json", ".webp": "image/webp",
    ".woff2": "font/woff2", ".xml": "application/xml",
}


class Page:
    """One file, as a route. Everything that can be said before a request comes is in `_whole` and `_same` already."""

    streams = False
    body_most: int | None = 0

    def __init__(self, body: bytes, kind: str, guarded: Guard, *, shared: bool) -> None:
        self.size = len(body)
        self.tag = b'"%b"' % hashlib.sha256(body).hexdigest()[:32].encode()
        kept = b"no-cache" if shared else b"private, no-cache"
        fixed = (
            b"cache-control: %b\r\netag: %b\r\ncontent-security-policy: %b\r\nreferrer-policy: same-origin\r\n"
            b"cross-origin-opener-policy: same-origin\r\ncross-origin-resource-policy: same-origin\r\n"
            b"x-content-type-options: nosniff\r\n"
        ) % (kept, self.tag, POLICY)
        self._body = body
        self._guard = guarded
        self._fixed = fixed
        self._whole = b"content-type: %b\r\n%b" % (kind.encode(), fixed)

    def admit(self, request: Request) -> Response | None:
        """Return a refusal, decided from the head alone."""
        try:
            request.identity = self._guard(request)
        except Exception as error:
            return problem_of(error, "")
        return None

    def start(self, request: Request) -> Response:
        """Answer, which needs no waiting; admit the request first, as nobody may have."""
        return self.admit(request) or self.answer(request.headers.get(b"if-none-match"))

    async def respond(self, request: Request) -> Response:
        """Answer with the file, or with 304 to whoever has this very one."""
        return self.answer(request.headers.get(b"if-none-match"))

    def answer(self, known: bytes | None = None) -> Response:
        """Return the answer to someone who keeps the versions `known`, a list of entity tags."""
        if known is not None and _names(known, self.tag):
            return Response(304, b"", (), self._fixed)
        return Response(200, self._body, (), self._whole)


class StaticPages:
    """The pages of an application by their paths, as they stand in a request line.

    Raises ConfigurationError for a folder that is missing or too large, for a file whose type is unknown or that lies
    elsewhere, and for two files at one path.
    """

    def __init__(self, pages: Sequence[Pages], verifier: Verifier) -> None:
        self.by_path: dict[bytes, Page] = {}
        self._bytes = 0
        for one in pages:
            if not one.folder.is_dir():
                raise ConfigurationError(f"Pages({one.path!r}): {one.folder} is not a folder", where=one.where)
            for path in _files(one.folder):
                self._add(one, path, verifier)

    def _add(self, pages: Pages, file: Path, verifier: Verifier) -> None:
        relative = file.relative_to(pages.folder).as_posix()
        told = f"Pages({pages.path!r}): {relative}"
        if not file.resolve().is_relative_to(pages.folder.resolve()):
            raise ConfigurationError(f"{told} is a link out of the folder; put a copy there", where=pages.where)
        kind = _TYPES.get(file.suffix.lower())
        if kind is None:
            raise ConfigurationError(
                f"{told}: files of type {file.suffix or 'none'!r} are not served; move it out of the folder, or have "
                f"one of {', '.join(sorted(_TYPES))}",
                where=pages.where,
            )
        body = self._read(file, told, pages)
        key = (pages.path + quote(relative, safe="/~!$&'()*+,;=:@")).encode()
        if relative == "index.html" or relative.endswith("/index.html"):
            key = key[: -len(b"index.html")]
        if key in self.by_path:
            raise ConfigurationError(f"{told}: there is another file at {key.decode()}", where=pages.where)
        self.by_path[key] = Page(body, kind, guard(pages.auth, verifier), shared=_open(pages.auth))

    def _read(self, file: Path, told: str, pages: Pages) -> bytes:
        with file.open("rb") as opened:
            body = opened.read(FILE_BYTES_MOST + 1)
        self._bytes += len(body)
        if len(body) > FILE_BYTES_MOST:
            raise ConfigurationError(
                f"{told} is longer than {FILE_BYTES_MOST} bytes; pages lie in memory, serve it from elsewhere",
                where=pages.where,
            )
        if self._bytes > ALL_BYTES_MOST:
            raise ConfigurationError(
                f"{told}: all pages together are more than {ALL_BYTES_MOST} bytes; they lie in memory, serve some "
                "from elsewhere",
                where=pages.where,
            )
        return body


def _files(folder: Path) -> Iterator[Path]:
    """Walk in a fixed order. Folders that are links are not entered."""
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(place, name) for name in sorted(names) if not name.startswith("."))


def _open(auth: Auth) -> bool:
    return auth.kind == "public"


def _names(known: bytes, tag: bytes) -> bool:
    """Tell whether a list of entity tags has this one; weak ones compare like strong ones (RFC 9110, 13.1.2)."""
    return any(one.strip().removeprefix(b"W/") in (tag, b"*") for one in known.split(b","))

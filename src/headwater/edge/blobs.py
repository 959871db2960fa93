"""Bodies that are too large for a message: uploads into the file store, and downloads out of it."""

from __future__ import annotations

import re
from types import NoneType
from typing import Any, get_args

import msgspec

from headwater.edge.http import Request, Response
from headwater.edge.problems import Rejected
from headwater.edge.route import CompiledRoute
from headwater.edge.stream import whole
from headwater.errors import ConfigurationError, NotExecuted
from headwater.model.blob import Blob
from headwater.model.context import Context
from headwater.model.message import Failure, annotated_base
from headwater.ports import Files
from headwater.runtime.waiting import Waiting

__all__ = ["DownloadRoute", "UploadRoute", "is_blob"]

_MEDIA_TYPE = re.compile(rb"[a-z0-9!#$&^_.+-]{1,63}/[a-z0-9!#$&^_.+-]{1,63}")
_RANGE = re.compile(rb"bytes=(\d{0,18})-(\d{0,18})")


class UploadRoute(CompiledRoute):
    """Stores the body as a file while it arrives, and calls with the `Blob` that it has become.

    The contract's budget begins when the body is complete. The file is removed again when the command certainly
    was not executed, or was refused.
    """

    streams = True

    def prepare(self, files: Files, most: int) -> None:
        """Name the store and the longest body, in bytes. Raises ConfigurationError when the field is no `Blob`."""
        route = self.declared
        fields = {f.encode_name: f.type for f in msgspec.structs.fields(route.contract.message)}
        if annotated_base(fields.get(route.upload or "")) is not Blob:
            raise ConfigurationError(
                f"{route.method} {route.path}: upload={route.upload!r} is not a field of type Blob", where=route.where
            )
        self._files = files
        self._field = route.upload or ""
        self.body_most = most

    def start(self, request: Request) -> Response | Waiting:
        """Answer one request."""
        if not request.id:
            refused = self.admit(request)
            if refused is not None:
                return refused
        return Waiting(self._upload(request).__await__())

    async def _upload(self, request: Request) -> Response:
        self._node.enter()
        try:
            context = self._context(request)
            allowed = context.deadline - self._node.parts.clock.monotonic()
            media_type = _media_type(request)
            blob = await self._files.put(request.stream or whole(request.body), media_type=media_type)
            request.body = b""
            context.deadline = self._node.parts.clock.monotonic() + allowed
            return await self._called(request, context, blob)
        except Exception as error:
            return self._told(error, request)
        finally:
            self._node.leave()

    async def _called(self, request: Request, context: Context, blob: Blob) -> Response:
        try:
            known = {self._field: msgspec.to_builtins(blob)}
            message = self._read(request, context.idempotency_key, **known)
            result = await self._node.table[type(message)].invoke(message, context)
        except (NotExecuted, Failure):
            await self._files.discard(blob)
            raise
        return self._answer(result, request, context)


class DownloadRoute(CompiledRoute):
    """Answers with the content of the `Blob` that the query returns, or with the part of it that was asked for.

    What strangers have stored is never shown as a page of ours: it is an attachment.
    """

    def prepare(self, files: Files) -> None:
        """Name the store."""
        self._files = files

    def _answer(self, result: Any, request: Request, context: Context) -> Response:
        if result is None:
            return self._unusual(result, request, context)
        blob: Blob = result
        tag = b'"' + blob.sha256.encode() + b'"'
        headers: tuple[tuple[bytes, bytes], ...] = (
            (b"etag", tag), (b"accept-ranges", b"bytes"), (b"content-disposition", b"attachment"),
            (b"content-type", blob.media_type.encode()),
        )
        told = request.headers.get(b"if-none-match")
        if told is not None and (told == b"*" or tag in told):
            return self._finished(Response(304, b"", headers[:1], self._plain_fixed), request)
        span = _range(request, blob.size, tag)
        if span is None:
            response = Response(200, b"", headers, self._plain_fixed, self._files.read(blob), blob.size)
        elif span[0] >= span[1]:
            response = Response(416, b"", ((b"content-range", b"bytes */%d" % blob.size),))
        else:
            first, end = span
            headers += ((b"content-range", b"bytes %d-%d/%d" % (first, end - 1, blob.size)),)
            stream = self._files.read(blob, start=first, end=end)
            response = Response(206, b"", headers, self._plain_fixed, stream, end - first)
        return self._finished(response, request)


def is_blob(result: Any) -> bool:
    """Whether a contract's result is a `Blob`, or a `Blob` that may be missing."""
    return annotated_base(result) is Blob or (Blob in get_args(result) and set(get_args(result)) <= {Blob, NoneType})


def _media_type(request: Request) -> str:
    given = request.headers.get(b"content-type", b"application/octet-stream")
    kind = given.partition(b";")[0].strip().lower()
    if not _MEDIA_TYPE.fullmatch(kind):
        raise Rejected(415, "unsupported-media-type", "Content-Type is a media type such as image/png")
    if b"content-encoding" in request.headers:
        raise Rejected(415, "unsupported-encoding", "the body is not compressed")
    return kind.decode()


def _range(request: Request, size: int, tag: bytes) -> tuple[int, int] | None:
    """Return the first byte and the end of what was asked for; None for all of it (RFC 9110, 14.2)."""
    given = request.headers.get(b"range")
    if given is None or request.headers.get(b"if-range", tag) != tag:
        return None
    match = _RANGE.fullmatch(given)
    if match is None or not (match[1] or match[2]):
        return None  # several ranges, or another unit: all of it is an answer to that
    if not match[1]:
        return max(0, size - int(match[2])), size
    return int(match[1]), min(size, int(match[2]) + 1) if match[2] else size

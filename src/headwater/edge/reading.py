"""From a request to a message: body, query string and path become the fields of one contract."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from headwater.edge.http import Request
from headwater.edge.params import Param, parse_query
from headwater.edge.problems import Rejected
from headwater.edge.representation import MSGPACKS
from headwater.errors import ConfigurationError, FieldError
from headwater.model.api import Route
from headwater.model.patterns import check_patterns
from headwater.model.strict import StrictReader

__all__ = ["BODIES", "Reading", "names_in"]

_PARAM = re.compile(r"\{([a-z_][a-z0-9_]*)\}")
BODIES = ("POST", "PUT", "PATCH")
_JSON = b"application/json"


def names_in(path: str) -> tuple[str, ...]:
    """Return the names of a path's parameters, in order."""
    return tuple(_PARAM.findall(path))


class Reading:
    """Reads one route's message. Raises ConfigurationError for a parameter that is no field, or has no text form."""

    def __init__(self, route: Route) -> None:
        contract = route.contract
        told = f"{route.method} {route.path}"
        check_patterns(contract.message)
        self._method = route.method
        self._reader = StrictReader(contract.message)
        self._idempotent = contract.idempotent
        self._body = route.method in BODIES and route.upload is None
        fields = {f.encode_name: f for f in msgspec.structs.fields(contract.message)}
        names = names_in(route.path)
        for name in names:
            if name not in fields:
                raise ConfigurationError(
                    f"{told}: {{{name}}} is not a field of {contract.message.__name__}: {', '.join(fields)}",
                    where=route.where,
                )
        rest = [n for n in fields if n not in names and n != route.upload]
        try:
            self._path = tuple(Param(name, fields[name].type) for name in names)
            self._rest = {} if self._body else {n: Param(n, fields[n].type) for n in rest}
        except TypeError as error:
            raise ConfigurationError(f"{told}: {error}; take it from a POST body instead", where=route.where) from None
        self._single = {n: None if p.plain else p.read for n, p in self._rest.items() if not p.many}
        if any(param.many for param in self._path):
            raise ConfigurationError(f"{told}: a path parameter is one value", where=route.where)
        self._plain = self._body and not self._path
        # a message without fields is always the same, and nobody can change it
        self._constant = None if fields else contract.message()
        self._needs_body = self._body and any(fields[n].required and n != self._idempotent for n in rest)

    def read(self, request: Request, key: str | None, **more: Any) -> Any:
        """Return the message. more: fields that are known already. Raises Rejected or InvalidMessage."""
        if self._plain and key is None and request.body and not request.query and not _is_packed(request):
            return self._reader.read(request.body)
        if self._constant is not None and not request.query and not request.body:
            return self._constant
        if not self._body and not request.body:
            return self._reader.build(self._text_fields(request, key, more))
        spliced = self._spliced(request, key)
        if spliced is not None:
            return spliced
        fields, errors = self._fields(request)
        self._fill_key(fields, key)
        return self._reader.convert(fields, errors)

    def _text_fields(self, request: Request, key: str | None, more: dict[str, Any]) -> dict[str, Any]:
        fields = self._query_fields(request.query) if request.query else {}
        for param, text in zip(self._path, request.params, strict=True):
            fields[param.name] = text if param.plain else param.read(text)
        if key is not None:
            self._fill_key(fields, key)
        if more:
            fields.update(more)
        return fields

    def _spliced(self, request: Request, key: str | None) -> Any:
        """Read a good body together with what comes from elsewhere as one JSON text; None for all others.

        A field that is in both would stand in the text twice, which the reader's proof notices.
        """
        body = request.body
        if not self._body or request.query or not body.startswith(b"{"):
            return None
        if _is_packed(request):
            return None
        known = {param.name: param.read(text) for param, text in zip(self._path, request.params, strict=True)}
        if key is not None and self._idempotent is not None:
            known[self._idempotent] = key
        return self._reader.read_proven(msgspec.json.encode(known)[:-1] + b"," + body[1:]) if known else None

    def _fields(self, request: Request) -> tuple[dict[str, Any], list[FieldError]]:
        fields: dict[str, Any] = {}
        errors: list[FieldError] = []
        if self._body:
            if request.query:
                raise Rejected(400, "unexpected-query", "this takes no query string; put the fields into the body")
            if request.body or self._needs_body:
                if _is_packed(request):
                    fields = self._reader.parse_packed(request.body)
                else:
                    fields, errors = self._reader.parse(request.body)
        else:
            raise Rejected(400, "unexpected-body", f"{request.method} takes no body here")
        for param, text in zip(self._path, request.params, strict=True):
            if param.name in fields:
                raise Rejected(400, "doubled-field", f"{param.name} stands in the path and again in the body")
            fields[param.name] = param.read(text)
        return fields, errors

    def _query_fields(self, raw: bytes) -> dict[str, Any]:
        fields: dict[str, Any] = {}
        if b"%" not in raw and b"+" not in raw:  # mostly: each known name once, and nothing encoded
            readers = self._single
            parts = raw.decode("ascii").split("&")
            try:
                for part in parts:
                    name, _, text = part.partition("=")
                    read = readers[name]
                    fields[name] = text if read is None else read(text)
            except KeyError:
                pass
            else:
                if len(fields) == len(parts):
                    return fields
            fields = {}
        for name, text in parse_query(raw):
            param = self._rest.get(name)
            if param is None:
                known = ", ".join(self._rest) or "none"
                raise Rejected(400, "unknown-parameter", f"there is no query parameter {name!r}; known: {known}")
            if param.many:
                fields.setdefault(name, []).append(param.read(text))
            elif name in fields:
                raise Rejected(400, "doubled-parameter", f"query parameter {name!r} stands there twice")
            else:
                fields[name] = param.read(text)
        return fields

    def _fill_key(self, fields: dict[str, Any], key: str | None) -> None:
        if key is None or self._idempotent is None:
            return
        mine = fields.setdefault(self._idempotent, key)
        if mine != key:
            raise Rejected(
                400, "two-keys", f"the Idempotency-Key header and the field {self._idempotent!r} differ; send one"
            )


def _is_packed(request: Request) -> bool:
    """Whether the body is MessagePack; else it is JSON. Raises Rejected (415) for anything else."""
    if b"content-encoding" in request.headers:
        raise Rejected(415, "unsupported-encoding", "the body is not compressed")
    value = request.headers.get(b"content-type")
    if value != _JSON:
        if value in MSGPACKS:
            return True
        kind, _, options = (value or b"").partition(b";")
        charset = options.replace(b" ", b"").lower()
        if kind.strip().lower() != _JSON or charset not in (b"", b"charset=utf-8", b'charset="utf-8"'):
            raise Rejected(415, "unsupported-media-type", "the body is JSON in UTF-8 or MessagePack, and says so")
    return False

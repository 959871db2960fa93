"""What the outside world sees: a table of its own, made from contracts only."""

from __future__ import annotations

import re
import sys
from datetime import date
from typing import Any, TypedDict, Unpack

from headwater.errors import ConfigurationError
from headwater.model.contract import Contract, contract_of
from headwater.model.limits import Limit
from headwater.model.message import Command, Query
from headwater.model.web import Cors, HttpCache

__all__ = ["Api", "Auth", "Options", "Route", "authenticated", "public", "role", "scope"]

_VERSION = re.compile(r"[a-z0-9][a-z0-9._-]*")


class Auth:
    """Who may use a route: everybody, whoever has signed in, or holders of one of `roles`, or of all `scopes`."""

    __slots__ = ("kind", "roles", "scopes")

    def __init__(self, kind: str, roles: tuple[str, ...] = (), scopes: tuple[str, ...] = ()) -> None:
        self.kind = kind
        self.roles = roles
        self.scopes = scopes

    def __repr__(self) -> str:
        names = self.roles or self.scopes
        return f"{self.kind}({', '.join(map(repr, names))})" if names else self.kind


public = Auth("public")
"""Everybody, signed in or not."""
authenticated = Auth("authenticated")
"""Whoever presents a valid token."""


def role(*names: str) -> Auth:
    """Whoever presents a valid token with at least one of these roles."""
    if not names:
        raise ConfigurationError("role() needs at least one name: role('staff')")
    return Auth("role", names)


def scope(*names: str) -> Auth:
    """Whoever presents a valid token with all of these scopes."""
    if not names:
        raise ConfigurationError("scope() needs at least one name: scope('orders:write')")
    return Auth("scope", scopes=names)


class Options(TypedDict, total=False):
    """What every route may say.

    status: of an answer with a value. auth: who may use it. limit: how often, besides the API's limit.
    summary: one line for the documentation, by default the contract's docstring.
    """

    status: int
    auth: Auth | None
    limit: Limit | tuple[Limit, ...]
    summary: str | None


class Route:
    """One line of the table: a method and a path lead to one contract.

    upload: the field of the message that the body becomes, as a stored file. deprecated, sunset: see `Api`.
    """

    __slots__ = (
        "api", "auth", "contract", "cors", "deprecated", "http_cache", "limits", "method", "path", "status",
        "successor", "summary", "sunset", "upload", "where",
    )

    def __init__(
        self, *, api: str, method: str, path: str, contract: Contract, status: int, auth: Auth | None, where: str,
        limits: tuple[Limit, ...] = (), http_cache: HttpCache | None = None, cors: Cors | None = None,
        deprecated: date | None = None, sunset: date | None = None, successor: str | None = None,
        upload: str | None = None, summary: str | None = None,
    ) -> None:
        self.api = api
        self.method = method
        self.path = path
        self.contract = contract
        self.status = status
        self.auth = auth
        self.where = where
        self.limits = limits
        self.http_cache = http_cache
        self.cors = cors
        self.deprecated = deprecated
        self.sunset = sunset
        self.successor = successor
        self.upload = upload
        self.summary = summary


class Api:
    """A version of the outside face. Its name is the first segment of its paths: `/v1/...`.

    auth: the default for its routes. A route without any does not start. limit: what one caller may ask of
    the whole API. cors: which other origins' pages may use it from a browser.
    deprecated: from this day on, answers say that a newer version should be used; sunset: from the beginning of
    this day (UTC) on, every route answers 410. successor: the name of the API to use instead.
    """

    def __init__(
        self, name: str, *, auth: Auth | None = None, limit: Limit | tuple[Limit, ...] = (), cors: Cors | None = None,
        deprecated: date | None = None, sunset: date | None = None, successor: str | None = None,
    ) -> None:
        if not _VERSION.fullmatch(name):
            raise ConfigurationError(f"Api({name!r}): the name is a path segment such as 'v1'")
        if sunset is not None and (deprecated is None or deprecated > sunset):
            raise ConfigurationError(
                f"Api({name!r}): sunset={sunset} needs deprecated= on the same day or before, so that callers are told"
            )
        self.name = name
        self.auth = auth
        self.limits = _limits(limit)
        self.cors = cors
        self.deprecated = deprecated
        self.sunset = sunset
        self.successor = successor
        self.routes: list[Route] = []

    def get(
        self, path: str, query: type[Query[Any]], *, http_cache: HttpCache | None = None, **options: Unpack[Options]
    ) -> None:
        """Answer GET (and HEAD) with a query; `None` as the answer is a 404.

        http_cache: who may keep the answer, and how long: `Private("30s")`, `Shared("5m")`; by default nobody.
        """
        self._add("GET", path, query, "query", options, http_cache=http_cache)

    def post(
        self, path: str, command: type[Command[Any]], *, upload: str | None = None, **options: Unpack[Options]
    ) -> None:
        """Answer POST with a command.

        upload: the field, of type `Blob`, that the body becomes: it goes to the file store as it arrives. The other
        fields then come from the path and the query string.
        """
        self._add("POST", path, command, "command", options, upload=upload)

    def put(
        self, path: str, command: type[Command[Any]], *, upload: str | None = None, **options: Unpack[Options]
    ) -> None:
        """Answer PUT with a command; `upload` as for `post`."""
        self._add("PUT", path, command, "command", options, upload=upload)

    def patch(self, path: str, command: type[Command[Any]], **options: Unpack[Options]) -> None:
        """Answer PATCH with a command."""
        self._add("PATCH", path, command, "command", options)

    def delete(self, path: str, command: type[Command[Any]], **options: Unpack[Options]) -> None:
        """Answer DELETE with a command."""
        self._add("DELETE", path, command, "command", options)

    def _add(
        self, method: str, path: str, message: Any, kind: str, options: Options, *,
        http_cache: HttpCache | None = None, upload: str | None = None,
    ) -> None:
        frame = sys._getframe(2)
        where = f"{frame.f_code.co_filename}:{frame.f_lineno}"
        contract = contract_of(message)
        if contract.kind != kind:
            raise ConfigurationError(
                f"{method} {path}: {contract.wire_name} is a {contract.kind}, {method} takes a {kind}", where=where
            )
        if not path.startswith("/"):
            raise ConfigurationError(f"{method} {path!r}: a path begins with /", where=where)
        auth = options.get("auth") or self.auth
        if http_cache is not None and http_cache.shared and auth is not public:
            raise ConfigurationError(
                f"{method} {path}: Shared(...) shows one caller's answer to others; use Private(...), or auth=public",
                where=where,
            )
        self.routes.append(
            Route(
                api=self.name, method=method, path=f"/{self.name}{path}", contract=contract,
                status=options.get("status", 200), auth=auth, where=where,
                limits=self.limits + _limits(options.get("limit", ())), http_cache=http_cache, cors=self.cors,
                deprecated=self.deprecated, sunset=self.sunset, successor=self.successor, upload=upload,
                summary=options.get("summary"),
            )
        )


def _limits(given: Limit | tuple[Limit, ...]) -> tuple[Limit, ...]:
    return (given,) if isinstance(given, Limit) else tuple(given)

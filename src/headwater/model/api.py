"""What the outside world sees: a table of its own, made from contracts only."""

from __future__ import annotations

import re
import sys
from typing import Any

from headwater.errors import ConfigurationError
from headwater.model.contract import Contract, contract_of
from headwater.model.message import Command, Query

__all__ = ["Api", "Auth", "Route", "authenticated", "public", "role"]

_VERSION = re.compile(r"[a-z0-9][a-z0-9._-]*")


class Auth:
    """Who may use a route: everybody, whoever has signed in, or holders of one of `roles`."""

    __slots__ = ("kind", "roles")

    def __init__(self, kind: str, roles: tuple[str, ...] = ()) -> None:
        self.kind = kind
        self.roles = roles

    def __repr__(self) -> str:
        return f"role({', '.join(map(repr, self.roles))})" if self.roles else self.kind


public = Auth("public")
"""Everybody, signed in or not."""
authenticated = Auth("authenticated")
"""Whoever presents a valid token."""


def role(*names: str) -> Auth:
    """Whoever presents a valid token with at least one of these roles."""
    if not names:
        raise ConfigurationError("role() needs at least one name: role('staff')")
    return Auth("role", names)


class Route:
    """One line of the table: a method and a path lead to one contract."""

    __slots__ = ("api", "auth", "contract", "method", "path", "status", "where")

    def __init__(
        self, *, api: str, method: str, path: str, contract: Contract, status: int, auth: Auth | None, where: str
    ) -> None:
        self.api = api
        self.method = method
        self.path = path
        self.contract = contract
        self.status = status
        self.auth = auth
        self.where = where


class Api:
    """A version of the outside face. Its name is the first segment of its paths: `/v1/...`.

    auth: the default for its routes. A route without any does not start.
    """

    def __init__(self, name: str, *, auth: Auth | None = None) -> None:
        if not _VERSION.fullmatch(name):
            raise ConfigurationError(f"Api({name!r}): the name is a path segment such as 'v1'")
        self.name = name
        self.auth = auth
        self.routes: list[Route] = []

    def get(self, path: str, query: type[Query[Any]], *, status: int = 200, auth: Auth | None = None) -> None:
        """Answer GET (and HEAD) with a query; `None` as the answer is a 404."""
        self._add("GET", path, query, status, auth, "query")

    def post(self, path: str, command: type[Command[Any]], *, status: int = 200, auth: Auth | None = None) -> None:
        """Answer POST with a command."""
        self._add("POST", path, command, status, auth, "command")

    def put(self, path: str, command: type[Command[Any]], *, status: int = 200, auth: Auth | None = None) -> None:
        """Answer PUT with a command."""
        self._add("PUT", path, command, status, auth, "command")

    def patch(self, path: str, command: type[Command[Any]], *, status: int = 200, auth: Auth | None = None) -> None:
        """Answer PATCH with a command."""
        self._add("PATCH", path, command, status, auth, "command")

    def delete(self, path: str, command: type[Command[Any]], *, status: int = 200, auth: Auth | None = None) -> None:
        """Answer DELETE with a command."""
        self._add("DELETE", path, command, status, auth, "command")

    def _add(self, method: str, path: str, message: Any, status: int, auth: Auth | None, kind: str) -> None:
        frame = sys._getframe(2)
        where = f"{frame.f_code.co_filename}:{frame.f_lineno}"
        contract = contract_of(message)
        if contract.kind != kind:
            raise ConfigurationError(
                f"{method} {path}: {contract.wire_name} is a {contract.kind}, {method} takes a {kind}", where=where
            )
        if not path.startswith("/"):
            raise ConfigurationError(f"{method} {path!r}: a path begins with /", where=where)
        self.routes.append(
            Route(
                api=self.name, method=method, path=f"/{self.name}{path}", contract=contract, status=status,
                auth=auth or self.auth, where=where,
            )
        )

"""Requests to an application's routes without a socket."""

from __future__ import annotations

from typing import Any

import msgspec

from headwater.edge.http import Request, Response, fold
from headwater.edge.problems import Unauthenticated
from headwater.edge.routes import Router
from headwater.model.identity import Identity

__all__ = ["Answer", "HttpClient", "KnownTokens"]


class Answer:
    """What came back."""

    __slots__ = ("body", "headers", "status")

    def __init__(self, response: Response) -> None:
        self.status = response.status
        self.body = response.body
        self.headers = {name.decode().lower(): value.decode() for name, value in response.pairs()}

    def json(self) -> Any:
        """Return the body, decoded."""
        return msgspec.json.decode(self.body)

    def __repr__(self) -> str:
        return f"<{self.status} {self.body.decode(errors='replace')[:200]}>"


class KnownTokens:
    """A verifier for tests: `user:role,role` is a token; anything without a colon is not believed."""

    def verify(self, token: str) -> Identity:
        """Return whose token it is."""
        subject, colon, roles = token.partition(":")
        if not colon:
            raise Unauthenticated("the token is not believed")
        return Identity(subject=subject, roles=tuple(filter(None, roles.split(","))))


class HttpClient:
    """Asks the compiled routes directly."""

    def __init__(self, router: Router) -> None:
        self._router = router

    async def request(
        self, method: str, target: str, *, json: Any = None, headers: dict[str, str] | None = None,
        role: str | None = None,
    ) -> Answer:
        """Send one request. `role` signs in somebody who has it."""
        path, _, query = target.partition("?")
        sent = [(name.lower().encode(), value.encode()) for name, value in (headers or {}).items()]
        body = b""
        if json is not None:
            body = msgspec.json.encode(json)
            sent.append((b"content-type", b"application/json"))
        if role is not None:
            sent.append((b"authorization", f"Bearer tester:{role}".encode()))
        return Answer(await self._router.respond(Request(method, path.encode(), query.encode(), fold(sent), body)))

    async def get(self, target: str, **options: Any) -> Answer:
        """GET."""
        return await self.request("GET", target, **options)

    async def post(self, target: str, **options: Any) -> Answer:
        """POST."""
        return await self.request("POST", target, **options)

    async def put(self, target: str, **options: Any) -> Answer:
        """PUT."""
        return await self.request("PUT", target, **options)

    async def delete(self, target: str, **options: Any) -> Answer:
        """DELETE."""
        return await self.request("DELETE", target, **options)

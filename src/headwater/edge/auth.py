"""Who is asking, decided before the body is looked at."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from headwater.edge.http import Request
from headwater.edge.problems import Unauthenticated
from headwater.errors import Denied
from headwater.model.api import Auth
from headwater.model.identity import ANONYMOUS, Identity

__all__ = ["Guard", "NoVerifier", "Schemes", "Verifier", "guard"]

REMEMBER_MOST = 1_024
SHORT_BYTES = 2_048
Guard = Callable[[Request], Identity]


class Verifier(Protocol):
    """Turns a credential, by default a bearer token, into an identity. Never waits."""

    def verify(self, token: str) -> Identity:
        """Return whose credential it is.

        Raises Unauthenticated, saying no more than that it is not believed; AuthUnavailable when that cannot be
        decided now.
        """
        ...


class NoVerifier:
    """Believes nobody: for applications whose routes are all public."""

    def verify(self, token: str) -> Identity:
        """Refuse."""
        raise Unauthenticated("this application accepts no tokens")


class Schemes:
    """A verifier for each scheme of the Authorization header. Itself, it verifies bearer tokens."""

    __slots__ = ("api_key", "bearer")

    def __init__(self, bearer: Verifier, *, api_key: Verifier | None = None) -> None:
        self.bearer = bearer
        self.api_key = api_key

    def verify(self, token: str) -> Identity:
        """Return whose bearer token it is."""
        return self.bearer.verify(token)


def guard(auth: Auth, verifier: Verifier) -> Guard:
    """Compile what a route demands. Raises Unauthenticated (401) or Denied (403) when asked.

    A refusal of somebody known leaves the identity in the request, for the audit log.
    """
    who = _who(verifier)
    roles, scopes = frozenset(auth.roles), frozenset(auth.scopes)

    def open_to_all(request: Request) -> Identity:
        # a token is not asked for, but one that is shown must be good: else a client would believe itself known
        return who(request) if b"authorization" in request.headers else ANONYMOUS

    def demanding(request: Request) -> Identity:
        identity = who(request)
        if roles and roles.isdisjoint(identity.roles):
            request.identity = identity
            raise Denied(f"this needs the role {' or '.join(auth.roles)}")
        if not scopes.issubset(identity.scopes):
            request.identity = identity
            raise Denied(f"this needs the scope {' and '.join(s for s in auth.scopes if s not in identity.scopes)}")
        return identity

    if auth.kind == "public":
        return open_to_all
    return demanding if roles or scopes else who


def _who(verifier: Verifier) -> Guard:
    schemes = verifier if isinstance(verifier, Schemes) else Schemes(verifier)
    bearer, api_key = schemes.bearer.verify, schemes.api_key
    tokens: dict[bytes, str] = {}  # of header values that were good, as callers show theirs again and again

    def who(request: Request) -> Identity:
        value = request.headers.get(b"authorization")
        if value is None:
            raise Unauthenticated("a bearer token is needed")
        token = tokens.get(value)
        return first(value) if token is None else bearer(token)

    def first(value: bytes) -> Identity:
        scheme, _, credential = value.partition(b" ")
        if credential.isascii():
            kind = scheme.lower()
            if kind == b"bearer":
                token = credential.strip().decode()
                identity = bearer(token)
                if len(value) <= SHORT_BYTES:
                    if len(tokens) >= REMEMBER_MOST:
                        tokens.clear()
                    tokens[value] = token
                return identity
            if kind == b"apikey" and api_key is not None:
                return api_key.verify(credential.strip().decode())
        raise Unauthenticated("the Authorization header is not 'Bearer TOKEN'")

    return who

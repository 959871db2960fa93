"""Who is asking, decided before the body is looked at."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from headwater.edge.http import Request
from headwater.edge.problems import Unauthenticated
from headwater.errors import Denied
from headwater.model.api import Auth
from headwater.model.identity import ANONYMOUS, Identity

__all__ = ["Guard", "NoVerifier", "Verifier", "guard"]

Guard = Callable[[Request], Identity]


class Verifier(Protocol):
    """Turns a bearer token into an identity."""

    def verify(self, token: str) -> Identity:
        """Return whose token it is. Raises Unauthenticated, saying no more than that it is not believed."""
        ...


class NoVerifier:
    """Believes nobody: for applications whose routes are all public."""

    def verify(self, token: str) -> Identity:
        """Refuse."""
        raise Unauthenticated("this application accepts no tokens")


def guard(auth: Auth, verifier: Verifier) -> Guard:
    """Compile what a route demands. Raises Unauthenticated (401) or Denied (403) when asked."""

    def public(request: Request) -> Identity:
        # a token is not asked for, but one that is shown must be good: else a client would believe itself known
        return ANONYMOUS if request.header(b"authorization") is None else verifier.verify(_token(request))

    def signed_in(request: Request) -> Identity:
        return verifier.verify(_token(request))

    def with_role(request: Request) -> Identity:
        identity = verifier.verify(_token(request))
        if not any(role in identity.roles for role in auth.roles):
            raise Denied(f"this needs the role {' or '.join(auth.roles)}")
        return identity

    return {"public": public, "authenticated": signed_in, "role": with_role}[auth.kind]


def _token(request: Request) -> str:
    value = request.header(b"authorization")
    if value is None:
        raise Unauthenticated("a bearer token is needed")
    scheme, _, token = value.partition(b" ")
    if scheme.lower() != b"bearer" or not token.isascii():
        raise Unauthenticated("the Authorization header is not 'Bearer TOKEN'")
    return token.strip().decode()

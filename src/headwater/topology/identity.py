"""Who verifies tokens for an application: nobody when all its routes are public and the extra is missing."""

from __future__ import annotations

from collections.abc import Mapping

from headwater.adapters.jwt import JwtVerifier
from headwater.edge.auth import NoVerifier, Verifier
from headwater.edge.problems import Unauthenticated
from headwater.errors import MissingExtra
from headwater.model.app import App
from headwater.ports import Clock
from headwater.topology.secrets import Secret

__all__ = ["verifier_of"]


def verifier_of(
    app: App, keys: Mapping[str, tuple[str, Secret[bytes]]], *, issuer: str | None, audience: str | None, clock: Clock
) -> Verifier:
    """Return what turns a bearer token into an identity.

    Raises MissingExtra when a route asks for a token and the library to verify one is not installed.
    """
    revealed = {name: (algorithm, secret.reveal()) for name, (algorithm, secret) in keys.items()}
    try:
        return JwtVerifier(revealed, clock=clock, refuse=Unauthenticated, issuer=issuer, audience=audience)
    except MissingExtra:
        if any(route.auth is not None and route.auth.kind != "public" for api in app.apis for route in api.routes):
            raise
        return NoVerifier()

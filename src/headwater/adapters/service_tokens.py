"""Tokens that one service shows another: short-lived, for one addressee, and on somebody's behalf.

A service does not act with rights of its own: what it asks for, it asks as the caller whom it works for. Such
a token is never a user's token, nor the other way round: they are of different types (`typ`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import NamedTuple

import msgspec

from headwater.adapters.jwt import SERVICE_PREFIX, TOKEN_BYTES_MOST, check_times
from headwater.adapters.keys import FixedKeys, decode, encode, from_bytes
from headwater.errors import Denied
from headwater.model.identity import Identity
from headwater.ports import Clock, Ids

__all__ = ["Caller", "ServiceSigner", "ServiceVerifier"]

TYPE = "hw-service+jwt"
LIFE_SECONDS = 30
LIFE_SECONDS_MOST = 120


class Caller(NamedTuple):
    """Which service asks, and on whose behalf."""

    service: str
    identity: Identity


class ServiceSigner:
    """Makes a service's tokens. key: its secret (HS256) or private key (PEM), which the others know by its name."""

    def __init__(self, service: str, algorithm: str, key: bytes, *, clock: Clock, ids: Ids) -> None:
        self._service = service
        self._key = from_bytes(service, algorithm, key)
        self._wall = clock.wall
        self._ids = ids

    def mint(self, audience: str, identity: Identity, *, life: float = LIFE_SECONDS) -> str:
        """Return a token for one call to the application `audience`, or a few, on behalf of `identity`."""
        now = int(self._wall())
        claims = {
            "iss": SERVICE_PREFIX + self._service, "sub": SERVICE_PREFIX + self._service, "aud": audience, "iat": now,
            "exp": now + max(1, min(int(life), LIFE_SECONDS_MOST)), "jti": self._ids.new(),
            "on_behalf_of": msgspec.to_builtins(identity),
        }
        return encode({"typ": TYPE}, claims, self._key)


class ServiceVerifier:
    """Verifies tokens of other services.

    keys: service to (algorithm, key). audience: this application. allowed: the services that may ask it, of those
    whose keys are known. Raises what `refuse` makes for a token that is not believed, Denied for a service that
    may not ask.
    """

    def __init__(
        self, keys: Mapping[str, tuple[str, bytes]], *, audience: str, allowed: Collection[str], clock: Clock,
        refuse: type[Denied],
    ) -> None:
        self._keys = FixedKeys(keys)
        self._audience = audience
        self._allowed = frozenset(allowed)
        self._wall = clock.wall
        self._refuse = refuse

    def verify(self, token: str | None) -> Caller:
        """Return which service asks, and for whom."""
        if not token:
            raise self._refuse("a service token is needed")
        decoded = decode(token, (self._keys,), (TYPE,)) if len(token) <= TOKEN_BYTES_MOST else None
        if decoded is None:
            raise self._refuse("the token is not believed")
        claims, key = decoded
        now = self._wall()
        expires = check_times(claims, now, self._refuse)
        name = SERVICE_PREFIX + key.id  # each service signs with its own key, so none can speak as another
        if claims.get("sub") != name or claims.get("iss") != name or claims.get("aud") != self._audience:
            raise self._refuse("the token is not believed: it is somebody else's, or for somebody else")
        issued = claims.get("iat")
        if not isinstance(issued, (int, float)) or expires - issued > LIFE_SECONDS_MOST:
            raise self._refuse("the token is not believed: it lives too long")
        try:
            identity = msgspec.convert(claims.get("on_behalf_of"), Identity)
        except msgspec.ValidationError:
            raise self._refuse("the token is not believed: its claims are malformed") from None
        if key.id not in self._allowed:
            raise Denied(f"service {key.id} may not ask this application")
        return Caller(key.id, identity)

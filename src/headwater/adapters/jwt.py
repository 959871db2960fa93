"""Bearer tokens that are JSON Web Tokens, verified with joserfc (extra `auth`).

Each key is for one algorithm, so a token cannot choose how it is checked; what a token says about
where its key is to be found is ignored. A token that was verified is remembered by its digest until
it expires.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import importlib.util
import math
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from headwater.errors import ConfigurationError, Denied, MissingExtra
from headwater.model.identity import Identity
from headwater.ports import Clock

__all__ = ["JwtVerifier"]

ALGORITHMS = ("HS256", "RS256", "ES256", "EdDSA")
TOKEN_BYTES_MOST = 8 * 1024
LEEWAY_SECONDS = 30
REMEMBER_MOST = 10_000
_NOT_LOADED: Any = object()


class JwtVerifier:
    """Verifies tokens against named keys.

    keys: id to (algorithm, key); a key is a shared secret (HS256) or PEM. A token names its key with
    `kid`; without one, all keys are tried, each with its own algorithm. `exp` is required; `iss` and
    `aud` are checked when given. Raises what `refuse` makes for every token that is not believed.
    """

    def __init__(
        self, keys: Mapping[str, tuple[str, bytes]], *, clock: Clock, refuse: type[Denied],
        issuer: str | None = None, audience: str | None = None,
    ) -> None:
        if importlib.util.find_spec("joserfc") is None:
            raise MissingExtra("verifying tokens", "auth")
        self._raw = dict(keys)
        for name, (algorithm, key) in keys.items():
            if algorithm not in ALGORITHMS:
                raise ConfigurationError(
                    f"key {name!r}: algorithm {algorithm!r} is not one of {', '.join(ALGORITHMS)}"
                )
            if algorithm == "HS256" and (len(key) < 32 or b"-----BEGIN" in key):
                raise ConfigurationError(f"key {name!r}: a secret for HS256 has at least 32 bytes, and is no PEM")
        self._jwt: Any = _NOT_LOADED
        self._keys: dict[str, tuple[str, Any]] = {}
        if any(algorithm != "HS256" for algorithm, _ in keys.values()):
            self._load()  # so that a bad PEM is found at start; a plain secret can wait for the first token
        self._clock = clock
        self._refuse = refuse
        self._issuer = issuer
        self._audience = audience
        self._known: dict[bytes, tuple[float, Identity]] = {}

    def _load(self) -> None:
        """Load the library, which is as large as the rest of a small application, and read the keys."""
        from joserfc import jwt
        from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey

        kinds: dict[str, Any] = {"HS256": OctKey, "RS256": RSAKey, "ES256": ECKey, "EdDSA": OKPKey}
        for name, (algorithm, key) in self._raw.items():
            try:
                self._keys[name] = (algorithm, kinds[algorithm].import_key(key))
            except Exception:
                raise ConfigurationError(f"key {name!r} is not a key for {algorithm}") from None
        self._jwt = jwt

    def verify(self, token: str) -> Identity:
        """Return whose token it is."""
        if len(token) > TOKEN_BYTES_MOST:
            raise self._refuse("the token is too long")
        digest = hashlib.sha256(token.encode()).digest()
        now = self._clock.wall()
        known = self._known.get(digest)
        if known is not None:
            if now < known[0]:
                return known[1]
            del self._known[digest]
        claims = self._claims(token)
        expires = self._check(claims, now)
        identity = _identity(claims)
        if identity is None:
            raise self._refuse("the token is not believed: its claims are malformed")
        if len(self._known) >= REMEMBER_MOST:
            self._known.clear()
        self._known[digest] = (expires, identity)
        return identity

    def _claims(self, token: str) -> dict[str, Any]:
        if self._jwt is _NOT_LOADED:
            self._load()
        for algorithm, key in self._candidates(token):
            try:
                made: Any = self._jwt.decode(token, key, algorithms=[algorithm])
            except Exception:  # noqa: S112 - the next key may fit; why not is nobody's business
                continue
            if made.header.get("typ", "JWT") in ("JWT", "at+jwt") and "crit" not in made.header:
                return dict(made.claims)
        raise self._refuse("the token is not believed")

    def _candidates(self, token: str) -> Sequence[tuple[str, Any]]:
        try:
            head = token.partition(".")[0].encode()
            kid = msgspec.json.decode(base64.urlsafe_b64decode(head + b"=" * (-len(head) % 4))).get("kid")
        except (ValueError, AttributeError, RecursionError, binascii.Error, msgspec.MsgspecError):
            return ()
        if kid is None:
            return tuple(self._keys.values())
        return (self._keys[kid],) if isinstance(kid, str) and kid in self._keys else ()

    def _check(self, claims: Mapping[str, Any], now: float) -> float:
        """Check times and addressees; return when the token ends."""
        expires: Any = claims.get("exp")
        begins: Any = claims.get("nbf", 0)
        if not _is_time(expires) or not _is_time(begins):
            raise self._refuse("the token is not believed: it has no proper exp")
        if now > expires + LEEWAY_SECONDS:
            raise self._refuse("the token has expired")
        if now < begins - LEEWAY_SECONDS:
            raise self._refuse("the token is not valid yet")
        if self._issuer is not None and claims.get("iss") != self._issuer:
            raise self._refuse("the token is not believed: it comes from another issuer")
        audience = claims.get("aud")
        named = audience if isinstance(audience, list) else [audience]
        if self._audience is not None and self._audience not in named:
            raise self._refuse("the token is not believed: it is for another audience")
        return float(expires)


def _is_time(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _identity(claims: Mapping[str, Any]) -> Identity | None:
    subject, roles, tenant = claims.get("sub"), claims.get("roles", []), claims.get("tenant")
    fits = (
        isinstance(subject, str)
        and isinstance(roles, list)
        and all(isinstance(role, str) for role in roles)
        and (tenant is None or isinstance(tenant, str))
    )
    return Identity(subject=subject, roles=tuple(roles), tenant=tenant) if fits else None

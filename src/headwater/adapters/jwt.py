"""Bearer tokens that are JSON Web Tokens.

A token that was verified is remembered by its digest, never beyond its end, and asked after again
every two seconds: whether it was revoked, and whether its keys still count.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from headwater.adapters.keys import FixedKeys, KeySource, decode
from headwater.errors import AuthUnavailable, ConfigurationError, Denied, HeadwaterError
from headwater.model.identity import SYSTEM, Identity
from headwater.ports import Clock

__all__ = ["SERVICE_PREFIX", "JwtVerifier", "Revoked", "identity_of", "is_time"]

TOKEN_BYTES_MOST = 8 * 1024
LEEWAY_SECONDS = 30
REMEMBER_MOST = 10_000
DIGESTS_MOST = 1_024
SHORT_BYTES = 2_048
RECHECK_SECONDS = 2.0
NAME_CHARS_MOST = 256
SERVICE_PREFIX = "service:"
_TYPES = ("", "jwt", "at+jwt")
_copy = hashlib.sha256().copy  # half the price of starting a digest

Revoked = Callable[[str | None, str, float], bool]
"""Tells whether a token was taken back, from its `jti`, its subject and when it was issued (0.0 if it does not say)."""


class _Known(NamedTuple):
    """A token that was verified. It is asked after again from `until` on, or when the clock was set back."""

    since: float
    until: float
    identity: Identity
    expires: float
    jti: str | None
    issued: float
    kid: str


class JwtVerifier:
    """Verifies tokens against named keys.

    keys: id to (algorithm, key); a key is a shared secret (HS256) or PEM. A token names its key with
    `kid`; without one, all keys are tried, each with its own algorithm. sources: keys from elsewhere.
    `exp` is required; `iss` and `aud` are checked when given. revoked: asked of every token, at most every two
    seconds each. Raises what `refuse` makes for every token that is not believed, AuthUnavailable when that
    cannot be decided.
    """

    def __init__(
        self, keys: Mapping[str, tuple[str, bytes]], *, clock: Clock, refuse: type[Denied],
        issuer: str | None = None, audience: str | None = None, sources: Sequence[KeySource] = (),
        revoked: Revoked | None = None,
    ) -> None:
        self._sources: tuple[KeySource, ...] = (FixedKeys(keys), *sources)
        if sources and issuer is None:
            raise ConfigurationError("keys that are fetched count for one issuer: say which, auth.issuer")
        self._wall = clock.wall
        self._refuse = refuse
        self._issuer = issuer
        self._audience = audience
        self._revoked: Callable[[str | None, str, float], object] | None = revoked  # others' code returns what it likes
        self._known: OrderedDict[bytes, _Known] = OrderedDict()
        self._digests: dict[str, bytes] = {}
        self._find = self._known.get
        self._used = self._known.move_to_end

    def verify(self, token: str) -> Identity:
        """Return whose token it is."""
        digest = self._digests.get(token) or self._digest(token)
        known = self._find(digest)
        if known is None:
            return self._first(digest, token)
        since, until, identity = known[:3]
        now = self._wall()
        if since <= now < until:
            self._used(digest)
            return identity
        del self._known[digest]
        return self._again(digest, known) if now < known.expires else self._first(digest, token)

    def _digest(self, token: str) -> bytes:
        if len(token) > TOKEN_BYTES_MOST:
            raise self._refuse("the token is too long")
        hashed = _copy()
        hashed.update(token.encode())
        digest = hashed.digest()
        if digest in self._known and len(token) <= SHORT_BYTES:  # only what was good is worth the room
            if len(self._digests) >= DIGESTS_MOST:
                self._digests.clear()
            self._digests[token] = digest
        return digest

    def forget(self) -> None:
        """Verify every token anew: the keys have changed."""
        self._known.clear()
        self._digests.clear()

    def _first(self, digest: bytes, token: str) -> Identity:
        decoded = decode(token, self._sources, _TYPES)
        if decoded is None:
            raise self._refuse("the token is not believed")
        claims, key = decoded
        expires = self._check(claims, self._wall())
        identity = identity_of(claims)
        if identity is None:
            raise self._refuse("the token is not believed: its claims are malformed")
        jti = claims.get("jti")
        known = _Known(
            0.0, 0.0, identity, expires, jti if isinstance(jti, str) else None, float(claims.get("iat", 0.0)), key.id
        )
        self._check_revoked(known)
        while len(self._known) >= REMEMBER_MOST:
            self._known.popitem(last=False)
        self._remember(digest, known)
        return identity

    def _again(self, digest: bytes, known: _Known) -> Identity:
        if not any(source.find(known.kid) for source in self._sources):
            raise self._refuse("the token is not believed")
        self._check_revoked(known)
        self._remember(digest, known)
        return known.identity

    def _remember(self, digest: bytes, known: _Known) -> None:
        now = self._wall()
        if now < known.expires:
            self._known[digest] = known._replace(since=now, until=min(now + RECHECK_SECONDS, known.expires))

    def _check_revoked(self, known: _Known) -> None:
        if self._revoked is None:
            return
        try:
            taken_back = self._revoked(known.jti, known.identity.subject or "", known.issued)
        except HeadwaterError:
            raise
        except Exception as error:
            raise AuthUnavailable("whether the token was revoked cannot be told now") from error
        if taken_back is not False:
            raise self._refuse("the token was revoked")

    def _check(self, claims: Mapping[str, Any], now: float) -> float:
        """Check times and addressees; return when the token ends."""
        expires = check_times(claims, now, self._refuse)
        if self._issuer is not None and claims.get("iss") != self._issuer:
            raise self._refuse("the token is not believed: it comes from another issuer")
        audience = claims.get("aud")
        named = audience if isinstance(audience, list) else [audience]
        if self._audience is not None and self._audience not in named:
            raise self._refuse("the token is not believed: it is for another audience")
        return expires


def check_times(claims: Mapping[str, Any], now: float, refuse: type[Denied]) -> float:
    """Return when a token ends. Raises what `refuse` makes for one that is not valid now."""
    expires: Any = claims.get("exp")
    begins: Any = claims.get("nbf", 0)
    issued: Any = claims.get("iat", 0)
    if not is_time(expires) or not is_time(begins) or not is_time(issued):
        raise refuse("the token is not believed: it has no proper exp")
    if now > expires + LEEWAY_SECONDS:
        raise refuse("the token has expired")
    if now < begins - LEEWAY_SECONDS or now < issued - LEEWAY_SECONDS:
        raise refuse("the token is not valid yet")
    return float(expires)


def is_time(value: Any) -> bool:
    """Whether a claim is a point in time."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 2**53


def identity_of(claims: Mapping[str, Any]) -> Identity | None:
    """Return whom claims speak of; None when they are malformed, or claim a name that no token can give.

    Roles from `roles`, scopes from `scope` (separated by spaces) or `scp` (so, or a list), the tenant from `tenant`.
    """
    subject, tenant = claims.get("sub"), claims.get("tenant")
    roles, scopes = _names(claims.get("roles", [])), _scopes(claims)
    if not isinstance(subject, str) or not 0 < len(subject) <= NAME_CHARS_MOST or roles is None or scopes is None:
        return None
    if subject == SYSTEM.subject or subject.startswith(SERVICE_PREFIX):
        return None  # what the application is to itself, and what services are to each other, no user's token says
    if tenant is not None and not (isinstance(tenant, str) and 0 < len(tenant) <= NAME_CHARS_MOST):
        return None
    return Identity(subject=subject, roles=roles, tenant=tenant, scopes=scopes)


def _scopes(claims: Mapping[str, Any]) -> tuple[str, ...] | None:
    given = claims.get("scope", claims.get("scp", ""))
    return tuple(given.split()) if isinstance(given, str) else _names(given)


def _names(given: Any) -> tuple[str, ...] | None:
    return tuple(given) if isinstance(given, list) and all(isinstance(name, str) for name in given) else None

"""Keys that signed tokens are verified with, each for one algorithm, and the one place that verifies.

Shared secrets need nothing but the standard library; public keys need joserfc (extra `auth`).

A token cannot choose how it is checked: its key decides. What a token says about where a key is to be
found (`jku`, `x5u`, `jwk`, `x5c`) is never looked at.
"""

from __future__ import annotations

import base64
import binascii
import importlib.util
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import msgspec

from headwater.adapters import hs256
from headwater.errors import ConfigurationError, MissingExtra

__all__ = ["ALGORITHMS", "FixedKeys", "Key", "KeySource", "decode", "encode", "from_jwk", "require_library"]

ALGORITHMS = ("HS256", "RS256", "PS256", "ES256", "Ed25519", "EdDSA")
"""EdDSA is the older name of Ed25519 (RFC 9864); tokens of either name are accepted by a key of either."""
SECRET_BYTES_LEAST = 32
RSA_BITS_LEAST = 2048
RSA_BITS_MOST = 8192
_KINDS = {"RS256": "RSAKey", "PS256": "RSAKey", "ES256": "ECKey", "Ed25519": "OKPKey"}
_BY_KTY = {"RSA": ("RS256", "PS256"), "EC": ("ES256",), "OKP": ("Ed25519",)}


class Key(NamedTuple):
    """A shared secret, or a key of the library, and the one algorithm it is for."""

    id: str
    algorithm: str
    key: Any


class KeySource(Protocol):
    """Where a verifier finds the keys that may have signed a token."""

    def find(self, kid: str | None) -> Sequence[Key]:
        """Return the keys of this id, or all of them when a token names none; none if unknown.

        Raises AuthUnavailable when the keys cannot be known now.
        """
        ...


class FixedKeys:
    """Keys that were given at start: id to (algorithm, key). A key is a shared secret (HS256) or PEM.

    Raises ConfigurationError for a key that does not fit its algorithm, MissingExtra when the library is needed and
    not there.
    """

    def __init__(self, keys: Mapping[str, tuple[str, bytes]]) -> None:
        self._keys = {name: from_bytes(name, algorithm, key) for name, (algorithm, key) in keys.items()}

    def find(self, kid: str | None) -> Sequence[Key]:
        """Return the keys of this id, or all."""
        if kid is None:
            return tuple(self._keys.values())
        return (self._keys[kid],) if kid in self._keys else ()


def require_library(what: str) -> None:
    """Raise MissingExtra unless the library is installed."""
    if importlib.util.find_spec("joserfc") is None:
        raise MissingExtra(what, "auth")


def from_bytes(name: str, algorithm: str, key: bytes) -> Key:
    """Read a secret or PEM. Raises ConfigurationError when it is not a key for the algorithm, MissingExtra."""
    if algorithm not in ALGORITHMS:
        raise ConfigurationError(f"key {name!r}: algorithm {algorithm!r} is not one of {', '.join(ALGORITHMS)}")
    if algorithm == "HS256":
        if len(key) < SECRET_BYTES_LEAST or b"-----BEGIN" in key:
            raise ConfigurationError(f"key {name!r}: a secret for HS256 has at least 32 bytes, and is no PEM")
        return Key(name, algorithm, key)
    require_library(f"tokens signed with {algorithm}")
    from joserfc import jwk

    one = "Ed25519" if algorithm == "EdDSA" else algorithm
    try:
        made = getattr(jwk, _KINDS[one]).import_key(key)
        _check_fits(made, one)
    except Exception:  # the library's errors, and those of the one below it, have no base of their own
        raise ConfigurationError(f"key {name!r} is not a key for {algorithm}") from None
    return Key(name, one, made)


def from_jwk(document: Mapping[str, Any], allowed: Sequence[str]) -> Key | None:
    """Read one public key of a JSON Web Key Set; None for what is not for verifying with an allowed algorithm."""
    from joserfc import jwk

    kid, kty, said = document.get("kid", ""), document.get("kty"), document.get("alg")
    operations = document.get("key_ops", ["verify"])
    if document.get("use", "sig") != "sig" or not isinstance(operations, list) or "verify" not in operations:
        return None
    if not isinstance(kid, str) or not isinstance(kty, str) or "d" in document:
        return None
    fitting = [a for a in _BY_KTY.get(kty, ()) if a in allowed or (a == "Ed25519" and "EdDSA" in allowed)]
    if said is not None:
        said = "Ed25519" if said == "EdDSA" else said
        fitting = [said] if said in fitting else []
    if not fitting:
        return None
    bare = {name: value for name, value in document.items() if name in ("kty", "n", "e", "crv", "x", "y")}
    try:
        made = getattr(jwk, _KINDS[fitting[0]]).import_key(bare)
        _check_fits(made, fitting[0])
    except Exception:  # as above; one bad key of a set is no reason to lose the others
        return None
    return Key(kid, fitting[0], made)


def _check_fits(key: Any, algorithm: str) -> None:
    if algorithm in ("RS256", "PS256"):
        bits = key.public_key.key_size
        if not RSA_BITS_LEAST <= bits <= RSA_BITS_MOST:
            raise ValueError
    elif key.curve_name != {"ES256": "P-256", "Ed25519": "Ed25519"}[algorithm]:
        raise ValueError


def decode(token: str, sources: Sequence[KeySource], types: Sequence[str]) -> tuple[dict[str, Any], Key] | None:
    """Return a token's claims and the key that signed it; None when it is not believed.

    types: the values of `typ` that are taken, in lower case; "" for a token that says none. Raises AuthUnavailable.
    """
    head = _head(token)
    if head is None or "crit" in head or "b64" in head:
        return None
    kid, algorithm, kind = head.get("kid"), head.get("alg"), head.get("typ", "")
    if not isinstance(kind, str) or kind.lower().removeprefix("application/") not in types:
        return None
    if not isinstance(algorithm, str) or (kid is not None and not isinstance(kid, str)):
        return None
    algorithm = "Ed25519" if algorithm == "EdDSA" else algorithm
    for source in sources:
        for key in source.find(kid):
            claims = _verified(token, key) if key.algorithm == algorithm else None
            if claims is not None:
                return claims, key
    return None


def encode(header: Mapping[str, Any], claims: Mapping[str, Any], key: Key) -> str:
    """Return a signed token."""
    head = {**header, "alg": key.algorithm, "kid": key.id}
    if key.algorithm == "HS256":
        return hs256.sign(head, claims, key.key)
    from joserfc import jwt

    return jwt.encode(head, dict(claims), key.key, algorithms=[key.algorithm])


def _head(token: str) -> dict[str, Any] | None:
    text = token.partition(".")[0].encode()
    try:
        head = msgspec.json.decode(base64.urlsafe_b64decode(text + b"=" * (-len(text) % 4)))
    except (ValueError, RecursionError, binascii.Error, msgspec.MsgspecError):
        return None
    return head if isinstance(head, dict) else None


def _verified(token: str, key: Key) -> dict[str, Any] | None:
    if key.algorithm == "HS256":
        return hs256.verified(token, key.key)
    from joserfc import jwt

    try:
        return dict(jwt.decode(token, key.key, registry=_registry(key.algorithm)).claims)
    except Exception:  # why it does not hold is nobody's business
        return None


_registries: dict[str, Any] = {}


def _registry(algorithm: str) -> Any:
    """Return the library's rules for one algorithm; for Ed25519 the older name counts too."""
    made = _registries.get(algorithm)
    if made is None:
        from joserfc.jws import JWSRegistry

        class Rules(JWSRegistry):
            max_header_length = 4096

            def get_alg(self, name: str) -> Any:
                return super().get_alg("Ed25519" if name == "EdDSA" else name)

        made = _registries[algorithm] = Rules(algorithms=[algorithm], strict_check_header=False)
    return made

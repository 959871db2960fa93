"""API keys: long random secrets for programs, of which only a digest is kept.

The secret is 256 bits of chance, so one SHA-256 protects it; slow hashes are for what people make up.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import tomllib
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from headwater.adapters.watched import Watched
from headwater.errors import ConfigurationError, Denied
from headwater.model.identity import SYSTEM, Identity
from headwater.ports import Clock

__all__ = ["ApiKey", "ApiKeys", "new_api_key"]

_FORM = re.compile(r"hw_([a-z0-9]{12})_([A-Za-z0-9_-]{43})")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_ID_LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"
_NOBODY = "0" * 64


class ApiKey(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is kept of a key. sha256: of the secret, in hex. expires: with an offset; never, if left out."""

    sha256: str
    subject: str
    roles: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ()
    tenant: str | None = None
    expires: datetime | None = None


class ApiKeys:
    """Verifies keys against a TOML file with one line for each: `id = {sha256 = "...", subject = "..."}`.

    A line that is taken out counts no more after a second. Raises what `refuse` makes for a key that is not believed.
    """

    def __init__(self, path: Path, *, clock: Clock, refuse: type[Denied]) -> None:
        self._keys = Watched(path, _read, clock=clock)
        self._wall = clock.wall
        self._refuse = refuse

    def verify(self, token: str) -> Identity:
        """Return whose key it is."""
        parts = _FORM.fullmatch(token)
        if parts is None:
            raise self._refuse("the key is not believed")
        found = self._keys.get().get(parts[1])
        digest = hashlib.sha256(parts[2].encode()).hexdigest()
        same = hmac.compare_digest(digest, _NOBODY if found is None else found[0].sha256)
        if found is None or not same:
            raise self._refuse("the key is not believed")
        key, identity = found
        if key.expires is not None and self._wall() >= key.expires.timestamp():
            raise self._refuse("the key has expired")
        return identity


def new_api_key(
    subject: str, *, roles: tuple[str, ...] = (), scopes: tuple[str, ...] = (), tenant: str | None = None,
    expires: datetime | None = None,
) -> tuple[str, str]:
    """Return a new key, and the line of the file that lets it in. Raises ConfigurationError."""
    if not subject.isprintable() or not subject or subject == SYSTEM.subject or subject.startswith("service:"):
        raise ConfigurationError(f"subject {subject!r} is not one that comes from outside: name a person or a program")
    name = "".join(secrets.choice(_ID_LETTERS) for _ in range(12))
    secret = secrets.token_urlsafe(32)
    said = [f"sha256 = {_text(hashlib.sha256(secret.encode()).hexdigest())}", f"subject = {_text(subject)}"]
    listed = (("roles", roles), ("scopes", scopes))
    said += [f"{what} = [{', '.join(map(_text, names))}]" for what, names in listed if names]
    said += [] if tenant is None else [f"tenant = {_text(tenant)}"]
    said += [] if expires is None else [f"expires = {expires.astimezone(UTC).isoformat(timespec='seconds')}"]
    return f"hw_{name}_{secret}", f"{name} = {{{', '.join(said)}}}"


def _text(value: str) -> str:
    return msgspec.json.encode(value).decode()  # what JSON writes in a string, TOML reads so


def _read(data: bytes) -> dict[str, tuple[ApiKey, Identity]]:
    tables = tomllib.loads(data.decode())
    try:
        keys = msgspec.convert(tables, dict[str, ApiKey])
    except msgspec.ValidationError as error:
        raise ValueError(f"{error}; write a line as `headwater key new` prints it") from None
    for name, key in keys.items():
        if not _DIGEST.fullmatch(key.sha256) or key.sha256 == _NOBODY:
            raise ValueError(f"{name}: sha256 is 64 hex digits in lower case, as `headwater key new` prints them")
        if not key.subject or key.subject == SYSTEM.subject or key.subject.startswith("service:"):
            raise ValueError(f"{name}: subject {key.subject!r} is not one that comes from outside")
        if key.expires is not None and key.expires.tzinfo is None:
            raise ValueError(f"{name}: expires says no offset; write 2027-01-01T00:00:00Z")
    return {
        name: (k, Identity(subject=k.subject, roles=k.roles, tenant=k.tenant, scopes=k.scopes))
        for name, k in keys.items()
    }

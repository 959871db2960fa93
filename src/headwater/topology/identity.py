"""Who verifies credentials for an application, put together from what the topology says."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from headwater.adapters.api_keys import ApiKeys, new_api_key
from headwater.adapters.jwt import JwtVerifier, Revoked
from headwater.adapters.revoked import RevokedFile
from headwater.edge.auth import NoVerifier, Schemes, Verifier
from headwater.edge.problems import Unauthenticated
from headwater.errors import ConfigurationError, MissingExtra
from headwater.model.app import App
from headwater.ports import Clock
from headwater.topology.file import Auth
from headwater.topology.secrets import Secret

if TYPE_CHECKING:
    from headwater.adapters.jwks import Fetch, JwksKeys

__all__ = ["Identification", "identification", "new_api_key"]

LOOK_AT_FILE_SECONDS = 5.0


class Identification:
    """Turns credentials into identities while it runs. Before `start`, fetched keys are not there yet."""

    def __init__(self, verifier: Schemes, keys: JwksKeys | None = None) -> None:
        self.verifier = verifier
        self._keys = keys

    async def start(self) -> None:
        """Fetch keys, and go on fetching them. Never raises for keys that cannot be had: then nobody is let in."""
        if self._keys is not None:
            await self._keys.start()

    async def stop(self) -> None:
        """Fetch no more."""
        if self._keys is not None:
            await self._keys.stop()


def identification(
    app: App, auth: Auth, keys: Mapping[str, tuple[str, Secret[bytes]]], *, folder: Path, clock: Clock,
    revoked: Revoked | None = None,
) -> Identification:
    """Return what turns credentials into identities.

    keys: those that are given here, id to (algorithm, key). folder: what `file:` is relative to. revoked: asked besides
    the file of revoked tokens. Raises ConfigurationError for what does not fit together, MissingExtra when a route asks
    for a token and the library that a key needs is not installed.
    """
    try:
        fetched = _fetched(auth, folder, clock)
        bearer: Verifier = _bearer(auth, keys, fetched, folder, clock, revoked)
    except MissingExtra:
        if any(route.auth is not None and route.auth.kind != "public" for api in app.apis for route in api.routes):
            raise
        fetched, bearer = None, NoVerifier()
    api_keys = None
    if auth.api_keys is not None:
        api_keys = ApiKeys(_path(auth.api_keys, folder), clock=clock, refuse=Unauthenticated)
    return Identification(Schemes(bearer, api_key=api_keys), fetched)


def _bearer(
    auth: Auth, keys: Mapping[str, tuple[str, Secret[bytes]]], fetched: JwksKeys | None, folder: Path, clock: Clock,
    hook: Revoked | None,
) -> Verifier:
    listed = None if auth.revoked is None else RevokedFile(_path(auth.revoked, folder), clock=clock)
    verifier = JwtVerifier(
        {name: (algorithm, secret.reveal()) for name, (algorithm, secret) in keys.items()}, clock=clock,
        refuse=Unauthenticated, issuer=auth.issuer, audience=auth.audience,
        sources=() if fetched is None else (fetched,), revoked=_either(listed, hook),
    )
    if fetched is not None:
        fetched.changed = verifier.forget
    return verifier


def _either(first: Revoked | None, second: Revoked | None) -> Revoked | None:
    if first is None or second is None:
        return first or second
    return lambda jti, subject, issued: first(jti, subject, issued) or second(jti, subject, issued)


def _fetched(auth: Auth, folder: Path, clock: Clock) -> JwksKeys | None:
    if auth.jwks is None and not auth.discover:
        return None
    if auth.jwks is not None and auth.discover:
        raise ConfigurationError("auth.jwks and auth.discover both say where the keys are: keep one of them")
    if auth.issuer is None or auth.audience is None:
        raise ConfigurationError("fetched keys are for one issuer and one audience: set auth.issuer and auth.audience")
    from headwater.adapters.jwks import JwksKeys

    fetch, every = _fetch(auth, folder)
    return JwksKeys(fetch, clock=clock, algorithms=auth.algorithms, every=every, stale=auth.stale)


def _fetch(auth: Auth, folder: Path) -> tuple[Fetch, float]:
    from headwater.adapters.jwks import discovered, from_file, from_url
    from headwater.adapters.outbound import Outbound

    if auth.jwks is not None and auth.jwks.startswith("file:"):
        return from_file(_path(auth.jwks, folder)), min(auth.refresh, LOOK_AT_FILE_SECONDS)
    url = auth.jwks or auth.issuer or ""
    outbound = Outbound(
        (urlsplit(url).netloc, *auth.hosts), private=auth.private, plain=auth.plain, authority=_authority(auth, folder)
    )
    return (discovered(outbound, url) if auth.discover else from_url(outbound, url)), auth.refresh


def _authority(auth: Auth, folder: Path) -> str | None:
    if auth.authority is None:
        return None
    path = _path(auth.authority, folder)
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"the certificates in {path} cannot be read: {error}") from None


def _path(reference: str, folder: Path) -> Path:
    return folder / reference.removeprefix("file:")

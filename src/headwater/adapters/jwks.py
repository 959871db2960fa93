"""Keys that somebody else publishes and changes: a JSON Web Key Set, from a file or an identity provider.

They are fetched in the background; looking one up never waits. As long as no keys have been had, or
the last ones are too old, nothing is believed and nobody is let in.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from headwater.adapters.keys import Key, from_jwk, require_library
from headwater.adapters.outbound import Outbound, OutboundRefused
from headwater.errors import AuthUnavailable, HeadwaterError
from headwater.ports import Clock

__all__ = ["Fetch", "JwksKeys", "discovered", "from_file", "from_url"]

Fetch = Callable[[], Awaitable[bytes]]
KEYS_MOST = 64
FILE_BYTES_MOST = 512 * 1024
RETRY_SECONDS = 5.0
log = logging.getLogger("headwater.auth")


class BadKeySet(HeadwaterError):
    """What was fetched is not a key set, or has no key that could be used."""

    code = "bad-key-set"


class _KeySet(msgspec.Struct):
    keys: list[dict[str, Any]]


class _Provider(msgspec.Struct):
    issuer: str
    jwks_uri: str


class JwksKeys:
    """The keys of one key set.

    every: seconds between two looks. gap: seconds between two looks that unknown key ids bring about. stale: how long
    keys count when no newer ones can be had. algorithms: those that a key may be for. changed: called when the
    keys are others than before.
    """

    def __init__(
        self, fetch: Fetch, *, clock: Clock, algorithms: Sequence[str] = ("RS256", "PS256", "ES256", "Ed25519"),
        every: float = 300.0, gap: float = 10.0, stale: float = 86_400.0, changed: Callable[[], object] | None = None,
    ) -> None:
        require_library("fetching keys")
        self._fetch = fetch
        self._clock = clock
        self._algorithms = tuple(a for a in algorithms if a != "HS256")  # a published secret is none
        self._every = every
        self._gap = gap
        self._stale = stale
        self.changed = changed
        self._keys: dict[str, tuple[Key, ...]] | None = None
        self._said: dict[str, tuple[Any, ...]] = {}
        self._good_until = 0.0
        self._looked = float("-inf")
        self._looking = False
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def find(self, kid: str | None) -> Sequence[Key]:
        """Return the keys of this id, or all of them. An unknown id brings about a look, now and then.

        Raises AuthUnavailable before there were any keys, when they are too old, and while a look for an unknown id
        is under way.
        """
        keys, now = self._keys, self._clock.monotonic()
        if keys is None or now >= self._good_until:
            raise AuthUnavailable("the keys that tokens are verified with cannot be had now")
        if kid is None:
            return tuple(key for several in keys.values() for key in several)
        found = keys.get(kid)
        if found is not None:
            return found
        if not self._looking and self._task is not None and now - self._looked >= self._gap:
            self._looking = True
            self._looked = now
            self._wake.set()
        if self._looking:
            raise AuthUnavailable("the token's key is being looked for")
        return ()

    async def start(self) -> None:
        """Look once, then go on looking. What goes wrong is told in the log, and nobody is let in."""
        await self._look()
        self._task = asyncio.create_task(self._run(), name="headwater-keys")

    async def stop(self) -> None:
        """Look no more."""
        if self._task is not None:
            task, self._task = self._task, None
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _run(self) -> None:
        good = self._keys is not None
        while True:
            wait = self._every if good else min(self._every, RETRY_SECONDS)
            timer = self._clock.call_at(self._clock.monotonic() + wait, self._wake.set)
            try:
                await self._wake.wait()
            finally:
                timer.cancel()
            self._wake.clear()
            good = await self._look()

    async def _look(self) -> bool:
        self._looking = True
        self._looked = self._clock.monotonic()
        try:
            found = _read(await self._fetch(), self._algorithms)
        except HeadwaterError as error:
            log.warning("keys for tokens cannot be had: %s", error)
            return False
        except Exception:
            log.exception("keys for tokens cannot be had")
            return False
        else:
            self._take(found)
            return True
        finally:
            self._looking = False

    def _take(self, found: dict[str, tuple[Key, ...]]) -> None:
        said = {kid: tuple((k.algorithm, k.key.thumbprint()) for k in several) for kid, several in found.items()}
        different = self._keys is not None and said != self._said
        self._keys, self._said = found, said
        self._good_until = self._clock.monotonic() + self._stale
        if different and self.changed is not None:
            self.changed()


def from_url(outbound: Outbound, url: str) -> Fetch:
    """Return what fetches a key set from a URL."""
    return lambda: outbound.get(url)


def discovered(outbound: Outbound, issuer: str) -> Fetch:
    """Return what fetches the key set of an OpenID provider, by its discovery document.

    The document must name the very issuer that was asked; its `jwks_uri` is asked only if its host is allowed.
    """

    async def fetch() -> bytes:
        raw = await outbound.get(issuer.rstrip("/") + "/.well-known/openid-configuration")
        try:
            provider = msgspec.json.decode(raw, type=_Provider)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            raise BadKeySet(f"{issuer} did not answer with a discovery document") from None
        if provider.issuer != issuer:
            raise OutboundRefused(f"{issuer} says that it is another issuer; write exactly what it calls itself")
        return await outbound.get(provider.jwks_uri)

    return fetch


def from_file(path: Path) -> Fetch:
    """Return what reads a key set from a file."""

    def read() -> bytes:
        try:
            with path.open("rb") as file:
                return file.read(FILE_BYTES_MOST + 1)
        except OSError as error:
            raise BadKeySet(f"{path} cannot be read: {error.strerror}") from None

    return lambda: asyncio.to_thread(read)


def _read(data: bytes, algorithms: Sequence[str]) -> dict[str, tuple[Key, ...]]:
    if len(data) > FILE_BYTES_MOST:
        raise BadKeySet("the key set is too long")
    try:
        document = msgspec.json.decode(data, type=_KeySet)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        raise BadKeySet("what was fetched is not a JSON Web Key Set") from None
    if len(document.keys) > KEYS_MOST:
        raise BadKeySet(f"the key set has more than {KEYS_MOST} keys")
    found: dict[str, tuple[Key, ...]] = {}
    for entry in document.keys:
        key = from_jwk(entry, algorithms)
        if key is not None:
            found[key.id] = (*found.get(key.id, ()), key)
    if not found:
        raise BadKeySet("the key set has no key that tokens could be verified with")
    return found

"""Small GET requests to hosts that were named beforehand, such as an identity provider. Nothing else goes out.

The address is checked after its name was resolved and the connection goes to that very address, so a
name cannot point elsewhere a moment later. Certificates are always verified; nothing turns that off.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import ssl
from collections.abc import Collection, Coroutine
from typing import Any, Protocol
from urllib.parse import urlsplit

import httptools

from headwater.adapters.addresses import permitted, reads_as_number
from headwater.errors import HeadwaterError

__all__ = ["Outbound", "OutboundFailed", "OutboundRefused", "Resolve"]

SECONDS = 5.0
BODY_BYTES_MOST = 512 * 1024
HEAD_BYTES_MOST = 16 * 1024
ADDRESSES_MOST = 4
_URL = re.compile(r"(https?)://([a-z0-9.-]{1,253}|\[[0-9a-f:.]{2,45}\])(:\d{1,5})?(/[!-~]*)?")


class OutboundFailed(HeadwaterError):
    """The other side did not answer as it should."""

    code = "outbound-failed"


class OutboundRefused(OutboundFailed):
    """The request was not made: its address is not one that may be asked."""

    code = "outbound-refused"


class Resolve(Protocol):
    """Looks up a name."""

    def __call__(self, host: str, port: int, /) -> Coroutine[Any, Any, list[str]]:
        """Return the addresses of a host."""
        ...


class Outbound:
    """Asks allowed hosts, by HTTPS.

    hosts: `name` or `name:port`, exact. private: those of them whose addresses may be in the own network, or this
    machine. plain: those on this machine that may be asked without TLS. authority: certificates (PEM) to believe in
    place of the system's. Names are resolved by `resolve`, by default the system.
    """

    def __init__(
        self, hosts: Collection[str], *, private: Collection[str] = (), plain: Collection[str] = (),
        authority: str | None = None, seconds: float = SECONDS, bytes_most: int = BODY_BYTES_MOST,
        resolve: Resolve | None = None,
    ) -> None:
        self._hosts = frozenset(hosts)
        self._private = frozenset(private)
        self._plain = frozenset(plain)
        self._seconds = seconds
        self._bytes_most = bytes_most
        self._resolve = resolve or _system_resolve
        self._authority = authority
        self._tls: ssl.SSLContext | None = None

    async def get(self, url: str) -> bytes:
        """Return the body of a 200 answer that says it is JSON.

        Raises OutboundRefused for what may not be asked, OutboundFailed for every other end: no connection, another
        status (redirects are not followed), too slow, too long, not as the protocol wants it.
        """
        tls, host, port, target = self._read(url)
        try:
            async with asyncio.timeout(self._seconds):
                reader, writer = await self._connect(host, port, tls=tls)
                try:
                    return await self._ask(reader, writer, host, port, target)
                finally:
                    writer.transport.abort()  # whatever else it would like to say: this is over
        except TimeoutError:
            raise OutboundFailed(f"{host} did not answer within {self._seconds} s") from None
        except (OSError, ssl.SSLError) as error:
            said = getattr(error, "verify_message", "") or getattr(error, "strerror", "") or type(error).__name__
            raise OutboundFailed(f"{host} cannot be asked: {said}") from None

    def _read(self, url: str) -> tuple[bool, str, int, str]:
        """Take a URL apart. Raises OutboundRefused."""
        match = _URL.fullmatch(url)
        if match is None or "#" in url or "\\" in url:
            raise OutboundRefused("the URL is not https://host/path in plain lower-case form, without user or fragment")
        try:
            parts = urlsplit(url)
            host, port = parts.hostname or "", parts.port or (443 if match[1] == "https" else 80)
        except ValueError:
            raise OutboundRefused("the URL has no proper host or port") from None
        named = {match[2] + (match[3] or ""), f"{match[2]}:{port}"}
        if not named & self._hosts:
            raise OutboundRefused(f"{match[2]}:{port} is not one of the hosts that may be asked: allow it by name")
        if reads_as_number(host):
            raise OutboundRefused(f"host {host!r} is a number that not everybody reads alike; write a name")
        if match[1] == "http" and not named & self._plain:
            raise OutboundRefused(f"{match[2]}:{port} may be asked by https only")
        target = parts.path or "/"
        return match[1] == "https", host, port, f"{target}?{parts.query}" if parts.query else target

    async def _connect(
        self, host: str, port: int, *, tls: bool
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect to the first of the checked addresses that answers in its part of the time."""
        addresses = await self._addresses(host, port, local=not tls)
        for at, address in enumerate(addresses, 1):
            try:
                async with asyncio.timeout(None if at == len(addresses) else self._seconds / len(addresses)):
                    return await asyncio.open_connection(
                        address, port, ssl=self._context() if tls else None, server_hostname=host if tls else None,
                        limit=HEAD_BYTES_MOST,
                    )
            except ssl.SSLError:
                raise
            except OSError:  # TimeoutError is one
                if at == len(addresses):
                    raise
        raise OutboundFailed(f"{host} has no address")

    async def _addresses(self, host: str, port: int, *, local: bool) -> list[str]:
        """Return the addresses to connect to. Raises OutboundRefused if any of the host's is not allowed."""
        named = {host, f"{host}:{port}", f"[{host}]", f"[{host}]:{port}"}
        private = bool(named & (self._private | self._plain))
        found = [ipaddress.ip_address(text) for text in await self._resolve(host, port)]
        for address in found:
            if not permitted(address, private=private) or (local and not address.is_loopback):
                raise OutboundRefused(f"{host} leads to an address that may not be asked")
        return [str(address) for address in found[:ADDRESSES_MOST]]

    def _context(self) -> ssl.SSLContext:
        if self._tls is None:
            made = ssl.create_default_context(cadata=self._authority)
            made.minimum_version = ssl.TLSVersion.TLSv1_2
            self._tls = made
        return self._tls

    async def _ask(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str, port: int, target: str
    ) -> bytes:
        name = f"[{host}]" if ":" in host else host
        writer.write(
            f"GET {target} HTTP/1.1\r\nhost: {name}:{port}\r\naccept: application/json\r\naccept-encoding: identity\r\n"
            "user-agent: headwater\r\nconnection: close\r\n\r\n".encode("ascii")
        )
        answer = _Answer(self._bytes_most)
        parser = httptools.HttpResponseParser(answer)
        while not answer.complete:
            data = await reader.read(16 * 1024)
            if not data:
                raise OutboundFailed(f"{host} hung up in the middle of its answer")
            try:
                answer.received(len(data))
                parser.feed_data(data)
            except httptools.HttpParserError as error:
                if isinstance(error.__context__, OutboundFailed):
                    raise error.__context__ from None
                raise OutboundFailed(f"{host} did not answer in proper HTTP/1.1") from None
            if answer.headed:
                answer.check(parser.get_status_code(), host)
        return b"".join(answer.body)


class _Answer:
    """Collects what the parser finds."""

    def __init__(self, bytes_most: int) -> None:
        self.body: list[bytes] = []
        self.headed = self.complete = False
        self._headers: dict[bytes, bytes] = {}
        self._most = bytes_most
        self._size = self._raw = 0

    def received(self, size: int) -> None:
        """Count what came, with all its wrapping."""
        self._raw += size
        if not self.headed and self._raw > HEAD_BYTES_MOST + 16 * 1024:
            raise OutboundFailed("the head of the answer is too long")
        if self._raw > 2 * (self._most + HEAD_BYTES_MOST):
            raise OutboundFailed("the answer is too long")

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header."""
        self._headers[name.lower()] = value

    def on_headers_complete(self) -> None:
        """The head is complete."""
        self.headed = True

    def on_body(self, body: bytes) -> None:
        """A piece of the body."""
        self._size += len(body)
        if self._size > self._most:
            raise OutboundFailed(f"the answer is longer than {self._most} bytes")
        self.body.append(body)

    def on_message_complete(self) -> None:
        """The end."""
        self.complete = True

    def check(self, status: int, host: str) -> None:
        """Raise OutboundFailed unless the head is that of an answer to be read."""
        if status != 200:
            more = "; redirects are not followed" if 300 <= status < 400 else ""
            raise OutboundFailed(f"{host} answered {status}{more}")
        kind = self._headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
        if not kind.startswith(b"application/") or not kind.endswith(b"json"):
            raise OutboundFailed(f"{host} did not answer with JSON")
        if self._headers.get(b"content-encoding", b"identity").lower() != b"identity":
            raise OutboundFailed(f"{host} answered compressed, unasked")


async def _system_resolve(host: str, port: int) -> list[str]:
    import socket

    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))

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

from headwater.adapters.addresses import permitted, reads_as_number
from headwater.errors import HeadwaterError

__all__ = ["Outbound", "OutboundFailed", "OutboundRefused", "Resolve"]

SECONDS = 5.0
BODY_BYTES_MOST = 512 * 1024
HEAD_BYTES_MOST = 16 * 1024
ADDRESSES_MOST = 4
_STATUS = re.compile(rb"HTTP/1\.[01] (\d{3})(?: [\t\x20-\x7e\x80-\xff]*)?")
_HEADER = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*([\t\x20-\x7e\x80-\xff]*?)[ \t]*")
_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,8})(?:;[^\r\n]{0,200})?\r\n")
_DIGITS = re.compile(rb"\d{1,12}")
_ONCE = frozenset({b"content-length", b"transfer-encoding", b"content-type"})
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
        try:
            headers = await _head(reader, host)
            _check(headers, host)
            return await _body(reader, headers, self._bytes_most)
        except asyncio.IncompleteReadError:
            raise OutboundFailed(f"{host} hung up in the middle of its answer") from None
        except (asyncio.LimitOverrunError, ValueError):
            raise OutboundFailed(f"{host} did not answer in proper HTTP/1.1, or with too long a head") from None


Headers = dict[bytes, bytes]


async def _head(reader: asyncio.StreamReader, host: str) -> Headers:
    """Return the headers of a 200, names in lower case. Raises OutboundFailed; ValueError for what is not HTTP."""
    status = 100
    lines: list[bytes] = []
    while status < 200:  # interim answers come before the one that counts
        head = await reader.readuntil(b"\r\n\r\n")
        first, *lines = head[:-4].split(b"\r\n")
        found = _STATUS.fullmatch(first)
        if found is None:
            raise ValueError(first)
        status = int(found[1])
    if status != 200:
        more = "; redirects are not followed" if 300 <= status < 400 else ""
        raise OutboundFailed(f"{host} answered {status}{more}")
    headers: Headers = {}
    for line in lines:
        header = _HEADER.fullmatch(line)
        if header is None or (header[1].lower() in headers and header[1].lower() in _ONCE):
            raise ValueError(line)
        headers[header[1].lower()] = header[2]
    return headers


def _check(headers: Headers, host: str) -> None:
    """Raise OutboundFailed unless what follows is JSON as it is."""
    kind = headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
    if not kind.startswith(b"application/") or not kind.endswith(b"json"):
        raise OutboundFailed(f"{host} did not answer with JSON")
    if headers.get(b"content-encoding", b"identity").lower() != b"identity":
        raise OutboundFailed(f"{host} answered compressed, unasked")


async def _body(reader: asyncio.StreamReader, headers: Headers, most: int) -> bytes:
    """Return the body, at most so many bytes. Raises OutboundFailed; ValueError for bad framing."""
    length, coding = headers.get(b"content-length"), headers.get(b"transfer-encoding")
    if coding is not None:
        if coding.lower() != b"chunked" or length is not None:
            raise ValueError(coding)
        return await _chunks(reader, most)
    if length is not None:
        if not _DIGITS.fullmatch(length):
            raise ValueError(length)
        if int(length) > most:
            raise OutboundFailed(f"the answer is longer than {most} bytes")
        return await reader.readexactly(int(length))
    body = bytearray()  # it ends with the connection
    while part := await reader.read(16 * 1024):
        body += part
        if len(body) > most:
            raise OutboundFailed(f"the answer is longer than {most} bytes")
    return bytes(body)


async def _chunks(reader: asyncio.StreamReader, most: int) -> bytes:
    body = bytearray()
    while True:
        line = await reader.readuntil(b"\r\n")
        found = _CHUNK.fullmatch(line)
        if found is None:
            raise ValueError(line)
        size = int(found[1], 16)
        if not size:
            return bytes(body)  # trailers are nothing to us, and the connection ends here
        if len(body) + size > most:
            raise OutboundFailed(f"the answer is longer than {most} bytes")
        body += await reader.readexactly(size)
        if await reader.readexactly(2) != b"\r\n":
            raise ValueError("a chunk's end")


async def _system_resolve(host: str, port: int) -> list[str]:
    import socket

    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))

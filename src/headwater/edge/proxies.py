"""Who the client is when proxies stand before us. Only those that were named are believed."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence

from headwater.edge.http import Request
from headwater.edge.problems import Rejected
from headwater.errors import ConfigurationError

__all__ = ["Proxies", "read_proxy_line"]

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_V2 = b"\r\n\r\n\x00\r\nQUIT\n"
_V1 = re.compile(
    rb"PROXY (?:(UNKNOWN)[^\r\n]*|TCP([46]) ([0-9a-fA-F:.]{2,45}) [0-9a-fA-F:.]{2,45} \d{1,5} \d{1,5})\r\n"
)
LINE_BYTES_MOST = 107


class Proxies:
    """The addresses and networks whose `Forwarded`, `X-Forwarded-For` and `X-Forwarded-Proto` headers count.

    "unix" stands for every client of a Unix socket. protocol: connections from them begin with the PROXY protocol,
    version 1 or 2. Raises ConfigurationError for what is no address.
    """

    def __init__(self, trusted: Sequence[str], *, protocol: bool = False) -> None:
        self.protocol = protocol
        self._local = "unix" in trusted
        self._networks: list[Network] = []
        self._seen: dict[str, bool] = {}
        for text in trusted:
            if text == "unix":
                continue
            try:
                self._networks.append(ipaddress.ip_network(text))
            except ValueError as error:
                raise ConfigurationError(
                    f"trusted proxy {text!r}: {error}; write '10.0.0.0/8', '::1' or 'unix'"
                ) from None

    def trusts(self, peer: str) -> bool:
        """Whether the client at this address is a named proxy."""
        if not peer:
            return self._local
        known = self._seen.get(peer)
        if known is None:
            known = self._judge(peer)
            if len(self._seen) >= 4096:
                self._seen.clear()
            self._seen[peer] = known
        return known

    def _judge(self, peer: str) -> bool:
        try:
            address = ipaddress.ip_address(peer)
        except ValueError:
            return False
        mapped = getattr(address, "ipv4_mapped", None)
        return any((mapped or address) in network for network in self._networks)

    def look_through(self, request: Request) -> None:
        """Put the address and scheme that a named proxy tells in place of its own."""
        if not self.trusts(request.peer):
            return
        proto = request.headers.get(b"x-forwarded-proto")
        if proto is not None:
            request.secure = proto.rsplit(b",", 1)[-1].strip().lower() == b"https"
        told = request.headers.get(b"x-forwarded-for")
        if told is None:
            return
        for hop in reversed(told.split(b",")):  # the nearest hop stands last
            text = hop.strip().decode("latin-1")
            try:
                request.peer = str(ipaddress.ip_address(text))
            except ValueError:
                return  # a name or an unknown: the last address that was one counts
            if not self.trusts(request.peer):
                return


def read_proxy_line(data: bytes) -> tuple[str | None, int] | None:
    """Return the client's address (None where it is not told) and where the line ends; None while it is incomplete.

    PROXY protocol, versions 1 and 2 (haproxy's proxy-protocol.txt). Raises Rejected for anything else.
    """
    if data.startswith(_V2[: len(data)]) and len(data) < 16:
        return None
    if data.startswith(_V2):
        return _read_v2(data)
    end = data.find(b"\r\n", 0, LINE_BYTES_MOST)
    if end < 0:
        if len(data) >= LINE_BYTES_MOST or not b"PROXY ".startswith(data[:6]):
            raise _bad()
        return None
    match = _V1.fullmatch(data[: end + 2])
    if match is None:
        raise _bad()
    return (None if match[1] else _address(match[3].decode()), end + 2)


def _read_v2(data: bytes) -> tuple[str | None, int] | None:
    version, family, length = data[12], data[13], int.from_bytes(data[14:16], "big")
    if version >> 4 != 2 or version & 15 > 1 or length > 1024:
        raise _bad()
    end = 16 + length
    if len(data) < end:
        return None
    size = {1: 4, 2: 16}.get(family >> 4)
    if version & 15 == 0 or size is None:  # the proxy's own health check, or a family without addresses
        return None, end
    if length < 2 * size + 4:
        raise _bad()
    return str(ipaddress.ip_address(data[16 : 16 + size])), end


def _address(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        raise _bad() from None


def _bad() -> Rejected:
    return Rejected(400, "bad-proxy-line", "the connection does not begin with the PROXY protocol")

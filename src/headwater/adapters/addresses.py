"""Which network addresses the application may connect to on somebody's word."""

from __future__ import annotations

import ipaddress

__all__ = ["Address", "inner", "permitted", "reads_as_number"]

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_METADATA = (ipaddress.ip_address("169.254.169.254"), ipaddress.ip_address("fd00:ec2::254"))


def inner(address: Address) -> Address:
    """Return the IPv4 address that an IPv6 address leads to (mapped, 6to4, Teredo, NAT64), else the address."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if address.teredo is not None:
        return address.teredo[1]
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address


def permitted(address: Address, *, private: bool) -> bool:
    """Whether to connect. private: the host was allowed by name to lie in the own network.

    Never: link-local addresses, where clouds keep their metadata, and what is no host's address.
    """
    found = inner(address)
    if found in _METADATA or found.is_link_local or found.is_multicast or found.is_unspecified:
        return False
    if isinstance(address, ipaddress.IPv6Address) and (address.scope_id is not None or address.is_site_local):
        return False
    return found.is_global or (private and (found.is_loopback or (found.is_private and not found.is_reserved)))


def reads_as_number(host: str) -> bool:
    """Whether a host is a number, or ends in one, that some resolvers take for an address: 0, 0x7f.1, 2130706433.

    Not so: four decimal numbers without leading zeros, which everybody reads alike.
    """
    try:
        return str(ipaddress.ip_address(host)) != host
    except ValueError:
        last = host.rstrip(".").rpartition(".")[2]
        return last[:1].isdigit() or not last

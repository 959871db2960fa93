"""Tokens signed with a shared secret: HMAC-SHA256 over a header and claims (RFC 7515, RFC 7518 section 3.2).

One call of the standard library makes and checks them. A general library would load all its ciphers and certificates
for that, which takes longer than everything else a small application loads, and would have to be installed.
"""

from __future__ import annotations

import base64
import hmac
from collections.abc import Mapping
from typing import Any

import msgspec

__all__ = ["sign", "verified"]


def sign(header: Mapping[str, Any], claims: Mapping[str, Any], secret: bytes) -> str:
    """Return a token; its header says HS256."""
    told = {**header, "alg": "HS256"}
    signed = f"{_text(msgspec.json.encode(told))}.{_text(msgspec.json.encode(claims))}"
    return f"{signed}.{_mac(signed.encode(), secret)}"


def verified(token: str, secret: bytes) -> dict[str, Any] | None:
    """Return the claims of a token that was signed with this secret; None for any other text.

    What its header says is not looked at. A signature has one spelling: padding or stray bits make it another text.
    """
    signed, _, signature = token.rpartition(".")
    if signed.count(".") != 1 or not token.isascii():
        return None
    if not hmac.compare_digest(_mac(signed.encode(), secret), signature):
        return None
    try:
        text = signed.partition(".")[2]
        claims = msgspec.json.decode(base64.b64decode(text + "=" * (-len(text) % 4), b"-_", validate=True))
    except (ValueError, RecursionError, msgspec.MsgspecError):  # signed, and malformed all the same
        return None
    return claims if isinstance(claims, dict) else None


def _mac(signed: bytes, secret: bytes) -> str:
    return _text(hmac.digest(secret, signed, "sha256"))


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")

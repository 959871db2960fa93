"""Headers that keep browsers from doing more with an answer than it is for."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Sequence

__all__ = ["api_headers", "nonce", "page_headers", "source_hash"]

_NONE, _SELF = "'none'", "'self'"
Headers = tuple[tuple[bytes, bytes], ...]
_HSTS = (b"strict-transport-security", b"max-age=63072000; includeSubDomains")
_ALWAYS: Headers = (
    (b"x-content-type-options", b"nosniff"),
    (b"cross-origin-resource-policy", b"same-origin"),
)


def api_headers(*, tls: bool, cors: bool = False) -> Headers:
    """Return the headers of every answer that is data: nothing in it runs, loads or is framed.

    tls: the client came by TLS, so from now on it may not come otherwise. cors: pages of other origins may read it.
    """
    policy = (b"cross-origin-resource-policy", b"cross-origin" if cors else b"same-origin")
    return (
        _ALWAYS[0], policy, (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
        (b"referrer-policy", b"no-referrer"), *((_HSTS,) if tls else ()),
    )


def page_headers(
    *, tls: bool, scripts: Sequence[str] = (), styles: Sequence[str] = (), events: bool = False
) -> Headers:
    """Return the headers of an HTML page of our own.

    scripts, styles: what may run, as `'nonce-...'` from `nonce` or `'sha256-...'` from `source_hash`; without any,
    none may, and nothing written into an attribute does. events: the page asks its own origin for more.
    """
    rules = [
        "default-src 'none'", f"script-src {' '.join(scripts) or _NONE}", f"style-src {' '.join(styles) or _NONE}",
        "img-src 'self' data:", f"connect-src {_SELF if events else _NONE}", f"form-action {_SELF}",
        "base-uri 'none'", "frame-ancestors 'none'", "object-src 'none'", "require-trusted-types-for 'script'",
    ]
    return (
        *_ALWAYS, (b"content-security-policy", "; ".join(rules).encode()), (b"referrer-policy", b"no-referrer"),
        (b"cross-origin-opener-policy", b"same-origin"), (b"x-frame-options", b"DENY"),
        (b"permissions-policy", b"camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
        *((_HSTS,) if tls else ()),
    )


def nonce(draw: Callable[[int], bytes]) -> str:
    """Return a word that only one answer knows, for its own inline scripts; `'nonce-WORD'` in the policy.

    draw: the operating system's chance, `os.urandom`; never that of the `Random` port, which a simulation repeats.
    """
    return base64.urlsafe_b64encode(draw(18)).decode()


def source_hash(text: str) -> str:
    """Return what allows one inline script or style by its content: `'sha256-...'`."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"

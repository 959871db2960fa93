"""Who may ask the admin listener. Browsers reach loopback too, and carry out what any page tells them.

- Where other machines can reach it, a token is needed: `Authorization: Bearer TOKEN`, or the password of Basic, which
  browsers ask people for.
- Without a token, a request must name this machine as its host. A foreign name that was made to point here
  (DNS rebinding) is refused.
- What another site's page asks for is refused, except a plain link that somebody follows.
- Whatever changes something must come from our own origin and, where no form of ours sends it, carry a header that no
  form can send.
"""

from __future__ import annotations

import base64
import binascii
import hmac

from headwater.edge.http import Request
from headwater.edge.problems import Rejected
from headwater.errors import ConfigurationError, Denied
from headwater.model.secret import Secret

__all__ = ["LOOPBACK", "MARK", "Access"]

LOOPBACK = ("127.0.0.1", "::1", "localhost")
MARK = b"headwater-admin"
"""A header that only programs send."""
TOKEN_BYTES_LEAST = 16
_SAFE = ("GET", "HEAD")
_CHALLENGE = (b"www-authenticate", b'Bearer, Basic realm="headwater", charset="UTF-8"')


class Access:
    """Decides by head and address alone. `host` is where the listener is bound.

    Raises ConfigurationError when others could ask without a token, or guess it.
    """

    def __init__(self, host: str, token: Secret[bytes] | None) -> None:
        if token is None and host not in LOOPBACK:
            raise ConfigurationError(
                f"the admin listener at {host!r} can be reached from other machines: set admin.token in the topology "
                'file to "env:NAME" or "file:path", or bind it to 127.0.0.1'
            )
        if token is not None and len(token.reveal()) < TOKEN_BYTES_LEAST:
            raise ConfigurationError(
                f"admin.token is shorter than {TOKEN_BYTES_LEAST} bytes and could be guessed; use a longer one"
            )
        self._token = token
        self._names = {f"[{name}]" if ":" in name else name for name in (*LOOPBACK, host)}

    def check(self, request: Request) -> None:
        """Raise Rejected or Denied for a request that may not ask."""
        if self._token is None:
            self._check_host(request)
        else:
            self._check_token(request, self._token.reveal())
        self._check_site(request)

    def check_mark(self, request: Request) -> None:
        """Raise Denied for a change that a form could have sent."""
        if request.header(MARK) is None:
            raise Denied(f"a change needs the header {MARK.decode()}: 1, which no other site's page can send")

    def _check_host(self, request: Request) -> None:
        host = (request.header(b"host") or b"").decode("latin-1").lower()
        name, colon, port = host.rpartition(":")
        if not colon or not port.isdigit():
            name = host
        if name not in self._names:
            raise Rejected(421, "wrong-host", "the admin listener answers to this machine's own names only")

    def _check_token(self, request: Request, token: bytes) -> None:
        shown = _shown(request.header(b"authorization") or b"")
        if not hmac.compare_digest(shown, token):
            raise Rejected(401, "unauthenticated", "the admin token is needed", (_CHALLENGE,))

    def _check_site(self, request: Request) -> None:
        site = request.header(b"sec-fetch-site")
        followed = request.method in _SAFE and request.header(b"sec-fetch-mode") == b"navigate"
        if site not in (None, b"same-origin", b"none") and not followed:
            raise Denied("another site's page has asked for this")
        if request.method not in _SAFE:
            origin = request.header(b"origin")
            if origin is not None and origin.partition(b"://")[2] != request.header(b"host"):
                raise Denied("another site's page has asked for this")


def _shown(header: bytes) -> bytes:
    scheme, _, value = header.partition(b" ")
    value = value.strip()
    if scheme.lower() == b"bearer":
        return value
    if scheme.lower() == b"basic":
        try:
            return base64.b64decode(value, validate=True).partition(b":")[2]
        except binascii.Error:
            return b""
    return b""

"""Who may ask the admin listener: decided by head and address alone."""

from __future__ import annotations

import base64

import pytest

from headwater.edge.http import Request
from headwater.edge.problems import Rejected
from headwater.errors import ConfigurationError, Denied
from headwater.model.secret import Secret
from headwater.ops.access import Access

TOKEN = b"a-token-of-so-many-bytes"
OPEN = Access("127.0.0.1", None)
LOCKED = Access("10.0.0.5", Secret(TOKEN))


def request(method: str = "GET", **headers: str | bytes | None) -> Request:
    """Return a request; an underscore in a header's name stands for a hyphen. host: this machine, unless said."""
    given = {"host": "localhost:9000", **headers}
    found = {
        name.replace("_", "-").encode(): value.encode() if isinstance(value, str) else value
        for name, value in given.items() if value is not None
    }
    return Request(method=method, path=b"/snapshot", query=b"", headers=found)


def basic(words: bytes) -> bytes:
    return b"Basic " + base64.b64encode(words)


# --- where it may be ------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.5", "192.168.1.2", "example.org", "127.0.0.1.nip.io", ""])
def test_others_need_a_token(host: str) -> None:
    with pytest.raises(ConfigurationError, match=r"admin\.token") as found:
        Access(host, None)
    assert host in str(found.value)
    Access(host, Secret(TOKEN))


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_this_machine_needs_none(host: str) -> None:
    Access(host, None)


def test_a_token_cannot_be_guessed() -> None:
    """And is not told when it is refused."""
    with pytest.raises(ConfigurationError, match="16 bytes") as found:
        Access("127.0.0.1", Secret(b"hunter2hunter2!"))
    assert "hunter2" not in str(found.value)
    Access("127.0.0.1", Secret(b"hunter2hunter2!!"))


# --- names ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["localhost", "localhost:9000", "LOCALHOST:1", "127.0.0.1:9000", "[::1]:9000", "[::1]"])
def test_own_names_are_answered(host: str) -> None:
    OPEN.check(request(host=host))


@pytest.mark.parametrize(
    "host", [
        None, "", "evil.example", "evil.example:9000", "localhost.evil.example", "127.0.0.1.evil.example:9000",
        "evil.example:127.0.0.1", "localhost:evil", "10.0.0.5", "localhost, evil.example", "localhost@evil.example:9000",
    ],
)
def test_foreign_names_that_lead_here_are_not(host: str | None) -> None:
    """DNS rebinding."""
    with pytest.raises(Rejected) as found:
        OPEN.check(request(host=host))
    assert (found.value.status, found.value.problem_code) == (421, "wrong-host")


# --- tokens ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("shown", [b"Bearer " + TOKEN, b"bearer  " + TOKEN, basic(b"anybody:" + TOKEN), basic(b":" + TOKEN)])
def test_the_token_opens(shown: bytes) -> None:
    """Under whatever name: people use the one that they have."""
    LOCKED.check(request(host="metrics.internal", authorization=shown))


@pytest.mark.parametrize(
    "shown", [
        None, b"", b"Bearer", b"Bearer ", TOKEN, b"Bearer " + TOKEN[:-1], b"Bearer " + TOKEN + b"x", b"Basic ???",
        b"Basic", basic(TOKEN), basic(TOKEN + b":"), basic(b"a:b:" + TOKEN), b"Digest " + TOKEN, b"Bearer \xff\xfe",
        b"Bearer " + TOKEN + b", Bearer " + TOKEN,
    ],
)
def test_nothing_else_does(shown: bytes | None) -> None:
    """Also from this machine, and the answer says how to ask."""
    with pytest.raises(Rejected) as found:
        LOCKED.check(request(authorization=shown))
    assert found.value.status == 401
    (challenge,) = found.value.headers
    assert challenge[0] == b"www-authenticate"
    assert TOKEN not in str(found.value).encode()


# --- other sites' pages ---------------------------------------------------------------------------


@pytest.mark.parametrize("site", ["same-origin", "none", None])
def test_our_own_pages_and_typed_addresses_may_ask(site: str | None) -> None:
    OPEN.check(request(sec_fetch_site=site))
    OPEN.check(request("POST", sec_fetch_site=site, origin="http://localhost:9000"))


@pytest.mark.parametrize("site", ["cross-site", "same-site", "something-new"])
def test_pages_of_other_sites_may_not(site: str) -> None:
    """Another port of this machine is the same site, and still not us. A link may be followed, a form not sent."""
    with pytest.raises(Denied):
        OPEN.check(request(sec_fetch_site=site))
    with pytest.raises(Denied):
        OPEN.check(request(sec_fetch_site=site, sec_fetch_mode="cors"))
    OPEN.check(request(sec_fetch_site=site, sec_fetch_mode="navigate"))
    with pytest.raises(Denied):
        OPEN.check(request("POST", sec_fetch_site=site, sec_fetch_mode="navigate"))


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://localhost:8000", "http://localhost", "localhost:9000", ""])
def test_a_change_comes_from_our_own_origin(origin: str) -> None:
    """Browsers that say nothing of sites send at least this."""
    with pytest.raises(Denied):
        OPEN.check(request("POST", origin=origin))


def test_a_token_makes_no_difference_to_other_sites() -> None:
    """A browser that was given the password sends it along with whatever any page asks for."""
    with pytest.raises(Denied):
        LOCKED.check(request("POST", authorization=b"Bearer " + TOKEN, sec_fetch_site="cross-site"))


def test_a_mark_that_no_form_can_send() -> None:
    with pytest.raises(Denied, match="headwater-admin"):
        OPEN.check_mark(request("POST"))
    OPEN.check_mark(request("POST", headwater_admin="1"))

"""Tokens with a shared secret: ours are what another library reads, its are what we read, and nothing else is."""

from __future__ import annotations

import base64
import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jwt
from joserfc.jwk import OctKey

from headwater.adapters import hs256

SECRET = b"a secret of thirty-two bytes, ok"
CLAIMS = {"sub": "ada", "exp": 1_700_000_060, "roles": ["staff"], "note": "\u00fc\U0001f600"}
TOKEN = hs256.sign({"kid": "one"}, CLAIMS, SECRET)


def by_hand(claims: bytes) -> str:
    text = ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in (b'{"alg":"HS256"}', claims))
    mac = hmac.new(SECRET, text.encode(), hashlib.sha256).digest()
    return f"{text}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"


def test_another_library_reads_ours() -> None:
    read = jwt.decode(TOKEN, OctKey.import_key(SECRET), algorithms=["HS256"])
    assert read.claims == CLAIMS
    assert read.header == {"alg": "HS256", "kid": "one"}


def test_we_read_those_of_another_library() -> None:
    made = jwt.encode({"alg": "HS256", "typ": "JWT"}, CLAIMS, OctKey.import_key(SECRET), algorithms=["HS256"])
    assert hs256.verified(made, SECRET) == CLAIMS


def test_another_secret_is_not_believed() -> None:
    assert hs256.verified(TOKEN, SECRET[::-1]) is None
    assert hs256.verified(TOKEN, b"") is None


@given(at=st.integers(0, len(TOKEN) - 1), char=st.characters())
def test_a_changed_character_is_noticed(at: int, char: str) -> None:
    """In the last one too, where some bits of base64 mean nothing: a token has one spelling."""
    changed = TOKEN[:at] + char + TOKEN[at + 1 :]
    assert (hs256.verified(changed, SECRET) is None) == (changed != TOKEN)


@pytest.mark.parametrize(
    "token", [
        "", ".", "..", "...", "a.b", TOKEN + "=", TOKEN + "\n", " " + TOKEN, TOKEN + ".", "." + TOKEN, TOKEN + ".a.b",
        TOKEN.rpartition(".")[0] + ".", TOKEN.replace(".", "", 1), "\ud800." + TOKEN.partition(".")[2], "\u0661" * 40,
    ],
)
def test_what_is_no_token_is_not_believed(token: str) -> None:
    assert hs256.verified(token, SECRET) is None


@pytest.mark.parametrize("claims", [b"", b"[]", b"1", b"null", b"{", b"\xff", b'{"a":NaN}', b"[" * 3000])
def test_what_was_signed_and_holds_no_claims_is_not_believed(claims: bytes) -> None:
    assert hs256.verified(by_hand(claims), SECRET) is None


@given(claims=st.dictionaries(st.text(), st.one_of(st.text(), st.booleans(), st.integers(-(2**53), 2**53)), max_size=5))
def test_what_was_signed_comes_back(claims: dict[str, object]) -> None:
    assert hs256.verified(hs256.sign({}, claims, SECRET), SECRET) == claims

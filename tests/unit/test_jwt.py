"""Bearer tokens: the good ones of every algorithm are believed, and each kind of forgery is not."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import warnings
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey

from headwater.adapters.jwt import JwtVerifier
from headwater.adapters.revoked import RevokedFile
from headwater.adapters.system import SystemClock
from headwater.edge.auth import guard
from headwater.edge.http import Request
from headwater.edge.problems import Unauthenticated, problem_of
from headwater.errors import AuthUnavailable, ConfigurationError, Denied
from headwater.model.api import authenticated, public, role

SECRET = b"a secret of thirty-two bytes, ok"
NOW = 1_700_000_000.0
RSA = RSAKey.generate_key(2048)
EC = ECKey.generate_key("P-256")
OKP = OKPKey.generate_key("Ed25519")
PEM = RSA.as_pem(private=False)
KEYS = {
    "hs": ("HS256", SECRET), "rs": ("RS256", PEM), "es": ("ES256", EC.as_pem(private=False)),
    "ed": ("EdDSA", OKP.as_pem(private=False)),
}
CLAIMS: dict[str, Any] = {"sub": "ada", "roles": ["staff"], "exp": NOW + 60, "iss": "house", "aud": "shop"}
GOOD = {"alg": "HS256", "kid": "hs"}


class Clock(SystemClock):
    at = NOW

    def wall(self) -> float:
        return self.at

    def monotonic(self) -> float:
        return self.at


def verifier(**options: Any) -> JwtVerifier:
    return JwtVerifier(KEYS, clock=Clock(), refuse=Unauthenticated, issuer="house", audience="shop", **options)


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def signed(header: Any = GOOD, claims: Any = CLAIMS, *, secret: bytes = SECRET, digest: str = "sha256") -> str:
    """Sign by hand, whatever the parts may be."""
    parts = [part if isinstance(part, bytes) else json.dumps(part).encode() for part in (header, claims)]
    text = ".".join(map(b64, parts))
    return f"{text}.{b64(hmac.new(secret, text.encode(), digest).digest())}"


def claims(**changes: Any) -> dict[str, Any]:
    return {name: value for name, value in {**CLAIMS, **changes}.items() if value is not ...}


def status(token: str) -> int:
    """Return the status of a route for those who are signed in."""
    request = Request("GET", b"/", b"", {b"authorization": b"Bearer " + token.encode()}, b"")
    try:
        guard(authenticated, verifier())(request)
    except Denied as error:
        return problem_of(error, "r").status
    return 200


# The name is deprecated for "Ed25519" (RFC 9864), but it is what issuers still write.
@pytest.mark.filterwarnings("ignore:EdDSA is deprecated")
@pytest.mark.parametrize(
    ("header", "key"),
    [
        (GOOD, OctKey.import_key(SECRET)), ({"alg": "RS256", "kid": "rs"}, RSA), ({"alg": "ES256", "kid": "es"}, EC),
        ({"alg": "EdDSA", "kid": "ed"}, OKP), ({"alg": "RS256"}, RSA), ({"alg": "RS256", "typ": "at+jwt"}, RSA),
    ],
)
def test_a_good_token_tells_who_asks(header, key):
    """Each algorithm works, with and without a key id; a second look comes from memory."""
    token = jwt.encode(header, CLAIMS, key, algorithms=["HS256", "RS256", "ES256", "EdDSA"])
    mine = verifier()
    assert mine.verify(token) == mine.verify(token)
    assert (mine.verify(token).subject, mine.verify(token).roles) == ("ada", ("staff",))


def test_the_hand_made_good_token_is_believed():
    """The forgeries below differ from a token that is believed."""
    assert status(signed()) == 200
    assert status(signed(claims=claims(aud=["other", "shop"], nbf=NOW + 10, exp=NOW - 10, tenant="t"))) == 200


HEAD, BODY, SIGNATURE = signed().split(".")
FLIPPED = ("B" if SIGNATURE[0] == "A" else "A") + SIGNATURE[1:]
FORGED = {
    "no signature": f"{HEAD}.{BODY}.",
    "two parts": f"{HEAD}.{BODY}",
    "alg none": ".".join([b64(json.dumps({"alg": "none"}).encode()), BODY, ""]),
    "alg None with the id of a key": ".".join([b64(json.dumps({"alg": "None", "kid": "hs"}).encode()), BODY, SIGNATURE]),
    "another secret": signed(secret=b"b" * 32),
    "empty secret": signed(secret=b""),
    "public key as the secret": signed({"alg": "HS256", "kid": "rs"}, secret=PEM),
    "public key as the secret, no key id": signed({"alg": "HS256"}, secret=PEM),
    "algorithm of another key": signed({"alg": "HS256", "kid": "es"}),
    "stronger algorithm than allowed": signed({"alg": "HS512", "kid": "hs"}, digest="sha512"),
    "no algorithm": signed({"kid": "hs"}),
    "unknown key": signed({"alg": "HS256", "kid": "other"}),
    "key id that is a path": signed({"alg": "HS256", "kid": "../../dev/null"}),
    "key id that is a list": signed({"alg": "HS256", "kid": ["hs"]}),
    "its own key along": signed(
        {"alg": "HS256", "jwk": {"kty": "oct", "k": b64(b"b" * 32)}}, secret=b"b" * 32
    ),
    "key to be fetched": signed({"alg": "HS256", "jku": "http://127.0.0.1:1/keys"}, secret=b"b" * 32),
    "critical extension": signed({**GOOD, "crit": ["exp"]}),
    "another type": signed({**GOOD, "typ": "secevent+jwt"}),
    "changed claims": ".".join([HEAD, b64(json.dumps(claims(sub="root")).encode()), SIGNATURE]),
    "changed header": ".".join([b64(json.dumps({**GOOD, "typ": "JWT"}).encode()), BODY, SIGNATURE]),
    "changed signature": f"{HEAD}.{BODY}.{FLIPPED}",
    "cut signature": f"{HEAD}.{BODY}.{SIGNATURE[:-4]}",
    "expired": signed(claims=claims(exp=NOW - 31)),
    "no expiry": signed(claims=claims(exp=...)),
    "expiry as text": signed(claims=claims(exp=str(NOW + 60))),
    "expiry true": signed(claims=claims(exp=True)),
    "expiry NaN": signed(claims=claims(exp=float("nan"))),
    "never expires": signed(claims=claims(exp=float("inf"))),
    "not yet": signed(claims=claims(nbf=NOW + 31)),
    "begins as text": signed(claims=claims(nbf="soon")),
    "begins NaN": signed(claims=claims(nbf=float("nan"))),
    "another issuer": signed(claims=claims(iss="elsewhere")),
    "no issuer": signed(claims=claims(iss=...)),
    "list of issuers": signed(claims=claims(iss=["house"])),
    "another audience": signed(claims=claims(aud="bank")),
    "no audience": signed(claims=claims(aud=...)),
    "no subject": signed(claims=claims(sub=...)),
    "subject as number": signed(claims=claims(sub=1)),
    "role as text": signed(claims=claims(roles="staff")),
    "roles of numbers": signed(claims=claims(roles=[1])),
    "claims that are a list": signed(claims=[1]),
    "claims that are no JSON": signed(claims=b"{"),
    "header that is no JSON": signed(b"{"),
    "header that is a list": signed([]),
    "header nested deep": signed(b"[" * 4_000),
    "encrypted": ".".join([b64(b'{"alg":"dir","enc":"A128GCM"}'), "", b64(b"x" * 12), BODY, SIGNATURE]),
    "not base64": "%%%.%%%.%%%",
    "empty": "",
    "dots": "..",
    "blank": " ",
    "too long": f"{HEAD}.{BODY}.{'A' * 10_000}",
    "two tokens": f"{signed()}, {signed()}",
}


@pytest.mark.parametrize("token", FORGED.values(), ids=FORGED)
def test_a_forged_token_is_a_401(token):
    """No kind of forgery is believed, and none is more than a 401."""
    assert status(token) == 401


@pytest.mark.parametrize(
    "value", [b"Basic YTpi", b"Bearer", b"bearer", signed().encode(), b"Bearer \xff\xff", b"", b"Token " + signed().encode()]
)
def test_another_scheme_is_a_401_also_where_everybody_may_come_in(value):
    """A credential that cannot be read is refused, not ignored."""
    request = Request("GET", b"/", b"", {b"authorization": value}, b"")
    for auth in (public, authenticated, role("staff")):
        with pytest.raises(Unauthenticated) as caught:
            guard(auth, verifier())(request)
        response = problem_of(caught.value, "r")
        assert (response.status, dict(response.headers)[b"www-authenticate"]) == (401, b"Bearer")


def test_roles_decide_between_200_and_403():
    """A known caller without the role is told so, once the token is believed."""
    request = Request("GET", b"/", b"", {b"authorization": b"bearer " + signed().encode()}, b"")
    assert guard(role("owner", "staff"), verifier())(request).subject == "ada"
    with pytest.raises(Denied) as caught:
        guard(role("owner"), verifier())(request)
    assert problem_of(caught.value, "r").status == 403


def test_a_remembered_token_expires():
    """What was verified once is not believed beyond its time."""
    clock = Clock()
    mine = JwtVerifier(KEYS, clock=clock, refuse=Unauthenticated)
    token = signed()
    assert mine.verify(token).subject == "ada"
    clock.at = NOW + 60 + 31
    with pytest.raises(Unauthenticated):
        mine.verify(token)


@pytest.mark.parametrize(
    "key", [("HS256", b"short"), ("HS256", PEM), ("none", SECRET), ("HS512", SECRET * 2), ("RS256", SECRET), ("EdDSA", PEM)]
)
def test_a_weak_or_unfit_key_does_not_start(key):
    """Short secrets, public keys as secrets and keys of another kind are refused, naming the key."""
    with pytest.raises(ConfigurationError, match="'main'"):
        JwtVerifier({"main": key}, clock=Clock(), refuse=Unauthenticated)


@pytest.mark.parametrize("configured", ["EdDSA", "Ed25519"])
@pytest.mark.parametrize("named", ["EdDSA", "Ed25519"])
@pytest.mark.filterwarnings("ignore:EdDSA is deprecated")  # the library's word when it signs under the older name
def test_both_names_of_ed25519_are_one_algorithm(configured, named):
    """RFC 9864 renamed it; issuers write either, and no warning is raised when one is verified."""
    key = {"ed": (configured, OKP.as_pem(private=False))}
    mine = JwtVerifier(key, clock=Clock(), refuse=Unauthenticated)
    token = jwt.encode({"alg": named, "kid": "ed"}, CLAIMS, OKP, algorithms=[named])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert mine.verify(token).subject == "ada"


@pytest.mark.parametrize(
    ("changes", "scopes"),
    [
        ({}, ()), ({"scope": "a b  c"}, ("a", "b", "c")), ({"scp": "a b"}, ("a", "b")), ({"scp": ["a", "b"]}, ("a", "b")),
        ({"scope": ""}, ()), ({"scope": "a", "scp": "b"}, ("a",)),
    ],
)
def test_scopes_come_from_scope_or_scp(changes, scopes):
    """Separated by spaces, or a list, as issuers write them."""
    assert verifier().verify(signed(claims=claims(**changes))).scopes == scopes


@pytest.mark.parametrize(
    "changes",
    [
        {"scope": 1}, {"scp": [1]}, {"scope": {"a": 1}}, {"roles": {"staff": True}}, {"tenant": 7}, {"tenant": ""}, {"sub": ""},
        {"sub": "x" * 257}, {"sub": "system"}, {"sub": "service:orders"}, {"iat": NOW + 61}, {"iat": "now"}, {"exp": 2**60},
        {"exp": -1}, {"nbf": [NOW]}, {"aud": ["bank"]}, {"aud": {"shop": 1}}, {"aud": []},
    ],
)
def test_claims_that_say_too_much_are_a_401(changes):
    """Also the names that only the application itself has: nobody signs in as `system` or as a service."""
    assert status(signed(claims=claims(**changes))) == 401


@pytest.mark.parametrize("typ", ["secevent+jwt", "hw-service+jwt", "dpop+jwt", "id", 7, None, ["JWT"]])
def test_a_token_of_another_type_is_a_401(typ):
    """What was signed for another purpose is not a bearer token."""
    assert status(signed({**GOOD, "typ": typ})) == 401


@pytest.mark.parametrize("typ", ["JWT", "jwt", "at+jwt", "application/at+jwt", "AT+JWT"])
def test_types_of_bearer_tokens_are_read_as_rfc_9068_says(typ):
    """Upper and lower case, with and without the prefix."""
    assert status(signed({**GOOD, "typ": typ})) == 200


@pytest.mark.parametrize(
    "more",
    [
        {"jku": "https://evil.example/keys"}, {"x5u": "https://evil.example/cert"}, {"x5t": "abc"},
        {"x5c": ["MIIB"]}, {"jwk": {"kty": "oct", "k": b64(b"b" * 32)}},
    ],
)
def test_what_a_token_says_about_keys_changes_nothing(more):
    """The good signature counts, and the bad one does not, whatever stands beside it."""
    assert status(signed({**GOOD, **more})) == 200
    assert status(signed({**GOOD, **more}, secret=b"b" * 32)) == 401


@pytest.mark.parametrize("extension", [["exp"], ["b64"], [], "exp", ["unknown"]])
def test_critical_extensions_are_refused(extension):
    """`crit` says that a token means something else than what we read; b64 too."""
    assert status(signed({**GOOD, "crit": extension, "b64": False})) == 401
    assert status(signed({**GOOD, "crit": extension})) == 401
    assert status(signed({**GOOD, "b64": False})) == 401


def test_the_clock_may_be_off_by_less_than_a_minute():
    """S14: half a minute is granted, a whole one is not."""
    assert status(signed(claims=claims(exp=NOW - 29))) == 200
    assert status(signed(claims=claims(exp=NOW - 59))) == 401
    assert status(signed(claims=claims(nbf=NOW + 29, iat=NOW + 29))) == 200
    assert status(signed(claims=claims(nbf=NOW + 59))) == 401


def test_memory_of_tokens_is_bounded_and_keeps_those_in_use(monkeypatch):
    """The one that is used stays; the one that was not goes."""
    monkeypatch.setattr("headwater.adapters.jwt.REMEMBER_MOST", 10)
    mine = verifier()
    used = signed(claims=claims(jti="used"))
    first = signed(claims=claims(jti="first"))
    mine.verify(used)
    mine.verify(first)
    for n in range(50):
        mine.verify(signed(claims=claims(jti=str(n))))
        mine.verify(used)
        assert len(mine._known) <= 10
    digests = {hashlib.sha256(text.encode()).digest() for text in (used, first)}
    assert digests & mine._known.keys() == {hashlib.sha256(used.encode()).digest()}


def test_memory_does_not_hold_tokens():
    """A dump of the process's memory of tokens shows digests."""
    mine = verifier()
    token = signed()
    mine.verify(token)
    assert token not in repr(mine._known)
    assert SIGNATURE not in repr(mine._known)


@pytest.mark.parametrize("by", ["jti j1", "sub ada", f"sub ada {int(NOW)}"])
def test_s15_a_revoked_token_is_refused_within_five_seconds(tmp_path, by):
    """Remembered or not; what is not on the list goes on."""
    path = tmp_path / "revoked"
    path.write_text("# nobody yet\n")
    clock = Clock()
    mine = JwtVerifier(KEYS, clock=clock, refuse=Unauthenticated, revoked=RevokedFile(path, clock=clock))
    token = signed(claims=claims(jti="j1", iat=NOW - 10, exp=NOW + 3600))
    other = signed(claims=claims(jti="j2", iat=NOW - 10, exp=NOW + 3600, sub="bob"))
    newer = signed(claims=claims(jti="j3", iat=NOW + 1, exp=NOW + 3600))
    assert {mine.verify(t).subject for t in (token, other, newer)} == {"ada", "bob"}
    path.write_text(f"\n# since today\n{by}\n")
    clock.at += 5
    with pytest.raises(Unauthenticated, match="revoked"):
        mine.verify(token)
    assert mine.verify(other).subject == "bob"
    if by != "sub ada":
        assert mine.verify(newer).subject == "ada"


def test_s24_a_list_of_revoked_tokens_that_cannot_be_read_lets_nobody_in(tmp_path):
    """For five seconds the last word counts; then 503, until there is a list again."""
    path = tmp_path / "revoked"
    path.write_text("")
    clock = Clock()
    mine = JwtVerifier(KEYS, clock=clock, refuse=Unauthenticated, revoked=RevokedFile(path, clock=clock))
    token = signed(claims=claims(exp=NOW + 3600))
    for broken in (path.unlink, lambda: path.write_text("jti\n"), lambda: path.write_bytes(b"\xff")):
        assert mine.verify(token).subject == "ada"
        broken()
        clock.at += 4
        assert mine.verify(token).subject == "ada"
        clock.at += 4
        with pytest.raises(AuthUnavailable):
            mine.verify(token)
        path.write_text("jti another\n")
        clock.at += 2
    assert mine.verify(token).subject == "ada"


@pytest.mark.parametrize("text", ["jti", "sub a b", "token abc", "sub ada -1", "\x00"])
def test_a_list_that_says_what_nobody_understands_does_not_start(tmp_path, text):
    """A slip of the pen would leave somebody in."""
    path = tmp_path / "revoked"
    path.write_text(text)
    with pytest.raises(ConfigurationError, match="line 1"):
        RevokedFile(path, clock=Clock())
    with pytest.raises(ConfigurationError, match="cannot be read"):
        RevokedFile(tmp_path / "none", clock=Clock())


def test_s15_a_hook_is_asked_every_other_second_and_its_failure_lets_nobody_in():
    """`revoked(jti, subject, issued)`: once for a new token, then now and then; anything but False refuses."""
    asked: list[tuple[str | None, str, float]] = []
    answers: list[Any] = [False]

    def revoked(jti: str | None, subject: str, issued: float) -> bool:
        asked.append((jti, subject, issued))
        if isinstance(answers[0], Exception):
            raise answers[0]
        return answers[0]

    clock = Clock()
    mine = JwtVerifier(KEYS, clock=clock, refuse=Unauthenticated, revoked=revoked)
    token = signed(claims=claims(jti="j1", iat=NOW, exp=NOW + 3600))
    for _ in range(100):
        mine.verify(token)
    assert asked == [("j1", "ada", NOW)]
    clock.at += 2.1
    mine.verify(token)
    assert len(asked) == 2
    for answer, error in ((True, Unauthenticated), (None, Unauthenticated), (OSError("down"), AuthUnavailable)):
        answers[0] = answer
        clock.at += 2.1
        with pytest.raises(error):
            mine.verify(token)


def test_a_clock_that_is_set_back_does_not_keep_a_revoked_token_alive():
    """What is remembered counts from when it was verified, not before."""
    clock, answers = Clock(), [False]
    mine = JwtVerifier(KEYS, clock=clock, refuse=Unauthenticated, revoked=lambda *_: answers[0])
    token = signed(claims=claims(exp=NOW + 7200, iat=NOW - 7200))
    mine.verify(token)
    answers[0] = True
    clock.at -= 3600
    with pytest.raises(Unauthenticated):
        mine.verify(token)

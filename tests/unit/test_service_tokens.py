"""Tokens between services: whose word it is, for whom, on whose behalf (S3, S17)."""

from __future__ import annotations

from base64 import urlsafe_b64decode
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, OctKey, OKPKey

from headwater.adapters.jwt import JwtVerifier
from headwater.adapters.service_tokens import Caller, ServiceSigner, ServiceVerifier
from headwater.adapters.system import SystemClock, SystemIds
from headwater.edge.problems import Unauthenticated, problem_of
from headwater.errors import ConfigurationError, Denied
from headwater.model.identity import ANONYMOUS, SYSTEM, Identity

NOW = 1_700_000_000.0
SECRET = b"a secret of thirty-two bytes, ok"
ED, EC = OKPKey.generate_key("Ed25519"), ECKey.generate_key("P-256")
KEYS = {"web": ("Ed25519", ED.as_pem(private=False)), "jobs": ("HS256", SECRET), "guest": ("ES256", EC.as_pem(private=False))}
ADA = Identity(subject="ada", roles=("staff",), tenant="north", scopes=("a", "b"))


class Clock(SystemClock):
    at = NOW

    def wall(self) -> float:
        return self.at


def signer(service: str = "web", algorithm: str = "Ed25519", key: Any = None) -> ServiceSigner:
    return ServiceSigner(service, algorithm, key or ED.as_pem(private=True), clock=Clock(), ids=SystemIds())


def verifier(clock: Clock | None = None, *, audience: str = "shop") -> ServiceVerifier:
    return ServiceVerifier(
        KEYS, audience=audience, allowed=("web", "jobs"), clock=clock or Clock(), refuse=Unauthenticated
    )


@pytest.mark.parametrize("identity", [ADA, ANONYMOUS, SYSTEM])
def test_s3_the_original_identity_comes_through(identity):
    """The service is named beside whom it works for; nothing of its own is added to them."""
    token = signer().mint("shop", identity)
    assert verifier().verify(token) == Caller("web", identity)
    assert verifier().verify(signer("jobs", "HS256", SECRET).mint("shop", identity)) == Caller("jobs", identity)


def test_s17_no_token_is_a_401_and_a_wrong_service_a_403():
    """A service that we know but do not let ask is told so."""
    guest = signer("guest", "ES256", EC.as_pem(private=True)).mint("shop", ADA)
    for token, status in ((None, 401), ("", 401), (guest, 403)):
        with pytest.raises(Denied) as caught:
            verifier().verify(token)
        assert problem_of(caught.value, "r").status == status


def forged(key: Any = ED, alg: str = "Ed25519", kid: str = "web", typ: str = "hw-service+jwt", **changes: Any) -> str:
    claims = {
        "iss": f"service:{kid}", "sub": f"service:{kid}", "aud": "shop", "iat": NOW, "exp": NOW + 30,
        "on_behalf_of": {"subject": "ada"}, **changes,
    }
    claims = {name: value for name, value in claims.items() if value is not ...}
    return jwt.encode({"alg": alg, "kid": kid, "typ": typ}, claims, key, algorithms=[alg])


FORGED = {
    "for another application": forged(aud="bank"),
    "for several": forged(aud=["shop", "bank"]),
    "for nobody": forged(aud=...),
    "one service as another": forged(sub="service:jobs", iss="service:jobs"),
    "with the key of another": forged(kid="jobs"),
    "a user's type": forged(typ="JWT"),
    "subject is a user": forged(sub="ada"),
    "expired": forged(iat=NOW - 100, exp=NOW - 31),
    "lives too long": forged(exp=NOW + 3600),
    "does not say since when": forged(iat=...),
    "does not expire": forged(exp=...),
    "on nobody's behalf": forged(on_behalf_of=...),
    "on a list's behalf": forged(on_behalf_of=[]),
    "roles as text": forged(on_behalf_of={"subject": "ada", "roles": "staff"}),
    "unknown service": forged(kid="other"),
    "secret of nobody": forged(OctKey.import_key(b"b" * 32), "HS256", "jobs"),
    "public key as a secret": forged(OctKey.import_key(urlsafe_b64decode(str(ED.as_dict()["x"]) + "=")), "HS256", "web"),
    "too long": "A" * 9000,
    "nothing": "..",
}


@pytest.mark.parametrize("token", FORGED.values(), ids=FORGED)
def test_a_forged_service_token_is_a_401(token):
    """What is not exactly a service's own, short word for us is not believed."""
    assert verifier().verify(forged()).service == "web"  # from which the forgeries differ
    with pytest.raises(Unauthenticated):
        verifier().verify(token)


def test_a_service_token_is_no_users_token_nor_the_other_way_round():
    """Even where both are verified with the same key."""
    users = JwtVerifier(KEYS, clock=Clock(), refuse=Unauthenticated)
    with pytest.raises(Unauthenticated):
        users.verify(signer().mint("shop", ADA))
    user = jwt.encode({"alg": "Ed25519", "kid": "web"}, {"sub": "ada", "exp": NOW + 30}, ED, algorithms=["Ed25519"])
    assert users.verify(user).subject == "ada"
    with pytest.raises(Unauthenticated):
        verifier().verify(user)


def test_a_token_lives_shortly():
    """Half a minute by default, two minutes at most, whatever was asked for."""
    for life, ends in ((30, 30), (86_400, 120), (0, 1)):
        token, clock = signer().mint("shop", ADA, life=life), Clock()
        clock.at = NOW + ends + 29
        assert verifier(clock).verify(token)
        clock.at = NOW + ends + 31
        with pytest.raises(Unauthenticated, match="expired"):
            verifier(clock).verify(token)


@pytest.mark.parametrize(("algorithm", "key"), [("HS256", b"short"), ("none", SECRET), ("Ed25519", b"no pem"), ("RS256", SECRET)])
def test_a_weak_key_does_not_sign(algorithm, key):
    """The same rules as for verifying."""
    with pytest.raises(ConfigurationError, match="'web'"):
        signer("web", algorithm, key)

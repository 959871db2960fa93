"""Keys that a provider publishes: found, changed, out of reach, and lied about (S14, S15, S24)."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey

from headwater import App, Module
from headwater.adapters.jwks import JwksKeys, discovered, from_file, from_url
from headwater.adapters.jwt import JwtVerifier
from headwater.adapters.outbound import Outbound
from headwater.adapters.system import SystemClock
from headwater.edge.problems import Unauthenticated, problem_of
from headwater.errors import AuthUnavailable, ConfigurationError, NotExecuted
from headwater.topology.file import Auth
from headwater.topology.identity import identification
from tests.integration.identity_provider import Provider, provider

KEYS = {name: RSAKey.generate_key(2048) for name in ("one", "two")}


class Clock(SystemClock):
    """The real one, that can be put forward."""

    ahead = 0.0

    def wall(self) -> float:
        return time.time() + self.ahead

    def monotonic(self) -> float:
        return time.monotonic() + self.ahead


@pytest.fixture(scope="module")
def idp(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Provider]:
    with provider(tmp_path_factory.mktemp("idp")) as running:
        yield running


def public(*names: str, **more: Any) -> dict[str, Any]:
    return {"keys": [{**KEYS[n].as_dict(private=False), "kid": n, "alg": "RS256", "use": "sig", **more} for n in names]}


def token(idp: Provider, kid: str = "one", *, alg: str = "RS256", key: Any = None, **changes: Any) -> str:
    claims = {"sub": "ada", "iss": idp.url, "aud": "shop", "exp": int(time.time()) + 600, "jti": "j1", **changes}
    return jwt.encode({"alg": alg, "kid": kid}, claims, key or KEYS[kid], algorithms=[alg])


@asynccontextmanager
async def verifying(idp: Provider, *, discover: bool = False, clock: Clock | None = None, **options: Any) -> AsyncIterator[Any]:
    """A verifier whose keys come from the provider."""
    clock = clock or Clock()
    outbound = Outbound([idp.host], private=[idp.host], authority=idp.authority, seconds=1.0)
    fetch = discovered(outbound, idp.url) if discover else from_url(outbound, f"{idp.url}/keys")
    keys = JwksKeys(fetch, clock=clock, **{"gap": 0.05, **options})
    verifier = JwtVerifier({}, clock=clock, refuse=Unauthenticated, issuer=idp.url, audience="shop", sources=[keys])
    keys.changed = verifier.forget
    await keys.start()
    try:
        yield verifier
    finally:
        await keys.stop()


def status(verifier: Any, text: str) -> int:
    try:
        verifier.verify(text)
    except NotExecuted as error:
        return problem_of(error, "r").status
    return 200


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("discover", [False, True])
async def test_a_published_key_verifies_tokens(idp, discover):
    """From the key set's URL, and by the issuer's discovery document."""
    idp.say(jwks=public("one"))
    async with verifying(idp, discover=discover) as mine:
        assert mine.verify(token(idp)).subject == "ada"
        assert status(mine, token(idp, iss="https://other.example")) == 401
        assert status(mine, token(idp, aud="bank")) == 401


async def test_every_kind_of_public_key_is_read(idp):
    """RSA, P-256 and Ed25519, with and without `alg`."""
    ec, okp = ECKey.generate_key("P-256"), OKPKey.generate_key("Ed25519")
    idp.say(jwks={"keys": [
        {**KEYS["one"].as_dict(private=False), "kid": "one"}, {**ec.as_dict(private=False), "kid": "ec"},
        {**okp.as_dict(private=False), "kid": "ed", "alg": "EdDSA"},
    ]})
    async with verifying(idp) as mine:
        for kid, alg, key in (("one", "RS256", KEYS["one"]), ("ec", "ES256", ec), ("ed", "Ed25519", okp)):
            assert status(mine, token(idp, kid, alg=alg, key=key)) == 200, kid


UNFIT: dict[str, dict[str, Any]] = {
    "a shared secret": {**OctKey.import_key(b"x" * 32).as_dict(), "kid": "one", "alg": "HS256"},
    "for encryption": public("one", use="enc")["keys"][0],
    "for signing only": public("one", key_ops=["sign"])["keys"][0],
    "another algorithm": public("one", alg="RS512")["keys"][0],
    "algorithm none": public("one", alg="none")["keys"][0],
    "algorithm of a secret": public("one", alg="HS256")["keys"][0],
    "short": {**KEYS["one"].as_dict(private=False), "kid": "one", "n": "wQ" + "A" * 168 + "EB"},
    "private": {**KEYS["one"].as_dict(private=True), "kid": "one"},
    "another curve": {**ECKey.generate_key("P-384").as_dict(private=False), "kid": "one"},
    "id is a number": {**KEYS["one"].as_dict(private=False), "kid": 1},
    "cut": {"kty": "RSA", "kid": "one", "e": "AQAB"},
}


@pytest.mark.filterwarnings("ignore:Key size should be")  # our own rule refuses it, whatever the library says
@pytest.mark.parametrize("key", UNFIT.values(), ids=UNFIT)
async def test_a_key_that_is_not_for_this_is_not_used(idp, key):
    """A set of nothing else counts as no set; beside a good key it changes nothing."""
    idp.say(jwks={"keys": [key, public("two")["keys"][0]]})
    async with verifying(idp) as mine:
        assert status(mine, token(idp, "two")) == 200
        assert mine._sources[1].find("two")
        assert list(mine._sources[1]._keys) == ["two"]
    idp.say(jwks={"keys": [key]})
    async with verifying(idp) as mine:
        assert status(mine, token(idp)) == 503


async def test_nobody_is_let_in_before_there_were_keys(idp):
    """S24: without keys the answer is 503, certainly not executed; with the first keys it goes on by itself."""
    idp.say(mode="broken", jwks=public("one"))
    async with verifying(idp, every=0.1) as mine:
        with pytest.raises(AuthUnavailable) as caught:
            mine.verify(token(idp))
        assert isinstance(caught.value, NotExecuted)
        answer = problem_of(caught.value, "r")
        assert (answer.status, dict(answer.headers)[b"retry-after"]) == (503, b"1")
        idp.say(jwks=public("one"))
        await until(lambda: status(mine, token(idp)) == 200)


@pytest.mark.parametrize("mode", ["missing", "broken", "redirect", "huge", "slow", "html", "cut", "nonsense", "gibberish"])
async def test_an_outage_leaves_the_last_good_keys(idp, mode):
    """S24: whatever the provider answers instead, known keys go on counting, and unknown ones do not."""
    idp.say(jwks=public("one"))
    async with verifying(idp, every=0.05) as mine:
        assert status(mine, token(idp)) == 200
        idp.say(jwks=public("one"), mode=mode)
        asked = len(idp.asked)
        await until(lambda: len(idp.asked) > asked + (mode != "slow"))
        mine.forget()
        assert status(mine, token(idp)) == 200
        assert status(mine, token(idp, "two")) in (401, 503)


async def test_keys_that_are_too_old_count_no_more(idp):
    """S24: an outage that lasts closes the door, for remembered tokens too."""
    idp.say(jwks=public("one"))
    clock = Clock()
    async with verifying(idp, clock=clock, stale=100.0) as mine:
        text = token(idp)
        assert status(mine, text) == 200
        clock.ahead = 99
        assert status(mine, text) == 200
        clock.ahead = 102
        assert status(mine, text) == 503


async def test_rotation_needs_no_restart(idp):
    """S15: a new key counts as soon as a token asks for it; a withdrawn one soon counts no more, remembered or not."""
    idp.say(jwks=public("one"))
    async with verifying(idp, every=3600.0) as mine:
        old = token(idp)
        assert status(mine, old) == 200
        idp.say(jwks=public("two"))
        await asyncio.sleep(0.06)
        assert status(mine, token(idp, "two")) == 503  # being looked for; the client asks again
        await until(lambda: status(mine, token(idp, "two")) == 200)
        await until(lambda: status(mine, old) == 401)


async def test_a_key_that_changes_under_its_name_drops_what_was_remembered(idp):
    """S15: the same id with another key is another key."""
    idp.say(jwks=public("one"))
    async with verifying(idp, every=0.05) as mine:
        old = token(idp)
        assert status(mine, old) == 200
        idp.say(jwks={"keys": [{**KEYS["two"].as_dict(private=False), "kid": "one"}]})
        await until(lambda: status(mine, old) == 401)


async def test_unknown_keys_do_not_make_us_ask_often(idp):
    """A flood of made-up key ids is one question in a while, and 401 for the rest."""
    idp.say(jwks=public("one"))
    async with verifying(idp, gap=3600.0) as mine:
        asked = len(idp.asked)
        answers = {status(mine, token(idp, f"made-up-{n}", key=KEYS["two"])) for n in range(50)}
        await asyncio.sleep(0.2)
        assert answers == {401}
        assert len(idp.asked) == asked
    async with verifying(idp, gap=0.0001, every=3600.0) as mine:
        asked = len(idp.asked)
        await asyncio.sleep(0.01)
        answers = [status(mine, token(idp, f"made-up-{n}", key=KEYS["two"])) for n in range(50)]
        assert set(answers) == {503}  # one look, for all of them
        await until(lambda: len(idp.asked) > asked)
        assert len(idp.asked) == asked + 1


@pytest.mark.parametrize(
    "issuer", ["https://elsewhere.example", "{url}/", "{URL}", "", None, ["{url}"]]
)
async def test_a_lying_issuer_is_not_believed(idp, issuer):
    """The discovery document names exactly the issuer that was asked, else nothing in it counts."""
    said = issuer.format(url=idp.url, URL=idp.url.upper()) if isinstance(issuer, str) else issuer
    idp.say(jwks=public("one"), issuer=said)
    async with verifying(idp, discover=True) as mine:
        assert status(mine, token(idp)) == 503
        assert not [path for path in idp.asked[-1:] if path.startswith("/keys")]


@pytest.mark.parametrize(
    "where", ["http://169.254.169.254/keys", "https://evil.example/keys", "https://{host}.evil.example/", "file:///etc/passwd", 7]
)
async def test_a_discovery_document_does_not_lead_elsewhere(idp, where):
    """S16: the key set's address is asked only where its host was named."""
    idp.say(jwks=public("one"), jwks_uri=where.format(host=idp.host) if isinstance(where, str) else where)
    async with verifying(idp, discover=True) as mine:
        assert status(mine, token(idp)) == 503


async def test_a_key_set_with_too_many_keys_is_none(idp):
    """Sixty-four are enough for everybody."""
    many = [{**public("one")["keys"][0], "kid": str(n)} for n in range(65)]
    idp.say(jwks={"keys": many})
    async with verifying(idp) as mine:
        assert status(mine, token(idp)) == 503


async def test_a_file_of_keys_is_looked_at_again(tmp_path: Path, idp):
    """Rotation by file: what is written counts without a restart; what is broken leaves the last good keys."""
    path = tmp_path / "keys.json"
    path.write_text(json.dumps(public("one")))
    clock = Clock()
    keys = JwksKeys(from_file(path), clock=clock, every=0.05)
    mine = JwtVerifier({}, clock=clock, refuse=Unauthenticated, issuer=idp.url, audience="shop", sources=[keys])
    keys.changed = mine.forget
    await keys.start()
    try:
        assert status(mine, token(idp)) == 200
        path.write_text("{")
        await asyncio.sleep(0.2)
        mine.forget()
        assert status(mine, token(idp)) == 200
        path.write_text(json.dumps(public("two")))
        await until(lambda: status(mine, token(idp, "two")) == 200)
        assert status(mine, token(idp)) in (401, 503)
    finally:
        await keys.stop()


async def test_the_topology_puts_it_together(tmp_path: Path, idp):
    """issuer and discover in the file are enough; a private host and its authority are named."""
    (tmp_path / "ca.pem").write_text(idp.authority)
    idp.say(jwks=public("one"))
    auth = Auth(issuer=idp.url, audience="shop", discover=True, private=(idp.host,), authority="file:ca.pem")
    assert not auth.development
    made = identification(App("shop", modules=[Module("orders")]), auth, {}, folder=tmp_path, clock=Clock())
    assert status(made.verifier, token(idp)) == 503
    await made.start()
    try:
        assert status(made.verifier, token(idp)) == 200
    finally:
        await made.stop()


@pytest.mark.parametrize(
    ("auth", "said"),
    [
        (Auth(jwks="https://a.example/k", audience="a"), "auth.issuer"),
        (Auth(jwks="https://a.example/k", issuer="https://a.example"), "auth.audience"),
        (Auth(jwks="https://a.example/k", discover=True, issuer="https://a.example", audience="a"), "keep one"),
        (Auth(discover=True, issuer="https://a.example", audience="a", authority="file:none.pem"), "none.pem"),
    ],
)
def test_fetched_keys_need_to_be_told_whose_they_are(tmp_path: Path, auth, said):
    """Keys for just any issuer or audience do not start."""
    with pytest.raises(ConfigurationError, match=said):
        identification(App("shop", modules=[Module("orders")]), auth, {}, folder=tmp_path, clock=Clock())

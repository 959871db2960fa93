"""Requests that go out: to named hosts only, to checked addresses only, and never for long (S16, S18)."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from ipaddress import ip_address
from pathlib import Path

import pytest

from headwater.adapters.addresses import permitted, reads_as_number
from headwater.adapters.outbound import Outbound, OutboundFailed, OutboundRefused
from tests.integration.identity_provider import Provider, certify, provider


@pytest.fixture(scope="module")
def idp(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Provider]:
    with provider(tmp_path_factory.mktemp("idp")) as running:
        yield running


@pytest.fixture(autouse=True)
def good(idp: Provider) -> None:
    idp.say(jwks={"keys": [1]})


def to(idp: Provider, **options) -> Outbound:
    given = {"private": [idp.host], "authority": idp.authority, "seconds": 2.0, **options}
    return Outbound([idp.host], **given)


def resolving(*addresses: str):
    """A resolver whose answers are these, one after the other, the last for good."""
    left = list(addresses)

    async def resolve(host: str, port: int) -> list[str]:
        return [left.pop(0) if len(left) > 1 else left[0]]

    return resolve


async def test_a_named_host_is_asked_by_https(idp):
    """The good case, from which every refusal below differs in one thing."""
    assert await to(idp).get(f"{idp.url}/keys") == b'{"keys": [1]}'


PLACES = {
    "the cloud's metadata": "http://169.254.169.254/latest/meta-data/",
    "metadata by https": "https://169.254.169.254/",
    "mapped loopback": "https://[::ffff:127.0.0.1]/",
    "mapped loopback in hex": "https://[::ffff:7f00:1]/",
    "zero": "https://0/",
    "all zeros": "https://0.0.0.0/",
    "unspecified v6": "https://[::]/",
    "decimal": "https://2130706433/",
    "octal": "https://0177.0.0.1/",
    "hex": "https://0x7f000001/",
    "hex part": "https://127.0.0x0.1/",
    "short": "https://127.1/",
    "loopback": "https://127.0.0.1/",
    "own network": "https://10.0.0.1/",
    "another scheme": "file:///etc/passwd",
    "gopher": "gopher://localhost/",
    "upper case scheme": "HTTPS://LOCALHOST/",
    "user before the host": "https://{host}@evil.example/",
    "allowed name as user": "https://{host}:x@evil.example/",
    "backslash": "https://evil.example\\@{host}/",
    "fragment": "https://evil.example#@{host}/",
    "suffix": "https://{host}.evil.example/",
    "prefix": "https://evil-{host}/",
    "trailing dot": "https://localhost./",
    "another port": "https://localhost:1/",
    "port 0": "https://localhost:0/",
    "port too high": "https://localhost:99999/",
    "line break": "https://{host}/\r\nX: y",
    "blank": "https://{host}/a b",
    "no host": "https:///keys",
    "unicode dots": "https://127。0。0。1/",
    "plain": "http://{host}/keys",
    "empty": "",
}


@pytest.mark.parametrize("url", PLACES.values(), ids=PLACES)
async def test_no_spelling_leads_to_a_host_that_was_not_named(idp, url):
    """What is not on the list letter for letter is refused before anything is resolved or connected."""
    resolved: list[str] = []

    async def resolve(host: str, port: int) -> list[str]:
        resolved.append(host)
        return ["127.0.0.1"]

    with pytest.raises(OutboundRefused):
        await to(idp, resolve=resolve).get(url.replace("{host}", idp.host))
    assert not resolved


@pytest.mark.parametrize("host", ["2130706433", "0177.0.0.1", "0x7f.1", "0", "127.1", "1.2.3.4.", "0x7f000001", "1.0x2"])
async def test_a_number_that_resolvers_read_in_their_own_way_is_refused_even_when_named(host):
    """A slip in the configuration does not open the way."""
    assert reads_as_number(host)
    with pytest.raises(OutboundRefused):
        await Outbound([host], private=[host]).get(f"https://{host}/")


ADDRESSES = [
    "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1",
    "255.255.255.255", "192.0.2.1", "198.18.0.1", "240.0.0.1", "::1", "::", "::ffff:127.0.0.1", "::ffff:169.254.169.254",
    "fe80::1", "fc00::1", "fd00:ec2::254", "ff02::1", "2002:7f00:1::", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe",
    "2001:db8::1", "2001:0:4136:e378:8000:63bf:80ff:fffe", "fec0::1",
]


@pytest.mark.parametrize("address", ADDRESSES)
async def test_a_name_that_leads_inward_is_refused(address):
    """The address counts, not the name; also wrapped in another kind of address."""
    with pytest.raises(OutboundRefused):
        await Outbound(["id.example"], resolve=resolving(address)).get("https://id.example/keys")


def test_public_addresses_are_permitted():
    """The rule does not refuse everything."""
    for text in ("1.1.1.1", "8.8.8.8", "2606:4700:4700::1111", "::ffff:1.1.1.1", "64:ff9b::101:101"):
        assert permitted(ip_address(text), private=False)


@pytest.mark.parametrize("address", ["169.254.169.254", "::ffff:169.254.169.254", "fd00:ec2::254", "fe80::1", "0.0.0.0", "::", "224.0.0.1"])
def test_metadata_and_non_hosts_are_refused_also_to_hosts_that_may_be_private(address):
    """Allowing the own network does not allow what no identity provider lives at."""
    assert not permitted(ip_address(address), private=True)
    assert permitted(ip_address("10.0.0.1"), private=True)


async def test_one_bad_address_among_good_ones_is_enough():
    """Nobody gets to choose which of several addresses we try."""

    async def resolve(host: str, port: int) -> list[str]:
        return ["1.1.1.1", "127.0.0.1"]

    with pytest.raises(OutboundRefused):
        await Outbound(["id.example"], resolve=resolve).get("https://id.example/")


async def test_the_connection_goes_to_the_address_that_was_checked(idp):
    """DNS rebinding: the name is looked up once, so a second answer is never used."""
    asked = 0

    async def resolve(host: str, port: int) -> list[str]:
        nonlocal asked
        asked += 1
        return ["127.0.0.1"] if asked == 1 else ["169.254.169.254"]

    mine = to(idp, resolve=resolve)
    assert await mine.get(f"{idp.url}/keys")
    assert asked == 1
    with pytest.raises(OutboundRefused):  # and each request checks anew
        await mine.get(f"{idp.url}/keys")


async def test_the_next_checked_address_is_tried_when_one_does_not_answer(idp):
    """A host with several addresses, of which the first is down; but a bad certificate is no reason to go on."""

    async def both(host: str, port: int) -> list[str]:
        return ["127.0.0.2", "127.0.0.1"]

    async def none(host: str, port: int) -> list[str]:
        return []

    assert await to(idp, resolve=both).get(f"{idp.url}/keys")
    with pytest.raises(OutboundFailed, match="no address"):
        await to(idp, resolve=none).get(f"{idp.url}/keys")
    asked = len(idp.asked)
    with pytest.raises(OutboundFailed, match="unable|self-signed"):
        await to(idp, authority=None, resolve=both).get(f"{idp.url}/keys")
    assert len(idp.asked) == asked


async def test_a_name_that_is_no_name_of_this_machine_is_still_asked_at_its_pinned_address(idp):
    """The certificate is checked against the name, the connection made to the address."""
    named = f"id.example:{idp.port}"
    mine = Outbound([named], private=[named], authority=idp.authority, resolve=resolving("127.0.0.1"))
    with pytest.raises(OutboundFailed, match="id.example"):  # the certificate is for localhost
        await mine.get(f"https://{named}/keys")


@pytest.mark.parametrize(
    "mode", ["missing", "broken", "redirect", "inward", "huge", "endless", "long_head", "html", "gzip", "cut", "gibberish"]
)
async def test_an_answer_that_is_not_as_it_should_be_is_no_answer(idp, mode):
    """Redirects, sizes, kinds and cut answers: nothing of it is read as keys."""
    idp.say(mode=mode)
    before = len(idp.asked)
    with pytest.raises(OutboundFailed):
        await to(idp).get(f"{idp.url}/keys")
    assert len(idp.asked) == before + 1  # and nothing was asked twice, or elsewhere


@pytest.mark.parametrize("mode", ["slow", "drip"])
async def test_a_slow_answer_is_given_up(idp, mode):
    """The time is for the whole answer, however it comes."""
    idp.say(mode=mode)
    with pytest.raises(OutboundFailed, match="within 0.5 s"):
        await to(idp, seconds=0.5).get(f"{idp.url}/keys")


async def test_a_slow_resolver_is_given_up():
    """The time is for the name too."""

    async def resolve(host: str, port: int) -> list[str]:
        await asyncio.sleep(60)
        return []

    with pytest.raises(OutboundFailed, match="within"):
        await Outbound(["id.example"], resolve=resolve, seconds=0.1).get("https://id.example/")


async def test_a_certificate_of_nobody_we_know_is_refused(idp):
    """S18: a self-made authority counts only where it was configured."""
    with pytest.raises(OutboundFailed, match="self-signed|unable to get"):
        await to(idp, authority=None).get(f"{idp.url}/keys")


async def test_a_certificate_for_another_name_or_of_the_past_is_refused(tmp_path: Path):
    """S18: name and time are checked."""
    with provider(tmp_path / "name", name="other.example") as other:
        with pytest.raises(OutboundFailed, match="localhost"):
            await to(other).get(f"{other.url}/keys")
    with provider(tmp_path / "old", days=-1) as old:
        with pytest.raises(OutboundFailed, match="expired"):
            await to(old).get(f"{old.url}/keys")


async def test_an_old_protocol_version_is_refused(tmp_path: Path):
    """TLS 1.1 and older are not spoken."""
    authority = certify(tmp_path, name="localhost", days=1)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "server.pem")
    made = Outbound(["localhost"], authority=authority)._context()
    assert made.minimum_version == ssl.TLSVersion.TLSv1_2
    assert (made.verify_mode, made.check_hostname) == (ssl.CERT_REQUIRED, True)


async def test_plain_http_is_spoken_with_this_machine_only_and_only_when_named(tmp_path: Path):
    """For development: a provider without TLS, on loopback."""
    with provider(tmp_path, tls=False) as near:
        near.say(jwks={"keys": [2]})
        assert await Outbound([near.host], plain=[near.host]).get(f"{near.url}/keys") == b'{"keys": [2]}'
        with pytest.raises(OutboundRefused, match="https only"):
            await Outbound([near.host], private=[near.host]).get(f"{near.url}/keys")
        away = Outbound([near.host], plain=[near.host], resolve=resolving("10.0.0.1"))
        with pytest.raises(OutboundRefused, match="may not be asked"):
            await away.get(f"{near.url}/keys")


async def test_nobody_there_is_a_failure():
    """A closed port ends as every other failure."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        host = f"localhost:{bound.getsockname()[1]}"
        with pytest.raises(OutboundFailed, match="cannot be asked"):
            await Outbound([host], private=[host]).get(f"https://{host}/")


# --- what an answer looks like --------------------------------------------------------------------

GOOD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


@asynccontextmanager
async def answering(answer: bytes) -> AsyncIterator[tuple[Outbound, str]]:
    """Say the same bytes to everybody."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    named = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield Outbound([named], plain=[named], bytes_most=100, seconds=2), f"http://{named}/keys"
    finally:
        server.close()
        await server.wait_closed()


@pytest.mark.parametrize(
    "answer", [
        GOOD + b"Content-Length: 2\r\n\r\n{}",
        GOOD + b"Content-Length: 2\r\n\r\n{}more",
        GOOD + b"\r\n{}",
        GOOD + b"Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n1;a=b\r\n}\r\n0\r\nX: y\r\n\r\n",
        b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + GOOD + b"Content-Length: 2\r\n\r\n{}",
        b"HTTP/1.0 200\r\ncontent-type:application/jwk-set+json; charset=utf-8 \r\n\r\n{}",
    ],
)
async def test_a_body_is_read_as_it_is_framed(answer):
    async with answering(answer) as (mine, url):
        assert await mine.get(url) == b"{}"


@pytest.mark.parametrize(
    "answer", [
        b"", b"\r\n\r\n", b"HTTP/2 200 OK\r\n\r\n", b"HTTP/1.1 20 OK\r\n\r\n", b"ICY 200 OK\r\n\r\n",
        GOOD + b"Content-Length: 3\r\n\r\n{}",
        GOOD + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
        GOOD + b"Content-Length: -2\r\n\r\n{}",
        GOOD + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        GOOD + b"Transfer-Encoding: gzip, chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        GOOD + b"Transfer-Encoding: chunked\r\n\r\nz\r\n{}\r\n0\r\n\r\n",
        GOOD + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}xx0\r\n\r\n",
        GOOD + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n",
        GOOD + b"Transfer-Encoding: chunked\r\n\r\nff\r\n" + b"x" * 255 + b"\r\n0\r\n\r\n",
        GOOD + b"Content-Length: 101\r\n\r\n" + b"x" * 101,
        GOOD + b"\r\n" + b"x" * 101,
        GOOD + b"X y: z\r\n\r\n{}",
        GOOD + b"X: y\r\n folded\r\n\r\n{}",
        GOOD + b"X: " + b"y" * 70_000 + b"\r\n\r\n{}",
    ],
)
async def test_an_answer_in_bad_form_is_none(answer):
    """Framing that is doubtful, broken off or too long."""
    async with answering(answer) as (mine, url):
        with pytest.raises(OutboundFailed):
            await mine.get(url)

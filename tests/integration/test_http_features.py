"""What routes declare and browsers, caches and other programs expect."""

from __future__ import annotations

import gzip
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime
from typing import Annotated, Any

import msgspec
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from headwater import (
    Api,
    App,
    Command,
    Cors,
    Limit,
    Meta,
    Module,
    Private,
    Query,
    Shared,
    Value,
    authenticated,
    contract,
    public,
)
from headwater.edge.http import Request, fold
from headwater.edge.problems import Rejected
from headwater.edge.ratelimit import Limiter
from headwater.edge.representation import accepted, coding_for
from headwater.edge.routes import Router
from headwater.errors import ConfigurationError
from headwater.model.packed import PackedFlaw, check_packed
from headwater.runtime.node import Node
from headwater.testing.http import Answer, KnownTokens
from headwater.topology.codings import packers
from tests.flow.house import parts


class Text(Value):
    text: str


class Deep(Value):
    name: str
    numbers: tuple[int, ...] = ()


@contract("words.say", v=1)
class Say(Query[Text]):
    size: Annotated[int, Meta(ge=0, le=10_000_000)] = 3


@contract("words.take", v=1)
class Take(Command[Deep]):
    deep: Deep


class Site:
    def __init__(self, router: Router) -> None:
        self.router = router

    async def ask(self, method: str, target: str, body: bytes = b"", peer: str = "192.0.2.1", **headers: str) -> Answer:
        path, _, query = target.partition("?")
        sent = fold((k.replace("_", "-").encode(), v.encode()) for k, v in headers.items())
        return Answer(await self.router.respond(Request(method, path.encode(), query.encode(), sent, body, peer)))


@asynccontextmanager
async def serving(tmp_path: Any, *apis: Api, **options: Any) -> AsyncIterator[Site]:
    module = Module("words")

    @module.handle(Say)
    async def say(query: Say) -> Text:
        return Text(text="x" * query.size)

    @module.handle(Take)
    async def take(cmd: Take) -> Deep:
        return cmd.deep

    node = Node(App("words", modules=[module]), parts(tmp_path))
    await node.start()
    try:
        yield Site(Router(apis, node, verifier=KnownTokens(), packers=packers(), **options))
    finally:
        await node.stop(within=1)


def one(**options: Any) -> Api:
    api = Api("v1", auth=options.pop("auth", public), **{k: options.pop(k) for k in list(options) if k in (
        "limit", "cors", "deprecated", "sunset", "successor")})
    api.get("/say", Say, **options)
    api.post("/take", Take)
    return api


# --- rate limits ----------------------------------------------------------------------------------


@given(
    burst=st.integers(1, 8), period=st.sampled_from([0.1, 1.0, 7.0]),
    gaps=st.lists(st.floats(0, 10), min_size=1, max_size=60),
)
def test_the_limiter_lets_in_what_a_leaking_bucket_would(burst: int, period: float, gaps: list[float]) -> None:
    """Against the plain model: a bucket of `burst` that leaks one request each period."""
    now, level = 0.0, 0.0
    limiter = Limiter(Limit("1/s", burst=burst), lambda: now)
    limiter.period = period
    for gap in gaps:
        now += gap
        level = max(0.0, level - gap / period)
        if abs(level + 1 - burst) < 1e-6:
            return  # too close to call in floating point
        wait, _, _ = limiter.take("k")
        assert (wait == 0.0) == (level + 1 <= burst)
        if not wait:
            level += 1


def test_many_callers_cannot_make_the_limiter_forget_one() -> None:
    """Memory is bounded, and who has used up a limit is forgotten last."""
    limiter = Limiter(Limit("1/m", burst=5), lambda: 0.0, most=100)
    while not limiter.take("bad")[0]:
        pass
    for number in range(10_000):
        limiter.take(number)
    assert len(limiter) <= 100
    assert limiter.take("bad")[0] > 0


async def test_a_limit_is_told_and_then_kept(tmp_path):
    async with serving(tmp_path, one(limit=Limit("2/m", burst=2, per="address"))) as site:
        first = await site.ask("GET", "/v1/say")
        assert first.headers["ratelimit"] == '"address";r=1;t=30'
        assert first.headers["ratelimit-policy"] == '"address";q=2;w=60'
        assert (await site.ask("GET", "/v1/say")).status == 200
        refused = await site.ask("GET", "/v1/say")
        assert (refused.status, refused.json()["code"]) == (429, "rate-limited")
        assert 25 <= int(refused.headers["retry-after"]) <= 30
        assert (await site.ask("GET", "/v1/say", peer="192.0.2.2")).status == 200
        assert (await site.ask("POST", "/v1/take", b"{}")).status == 429  # one limit for the whole API


async def test_a_limit_by_principal_follows_the_person_not_the_address(tmp_path):
    api = Api("v1", auth=authenticated)
    api.get("/say", Say, limit=Limit("1/h", burst=1))
    async with serving(tmp_path, api) as site:
        assert (await site.ask("GET", "/v1/say", authorization="Bearer ann:")).status == 200
        assert (await site.ask("GET", "/v1/say", authorization="Bearer ann:", peer="192.0.2.9")).status == 429
        assert (await site.ask("GET", "/v1/say", authorization="Bearer bob:")).status == 200
        assert (await site.ask("GET", "/v1/say")).status == 401


async def test_one_customer_with_many_v6_addresses_is_one(tmp_path):
    async with serving(tmp_path, one(limit=Limit("1/h", burst=1, per="address"))) as site:
        assert (await site.ask("GET", "/v1/say", peer="2001:db8:1:2::1")).status == 200
        assert (await site.ask("GET", "/v1/say", peer="2001:db8:1:2:ffff::9")).status == 429
        assert (await site.ask("GET", "/v1/say", peer="2001:db8:1:3::1")).status == 200


@pytest.mark.parametrize("rate", ["0/s", "10", "ten/s", "10/week", "-1/s"])
def test_a_limit_that_says_nothing_is_refused(rate):
    with pytest.raises(ConfigurationError, match="a rate is"):
        Limit(rate)


# --- other origins --------------------------------------------------------------------------------


async def test_no_page_of_another_origin_may_read_unless_declared(tmp_path):
    async with serving(tmp_path, one()) as site:
        answer = await site.ask("GET", "/v1/say", origin="https://evil.example")
        assert not [name for name in answer.headers if name.startswith("access-control")]
        preflight = await site.ask("OPTIONS", "/v1/say", origin="https://evil.example", access_control_request_method="GET")
        assert not [name for name in preflight.headers if name.startswith("access-control")]


async def test_listed_origins_may_read_and_are_never_reflected_otherwise(tmp_path):
    """Also errors can be read by the page that is allowed; nothing but the exact origin is."""
    async with serving(tmp_path, one(cors=Cors("https://shop.example", credentials=True))) as site:
        good = await site.ask("GET", "/v1/say", origin="https://shop.example")
        assert good.headers["access-control-allow-origin"] == "https://shop.example"
        assert good.headers["access-control-allow-credentials"] == "true"
        assert good.headers["vary"] == "origin"
        error = await site.ask("GET", "/v1/say?x=1", origin="https://shop.example")
        assert (error.status, error.headers["access-control-allow-origin"]) == (400, "https://shop.example")
        preflight = await site.ask("OPTIONS", "/v1/say", origin="https://shop.example", access_control_request_method="GET")
        assert preflight.status == 204
        assert preflight.headers["access-control-allow-methods"] == "GET"
        assert "content-type" in preflight.headers["access-control-allow-headers"]
        for origin in ("https://shop.example.evil.example", "http://shop.example", "https://SHOP.example", "null", "*"):
            answer = await site.ask("GET", "/v1/say", origin=origin)
            assert "access-control-allow-origin" not in answer.headers
            assert answer.headers["vary"] == "origin"


@pytest.mark.parametrize("origin", ["*", "https://*.example", "shop.example", "https://shop.example/", "https://Shop.example"])
def test_an_origin_is_exact(origin):
    with pytest.raises(ConfigurationError, match="an origin is"):
        Cors(origin)


# --- versions that end ----------------------------------------------------------------------------


async def test_the_end_of_a_version_is_told_and_then_kept(tmp_path, monkeypatch):
    api = one(deprecated=date(2026, 1, 1), sunset=date(2026, 7, 1), successor="v2")
    async with serving(tmp_path, api) as site:
        gate = site.router.compiled[0]._before[0]
        days: dict[str, float] = {}
        gate._wall = lambda: days["now"]

        async def on(*day: int) -> Answer:
            days["now"] = datetime(*day, tzinfo=UTC).timestamp()
            return await site.ask("GET", "/v1/say")

        assert "deprecation" not in (await on(2025, 12, 31, 23, 59)).headers
        told = await on(2026, 1, 1)
        assert told.status == 200
        assert told.headers["deprecation"] == f"@{int(datetime(2026, 1, 1, tzinfo=UTC).timestamp())}"
        assert told.headers["sunset"] == "Wed, 01 Jul 2026 00:00:00 GMT"
        assert told.headers["link"] == '</v2>; rel="successor-version"'
        assert (await on(2026, 6, 30, 23, 59, 59)).status == 200
        gone = await on(2026, 7, 1)
        assert (gone.status, gone.json()["code"], gone.headers["sunset"]) == (410, "version-ended", "Wed, 01 Jul 2026 00:00:00 GMT")


def test_an_end_without_warning_is_refused():
    with pytest.raises(ConfigurationError, match="needs deprecated="):
        Api("v1", sunset=date(2026, 7, 1))


# --- caches ---------------------------------------------------------------------------------------


async def test_an_answer_that_may_be_kept_has_a_tag_and_is_not_sent_twice(tmp_path):
    async with serving(tmp_path, one(http_cache=Private("30s"))) as site:
        first = await site.ask("GET", "/v1/say")
        assert first.headers["cache-control"] == "private, max-age=30"
        tag = first.headers["etag"]
        for told in (tag, f"W/{tag}", f'"other", {tag}', "*"):
            again = await site.ask("GET", "/v1/say", if_none_match=told)
            assert (again.status, again.body, again.headers["etag"]) == (304, b"", tag)
        assert (await site.ask("GET", "/v1/say?size=4", if_none_match=tag)).status == 200
        packed = await site.ask("GET", "/v1/say", accept="application/msgpack", if_none_match=tag)
        assert (packed.status, packed.headers["etag"] != tag) == (200, True)


async def test_an_answer_is_kept_by_nobody_unless_declared(tmp_path):
    async with serving(tmp_path, one()) as site:
        answer = await site.ask("GET", "/v1/say")
        assert answer.headers["cache-control"] == "no-store"
        assert "etag" not in answer.headers


def test_a_callers_own_answer_cannot_be_shared():
    """S26: what belongs to one caller never enters a shared cache."""
    with pytest.raises(ConfigurationError, match="shows one caller's answer to others"):
        Api("v1", auth=authenticated).get("/say", Say, http_cache=Shared("1m"))


# --- codings and formats --------------------------------------------------------------------------


async def test_long_answers_are_compressed_for_whoever_takes_it(tmp_path):
    async with serving(tmp_path, one(http_cache=Private("1s"))) as site:
        plain = await site.ask("GET", "/v1/say?size=5000")
        assert "content-encoding" not in plain.headers
        assert plain.headers["vary"] == "accept, accept-encoding"
        packed = await site.ask("GET", "/v1/say?size=5000", accept_encoding="gzip")
        assert packed.headers["content-encoding"] == "gzip"
        assert gzip.decompress(packed.body) == plain.body
        assert packed.headers["etag"] != plain.headers["etag"]
        zstd = await site.ask("GET", "/v1/say?size=5000", accept_encoding="gzip, zstd")
        assert zstd.headers["content-encoding"] == "zstd"
        assert zstandard.ZstdDecompressor().decompress(zstd.body, max_output_size=10_000) == plain.body
        short = await site.ask("GET", "/v1/say?size=50", accept_encoding="gzip")
        assert "content-encoding" not in short.headers


@pytest.mark.parametrize(
    ("header", "coding"),
    [(b"gzip", b"gzip"), (b"gzip;q=0", b""), (b"*", b"zstd"), (b"*;q=0", b""), (b"identity", b""), (b"gzip;q=0.5, zstd;q=0.4", b"gzip"),
     (b"identity;q=1, gzip;q=0.5", b""), (b"br", b""), (b"", b""), (b"GZIP", b"gzip"), (b"gzip;q=nonsense", b""), (b"zstd;q=1.0,*;q=0", b"zstd")],
)
def test_a_coding_is_chosen_as_the_client_weighs_it(header, coding):
    assert coding_for(header) == coding


@pytest.mark.parametrize(
    ("header", "kind"),
    [(b"*/*", b"application/json"), (b"application/json", b"application/json"), (b"application/msgpack", b"application/msgpack"),
     (b"application/vnd.msgpack", b"application/msgpack"), (b"application/*", b"application/json"),
     (b"application/json;q=0.1, application/msgpack", b"application/msgpack"), (b"text/html, */*;q=0.1", b"application/json"),
     (b"application/json;q=0, */*", b"application/msgpack")],
)
def test_a_format_is_chosen_as_the_client_weighs_it(header, kind):
    assert accepted(header) == kind


async def test_a_format_that_nobody_writes_is_a_406_before_anything_runs(tmp_path):
    with pytest.raises(Rejected, match="answers are"):
        accepted(b"text/html")
    async with serving(tmp_path, one()) as site:
        answer = await site.ask("GET", "/v1/say", accept="text/html")
        assert (answer.status, answer.json()["code"]) == (406, "not-acceptable")


async def test_messagepack_goes_in_and_out(tmp_path):
    async with serving(tmp_path, one()) as site:
        body = msgspec.msgpack.encode({"deep": {"name": "a", "numbers": [1, 2]}})
        answer = await site.ask("POST", "/v1/take", body, content_type="application/msgpack", accept="application/msgpack")
        assert answer.headers["content-type"] == "application/msgpack"
        assert msgspec.msgpack.decode(answer.body) == {"name": "a", "numbers": [1, 2]}


PACKED = {
    "unknown field": ({"deep": {"name": "a", "more": 1}}, 422), "wrong type": ({"deep": {"name": 1}}, 422),
    "missing": ({}, 422), "number too large": ({"deep": {"name": "a", "numbers": [2**63]}}, 422),
    "NUL": ({"deep": {"name": "a\0"}}, 422), "list": ([1], 400), "number": (1, 400), "bytes": ({"deep": {"name": b"a"}}, 400),
    "NaN": ({"deep": {"name": "a", "numbers": [float("nan")]}}, 400), "key that is a number": ({1: 2}, 400),
    "extension": (msgspec.msgpack.Ext(5, b"x"), 400),
}


@pytest.mark.parametrize(("value", "status"), PACKED.values(), ids=PACKED)
async def test_messagepack_is_judged_as_strictly_as_json(tmp_path, value, status):
    async with serving(tmp_path, one()) as site:
        answer = await site.ask("POST", "/v1/take", msgspec.msgpack.encode(value), content_type="application/msgpack")
        assert answer.status == status, answer


def nest(depth: int) -> bytes:
    return b"\x91" * depth + b"\x01"


@pytest.mark.parametrize(
    "data",
    [b"\x82\xa1a\x01\xa1a\x02", b"\x82\xa1a\x01\xd9\x01a\x02", nest(65), nest(1_000_000), b"\x81\xa1a", b"\x01\x01", b"", b"\xc1",
     b"\xdf\xff\xff\xff\xff", b"\xdd\x00\x01\x00\x00", b"\xc7\x00\x00", b"\x81\x01\x02", b"\xa5ab"],
    ids=lambda d: d[:8].hex(),
)
def test_what_a_messagepack_decoder_would_hide_is_refused(data):
    """Doubled keys, depth, cut and trailing bytes, extensions, sizes that promise too much."""
    with pytest.raises(PackedFlaw):
        check_packed(data, depth=64, items=10_000)


json_like = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text(max_size=40),
    lambda inner: st.lists(inner, max_size=20) | st.dictionaries(st.text(max_size=40), inner, max_size=20), max_leaves=60,
)


@given(json_like)
def test_whatever_is_well_formed_passes(value: Any) -> None:
    check_packed(msgspec.msgpack.encode(value), depth=64, items=10_000)


@given(st.binary(max_size=60))
def test_the_check_and_the_decoder_agree_on_what_is_a_value(data: bytes) -> None:
    """Whatever the check lets through, the decoder can read or refuses for its text; it never reads another length."""
    try:
        check_packed(data, depth=64, items=10_000)
    except PackedFlaw:
        return
    try:
        msgspec.msgpack.decode(data)
    except msgspec.DecodeError as error:
        assert "truncated" not in str(error)
    except UnicodeDecodeError:
        pass


# --- while developing -----------------------------------------------------------------------------


async def test_answers_and_refusals_say_how_long_they_took_where_that_is_asked_for(tmp_path):
    """W3C Server-Timing, in milliseconds; never where nobody asked, as it tells strangers about the inside."""
    async with serving(tmp_path, one(), timed=True) as site:
        for target, status in (("/v1/say", 200), ("/v1/say?size=none", 422)):
            answer = await site.ask("GET", target)
            assert answer.status == status
            name, _, took = answer.headers["server-timing"].partition(";dur=")
            assert name == "total"
            assert 0 < float(took) < 10_000
    async with serving(tmp_path, one()) as site:
        assert "server-timing" not in (await site.ask("GET", "/v1/say")).headers

"""Security requirements of the layer that decides who may do what, each by its number in the requirements."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from headwater import (
    Api,
    App,
    Command,
    Cors,
    Identity,
    Limit,
    Module,
    Query,
    Value,
    authenticated,
    contract,
    public,
    role,
    scope,
)
from headwater.edge.routes import Router
from headwater.errors import ConfigurationError, Denied
from headwater.model.identity import SYSTEM
from headwater.runtime.node import Node
from tests.flow.house import call, parts, rows
from tests.integration.tenants import ORIGIN, ById, Careless, Order, Place, Shop, shop

ADA, BOB, EVE = "ada;north;;", "bob;north;;", "eve;south;;"
STAFF = "sam;north;staff;"
SOUTHERN_STAFF = "sid;south;staff;"


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Shop]:
    async with shop(tmp_path) as running:
        for who, name in ((ADA, "a"), (BOB, "b"), (EVE, "e")):
            made = await running.ask("POST", "/v1/orders", who=who, json={"order_id": name, "note": f"secret of {name}"})
            assert made.status == 201
        yield running


OWN = {"a": ADA, "b": BOB, "e": EVE}
ENDPOINTS: list[tuple[str, str, Any]] = [
    ("GET", "/v1/orders/{}", None),
    ("HEAD", "/v1/orders/{}", None),
    ("GET", "/v1/orders/{}/noted", None),
    ("GET", "/v1/desk/{}", None),
    ("GET", "/v1/orders", None),
    ("GET", "/v1/all", None),
    ("PUT", "/v1/orders/{}", {"note": "mine now"}),
    ("POST", "/v1/desk/{}", {}),
    ("DELETE", "/v1/orders/{}", None),
]


@pytest.mark.parametrize(("method", "path", "body"), ENDPOINTS, ids=[f"{m} {p}" for m, p, _ in ENDPOINTS])
@pytest.mark.parametrize(("order", "stranger"), [("a", BOB), ("a", EVE), ("a", SOUTHERN_STAFF), ("e", ADA), ("e", STAFF)])
async def test_s2_no_endpoint_lets_one_tenant_or_owner_see_or_change_anothers(site, method, path, body, order, stranger):
    """Two tenants and every endpoint: nothing of the other's in any answer, and nothing of it changed."""
    before = await rows(site.node, "orders", "select * from orders order by order_id")
    answer = await site.ask(method, path.format(order), who=stranger, json=body)
    assert f"secret of {order}".encode() not in answer.body
    assert f'"owner":"{OWN[order][:3]}"'.encode() not in answer.body
    if "{}" in path:
        assert answer.status == (404 if method in ("GET", "HEAD") else 403)
    assert await rows(site.node, "orders", "select * from orders order by order_id") == before


@pytest.mark.parametrize(("method", "path", "body"), ENDPOINTS, ids=[f"{m} {p}" for m, p, _ in ENDPOINTS])
async def test_s2_everybody_gets_at_their_own(site, method, path, body):
    """The rule refuses strangers only; the careless list is refused, because it holds others' orders."""
    answer = await site.ask(method, path.format("a"), who=ADA, json=body)
    assert answer.status == (403 if path == "/v1/all" else 204 if method == "DELETE" else 200)
    if method == "GET" and path != "/v1/all":
        assert b"secret of a" in answer.body
    staff = await site.ask(method, path.format("a"), who=STAFF, json=body)
    assert staff.status in ((403,) if path == "/v1/all" else (200, 204, 410))


async def test_s2_what_may_not_be_seen_looks_like_what_is_not_there(site):
    """The two answers differ in nothing but the request's id."""
    ids = {"x-request-id": "same"}
    hidden = await site.ask("GET", "/v1/orders/e", who=ADA, headers=ids)
    missing = await site.ask("GET", "/v1/orders/none", who=ADA, headers=ids)
    assert (hidden.status, hidden.body, hidden.headers) == (missing.status, missing.body, missing.headers)


async def test_s2_the_applications_own_work_is_not_asked(site):
    """SYSTEM sees everything; an anonymous caller within the process nothing."""
    assert await call(site.node, ById(order_id="e"), identity=SYSTEM)
    assert len(await call(site.node, Careless(), identity=SYSTEM)) == 3
    with pytest.raises(Denied):
        await call(site.node, ById(order_id="e"))


async def test_s2_a_reaction_to_what_was_allowed_is_not_asked_again(site):
    """A subscription works for the application: staff renames, and the reaction sees the order."""
    assert (await site.ask("PUT", "/v1/orders/a", who=STAFF, json={"note": "new"})).status == 200
    async with asyncio.timeout(10):
        while not await rows(site.node, "orders", "select * from seen"):
            await asyncio.sleep(0.02)


async def test_s3_a_command_sent_for_later_runs_as_who_sent_it(site):
    """The confused deputy: what eve may not do now she may not have done for her later."""
    assert (await site.ask("POST", "/v1/orders/a/later", who=EVE, json={})).status in (200, 204)
    assert (await site.ask("POST", "/v1/orders/b/later", who=BOB, json={})).status in (200, 204)
    async with asyncio.timeout(10):
        while await rows(site.node, "orders", "select 1 from orders where order_id = 'b'"):
            await asyncio.sleep(0.02)
    assert await rows(site.node, "orders", "select 1 from orders where order_id = 'a'")


async def test_s2_a_rule_that_does_not_say_true_lets_nobody_through(tmp_path):
    """Something truthy, None and a crash all keep the door shut."""

    class Thing(Value):
        name: str

    @contract("things.get", v=1)
    class Get(Query[Thing | None]):
        pass

    from headwater import View
    from tests.flow.house import running

    for said in (1, "yes", None, ZeroDivisionError):
        things = Module("things")

        @things.rule(Thing)
        def may(identity: Identity, thing: Thing) -> bool:
            if isinstance(said, type):
                raise said
            return said  # type: ignore[return-value]

        @things.handle(Get)
        async def get(query: Get, view: View) -> Thing | None:
            return await view.fetch_one(Thing, "select 'x' as name")

        async with running(tmp_path / str(said), things) as node:
            with pytest.raises(Exception, match="not for the caller|ZeroDivisionError"):
                await call(node, Get(), identity=Identity(subject="ada"))


def test_s2_a_rule_that_could_never_work_does_not_start():
    """Waiting rules, rules about other things and second rules are refused where they are written."""
    things = Module("things")

    async def waits(identity: Identity, order: Order) -> bool:
        return True

    with pytest.raises(ConfigurationError, match="not async def"):
        things.rule(Order)(waits)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="about a Value"):
        things.rule(str)(lambda identity, text: True)  # type: ignore[type-var]
    things.rule(Order)(lambda identity, order: True)
    with pytest.raises(ConfigurationError, match="already"):
        things.rule(Order)(lambda identity, order: True)


def test_s1_a_route_without_authorisation_does_not_start(tmp_path):
    """There is no default that lets everybody in."""

    @contract("orders.open", v=1)
    class Open(Command[None]):
        pass

    v1 = Api("v1")
    v1.post("/open", Open)

    node = Node(App("open", modules=[Module("open")]), parts(tmp_path))
    with pytest.raises(ConfigurationError, match="does not say who may use it"):
        Router([v1], node)


ACCESS = [
    ("/v1/who", None, 200), ("/v1/who", "broken", 401), ("/v1/orders", None, 401), ("/v1/orders", "ada;;;", 200),
    ("/v1/staff", None, 401), ("/v1/staff", "ada;;owner;", 403), ("/v1/staff", "ada;;owner,staff;", 200),
    ("/v1/scoped", "ada;;;orders:read", 403), ("/v1/scoped", "ada;;staff;orders:write,orders:read,x", 200),
    ("/v1/scoped", "ada;;;orders:readorders:write", 403), ("/v1/both", "ada;;staff;", 403),
    ("/v1/both", "ada;;;orders:read", 403), ("/v1/both", "ada;;staff;orders:read", 200),
]


@pytest.mark.parametrize(("path", "who", "status"), ACCESS)
async def test_s1_roles_and_scopes_decide(site, path, who, status):
    """401 for whoever is not known, 403 for whoever is and may not."""
    assert (await site.ask("GET", path, who=who)).status == status


def test_role_and_scope_combine_only_where_that_has_one_meaning():
    """`&` asks for both; what could be read in two ways is refused."""
    both = role("staff", "owner") & scope("a") & scope("b", "a")
    assert (both.kind, both.roles, both.scopes) == ("role", ("staff", "owner"), ("a", "b"))
    assert repr(both) == "role('staff', 'owner') & scope('a', 'b')"
    assert repr(authenticated & scope("a")) == "scope('a')"
    assert (authenticated & authenticated).kind == "authenticated"
    for left, right in ((role("a"), role("b")), (public, role("a")), (scope("a"), public)):
        with pytest.raises(ConfigurationError):
            left & right


async def test_s12_each_caller_has_a_limit_and_a_refusal_is_a_429(tmp_path):
    """One caller too many does not slow another one down."""
    async with shop(tmp_path, limit=Limit("2/m", burst=2)) as site:
        answers = [await site.ask("GET", "/v1/orders", who=ADA) for _ in range(3)]
        assert [a.status for a in answers] == [200, 200, 429]
        assert answers[1].headers["ratelimit"].endswith(";r=0;t=60")
        assert answers[2].headers["retry-after"] == "30"
        assert (await site.ask("GET", "/v1/staff", who=ADA)).status == 403  # authorisation comes before it
        assert (await site.ask("GET", "/v1/orders", who=BOB)).status == 200
        assert (await site.ask("GET", "/v1/orders/x", who=ADA)).status == 429  # the API's limit, not the route's


async def test_s12_guessing_credentials_is_limited_where_addresses_are(tmp_path):
    """Wrong tokens count against the address before they are looked at."""
    async with shop(tmp_path, limit=Limit("3/m", burst=3, per="address")) as site:
        guesses = [(await site.ask("GET", "/v1/orders", who=f"guess{n}")).status for n in range(5)]
        assert guesses == [401, 401, 401, 429, 429]
        assert (await site.ask("GET", "/v1/orders", who=ADA)).status == 429


# --- S20: pages of other origins ------------------------------------------------------------------------


@pytest.fixture
async def open_site(tmp_path: Path) -> AsyncIterator[Shop]:
    async with shop(tmp_path, cors=Cors(ORIGIN, "http://localhost:3000", credentials=True, headers=("X-Mine",))) as running:
        yield running


STRANGERS = [
    "https://evil.example", "https://shop.example.evil.example", "https://evilshop.example", "http://shop.example",
    "https://shop.example:8443", "https://SHOP.example", "null", "", "*", "https://shop.example/", "https://shop.example, https://evil.example",
]


def cors_of(answer: Any) -> dict[str, str]:
    return {name: value for name, value in answer.headers.items() if name.startswith("access-control-")}


@pytest.mark.parametrize("origin", STRANGERS)
async def test_s20_an_origin_that_was_not_listed_is_told_nothing(open_site, origin):
    """Nothing is reflected, whatever it looks like; caches learn that it depends on the origin."""
    answer = await open_site.ask("GET", "/v1/who", headers={"origin": origin})
    assert (answer.status, cors_of(answer), answer.headers["vary"].lower()) == (200, {}, "origin")
    asked = {"origin": origin, "access-control-request-method": "GET"}
    preflight = await open_site.ask("OPTIONS", "/v1/who", headers=asked)
    assert (preflight.status, cors_of(preflight)) == (204, {})


async def test_s20_a_listed_origin_is_named_exactly(open_site):
    """With credentials the origin itself, never *; refusals too, so that a page can read them."""
    answer = await open_site.ask("GET", "/v1/who", headers={"origin": ORIGIN})
    assert answer.headers["access-control-allow-origin"] == ORIGIN
    assert answer.headers["access-control-allow-credentials"] == "true"
    assert "ratelimit" in answer.headers["access-control-expose-headers"]
    refused = await open_site.ask("GET", "/v1/orders", headers={"origin": ORIGIN})
    assert (refused.status, refused.headers["access-control-allow-origin"]) == (401, ORIGIN)


def browser_goes_on(answer: Any, origin: str, method: str, headers: str) -> bool:
    """Judge a preflight as browsers do (Fetch, CORS-preflight fetch)."""
    said = cors_of(answer)
    methods = {m.strip() for m in said.get("access-control-allow-methods", "").split(",")}
    names = {n.strip().lower() for n in said.get("access-control-allow-headers", "").split(",")}
    wanted = {n.strip().lower() for n in headers.split(",")} - {""}
    simple = {"GET", "HEAD", "POST"} if "access-control-allow-origin" in said else set()
    return said.get("access-control-allow-origin") == origin and method in methods | simple and wanted <= names


@pytest.mark.parametrize(
    ("method", "headers", "granted"),
    [
        ("PUT", "content-type, authorization, x-mine", True), ("GET", "", True), ("GET", "X-Mine", True), ("DELETE", "", True),
        ("PATCH", "", False), ("TRACE", "", False), ("put", "", False), ("PUT", "x-other", False), ("PUT", "*", False),
        ("PUT", "cookie", False),
    ],
)
async def test_s20_a_preflight_grants_what_the_place_has(open_site, method, headers, granted):
    """Only methods that are there and headers that were declared."""
    asked = {"origin": ORIGIN, "access-control-request-method": method, "access-control-request-headers": headers}
    answer = await open_site.ask("OPTIONS", "/v1/orders/a", headers=asked)
    assert answer.status == 204
    assert browser_goes_on(answer, ORIGIN, method, headers) is granted
    assert "*" not in "".join(cors_of(answer).values())
    if granted:
        assert answer.headers["access-control-max-age"] == "600"
        assert "origin" in answer.headers["vary"].lower()


async def test_s20_without_a_declaration_no_page_may_ask(site):
    """Off is the default: no header at all."""
    answer = await site.ask("GET", "/v1/who", headers={"origin": ORIGIN})
    preflight = await site.ask("OPTIONS", "/v1/who", headers={"origin": ORIGIN, "access-control-request-method": "GET"})
    assert cors_of(answer) == cors_of(preflight) == {}
    assert "vary" not in answer.headers
    assert preflight.headers["allow"] == "GET, HEAD, OPTIONS"


@pytest.mark.parametrize("origin", ["*", "null", "https://*.example", "https://a.example/", "HTTPS://a.example", "a.example", ""])
def test_s20_an_origin_that_is_none_does_not_start(origin):
    """There is no wildcard to write."""
    with pytest.raises(ConfigurationError):
        Cors(origin)


# --- S22, S23: what is written down, and what is not -----------------------------------------------------


def audit_lines(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    return [json.loads(r.getMessage()) for r in caplog.records if r.name == "headwater.audit"]


async def test_s22_every_refusal_is_written_down_and_nothing_else(tmp_path, caplog):
    """401, 403, the hidden 404 and 429: who, where, why; never the token."""
    caplog.set_level(logging.DEBUG)
    async with shop(tmp_path, limit=Limit("5/m", burst=5)) as site:
        await site.ask("POST", "/v1/orders", who=EVE, json={"order_id": "e"})
        await site.ask("GET", "/v1/orders", who="canary-credential", headers={"x-request-id": "r1"})
        await site.ask("GET", "/v1/staff", who=ADA, headers={"x-request-id": "r2"})
        await site.ask("GET", "/v1/orders/e", who=ADA, headers={"x-request-id": "r3"})
        await site.ask("GET", "/v1/all", who=ADA, headers={"x-request-id": "r4"})
        for _ in range(5):
            await site.ask("GET", "/v1/who", who=ADA, headers={"x-request-id": "r5"})
        await site.ask("GET", "/v1/orders/none", who=BOB)
        found = audit_lines(caplog)
        assert [(r["request_id"], r["status"], r["subject"], r["tenant"]) for r in found] == [
            ("r1", 401, None, None), ("r2", 403, "ada", "north"), ("r3", 404, "ada", "north"), ("r4", 403, "ada", "north"),
            ("r5", 429, "ada", "north"), ("r5", 429, "ada", "north"),
        ]
        assert found[2]["route"] == "GET /v1/orders/{order_id}"
        assert [r.request_id for r in site.audit.recent()] == ["r5", "r5", "r4", "r3", "r2", "r1"]
        assert site.audit.counts == {401: 1, 403: 2, 404: 1, 429: 2}
    assert "canary-credential" not in caplog.text


NASTY = ["a\r\nFORGED", "\x1b[31mred\x1b[0m", 'quote"and\\', "\u2028line", "\x00\x7f", "\u202eback", "é", "x" * 10_000, "\ud800"]


@pytest.mark.parametrize("text", NASTY)
def test_s22_no_text_of_a_request_forges_a_line(text, caplog):
    """CRLF, ANSI and worse in every field: one line of printable ASCII that reads back as JSON, of bounded length."""
    from headwater.adapters.system import SystemClock
    from headwater.runtime.audit import Audit

    caplog.set_level(logging.DEBUG, "headwater.audit")
    identity = Identity(subject=text, tenant=text)
    mine = Audit(SystemClock(), kept=3)
    for _ in range(5):
        mine.refused(
            status=403, code=text, reason=text, method=text, route=text, request_id=text, identity=identity, address=text
        )
    assert len(mine.recent()) == 3
    line = caplog.records[0].getMessage()
    assert line.isascii()
    assert line.isprintable()
    assert len(line) < 20_000
    assert set(json.loads(line)) == {
        "at", "status", "code", "reason", "method", "route", "request_id", "subject", "tenant", "address"
    }


async def test_s23_an_error_inside_tells_the_caller_a_code_and_an_id_only(site, caplog):
    """No exception text, no file, no line, no message field."""
    answer = await site.ask("POST", "/v1/crash", who=ADA, json={"secret": "hunter2"}, headers={"x-request-id": "r9"})
    assert answer.status == 500
    assert answer.headers["x-request-id"] == "r9"
    for word in (b"hunter2", b"RuntimeError", b"Traceback", b".py", b"internal detail"):
        assert word not in answer.body


async def test_s26_no_answer_about_a_caller_is_kept_by_a_cache(site):
    """Unless a route says otherwise; and a route that is not public cannot say Shared."""
    from headwater import Shared

    for path, who in (("/v1/orders", ADA), ("/v1/orders/a", BOB), ("/v1/who", ADA), ("/v1/staff", ADA)):
        assert (await site.ask("GET", path, who=who)).headers["cache-control"] == "no-store"
    with pytest.raises(ConfigurationError, match="Shared"):
        Api("v1", auth=authenticated).get("/mine", ById, http_cache=Shared("5m"))


async def test_s11_every_answer_says_that_nobody_should_guess(site):
    """nosniff on answers, refusals and nothings alike."""
    for method, path, who in (("GET", "/v1/who", None), ("GET", "/v1/orders", None), ("GET", "/none", None), ("PATCH", "/v1/who", None)):
        assert (await site.ask(method, path, who=who)).headers["x-content-type-options"] == "nosniff"


def test_a_place_order_cannot_choose_whose_it_is():
    """S4: tenant and owner come from the identity; the message has no such field."""
    assert {f for f in Place.__struct_fields__} == {"order_id", "note"}


@pytest.mark.parametrize("field", ["tenant", "owner", "role", "roles", "id", "identity"])
async def test_s4_a_field_that_was_not_declared_changes_nothing(site, field):
    """Mass assignment: what is not declared is refused or ignored, never taken."""
    answer = await site.ask("POST", "/v1/orders", who=ADA, json={"order_id": "z", "note": "", field: "south"})
    found = await rows(site.node, "orders", "select tenant, owner from orders where order_id = 'z'")
    assert (answer.status, found) in ((422, []), (201, [("north", "ada")]))

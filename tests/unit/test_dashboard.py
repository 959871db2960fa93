"""The dashboard's parts without a browser: escaping, layout, rates, forms."""

from __future__ import annotations

from html.parser import HTMLParser
from itertools import combinations
from typing import Any
from urllib.parse import urlencode

import msgspec
import pytest

from headwater.adapters.system import ThreadExecutor
from headwater.edge.http import Request, Response
from headwater.errors import HeadwaterError
from headwater.ops.dashboard.html import breakable, el, join
from headwater.ops.dashboard.layout import BOX_HEIGHT, BOX_WIDTH, laid_out
from headwater.ops.dashboard.page import failed_page, main_page, trace_page
from headwater.ops.dashboard.recent import Recent
from headwater.ops.dashboard.seen import Arrow, Burn, ContractSeen, Dead, Process, Seen, Subscribed
from headwater.ops.dashboard.server import Dashboard
from headwater.ops.dashboard.tables import Order
from headwater.ops.dashboard.told import seen_of
from headwater.ops.dashboard.words import ago, duration, per_second, percent, size
from headwater.ops.snapshot import (
    Backlog,
    ContractFigures,
    DeliveryFigures,
    Missing,
    Objective,
    ProcessFigures,
    RouteFigures,
    Snapshot,
    StoreFigures,
    Way,
    Window,
    quantile,
)
from headwater.ports import SlowStatement, SpanRecord, TraceRecord
from headwater.runtime.meter import EDGES

EVIL = """<script>alert(1)</script><img src=x onerror='x'>"><svg/onload=x>`{{7*7}}'&\x1b]0;\u202e"""


def buckets(**at: int) -> tuple[int, ...]:
    made = [0] * (len(EDGES) + 1)
    for milliseconds, count in at.items():
        made[next(i for i, e in enumerate(EDGES) if e >= float(milliseconds[1:]) / 1000)] += count
    return tuple(made)


def hostile(text: str) -> Seen:
    span = SpanRecord(
        id=text, parent="", name=text, kind="server", module=text, start=90.0, duration=0.5, outcome="unknown",
        attributes={text: text, "error.type": text, "db.query.text": text},
    )
    return Seen(
        app=text, version=text, at=100.0, modules=(text, "other"),
        arrows=(
            Arrow(source="", target=text, name=text, kind="request", count=5, errors=5),
            Arrow(source=text, target="other", name=text, kind="event", count=5),
        ),
        contracts=(ContractSeen(name=text, kind=text, module=text, buckets=buckets(_1=3), unknown=1),),
        subscriptions=(
            Subscribed(name=text, module=text, source=text, lag=2000, retrying=1, dead=1, owner=text, error=text),
        ),
        dead=(Dead(module=text, id=text, subscription=text, message=text, key=text, attempts=1, error=text, died_at=1.0),),
        dead_count=1, slow=(SlowStatement(sql=text, module=text, count=1, most=1.0, total=1.0),),
        traces=(TraceRecord(trace_id=text, name=text, start=90.0, duration=1.0, outcome="unknown", spans=(span,)),),
        processes=(Process(name=text, pid=1, uptime=10.0, ready=False, reasons=(text,)),),
        burns=(Burn(contract=text, aim=text, windows=((text, 2.0),), left=-1.0, alert=text),), notes=(text,), stores=(StoreFigures(module=text, commits=1, commands=3, failed=1, read_waiting=1),),
    )


class Reader(HTMLParser):
    """Collects what a browser would see."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def test_whatever_things_are_called_they_stay_text() -> None:
    seen = hostile(EVIL)
    evil = Reader(main_page(Recent().take(seen), Order(EVIL), EVIL))
    calm = Reader(main_page(Recent().take(hostile("x")), Order("x"), "x"))
    assert [tag for tag, _ in evil.tags if tag != "wbr"] == [tag for tag, _ in calm.tags if tag != "wbr"]
    for got in (evil, Reader(trace_page(seen.traces[0], 100.0)), Reader(failed_page(EVIL, EVIL))):
        for tag, attributes in got.tags:
            assert tag not in ("img", "iframe", "style", "base")
            assert not any(name.startswith("on") or name == "style" for name in attributes), (tag, attributes)
            assert tag != "script" or attributes == {"type": "module", "src": "/dashboard.js"}
        assert "<script>alert(1)</script>" in got.text
        assert "\x1b" not in got.text
        assert "\u202e" not in got.text


def test_elements() -> None:
    assert el("p", "a<b", None, 3, 0.5, [el("b", "&")], class_="x y", hidden=True, id=None) == (
        '<p class="x y" hidden>a&lt;b30.5<b>&amp;</b></p>'
    )
    assert el("rect", x=1.26, data_a='"') == '<rect x="1.3" data-a="&quot;"/>'
    assert breakable("a.b<i>") == "a.<wbr>b&lt;i&gt;"
    assert join("<") == "&lt;"


SHOP = (
    ("", "catalog"), ("", "orders"), ("orders", "catalog"), ("orders", "inventory"), ("orders", "payments"),
    ("payments", "orders"), ("inventory", "orders"), ("orders", "reports"), ("inventory", "reports"), ("", "reports"),
)
BOXES = ("", "catalog", "inventory", "orders", "payments", "reports")


def test_the_map_is_laid_out_so_that_it_can_be_read() -> None:
    found = laid_out(BOXES, SHOP)
    assert set(found.places) == set(BOXES)
    assert set(found.lines) == set(SHOP)
    for a, b in combinations(found.places.values(), 2):
        assert abs(a.x - b.x) >= BOX_WIDTH or abs(a.y - b.y) >= BOX_HEIGHT, "no box lies on another"
    for (source, target), line in found.lines.items():
        assert abs(line.points[0][1] - found.places[source].y) == BOX_HEIGHT / 2, "it begins at its source"
        assert abs(line.points[-1][1] - found.places[target].y) == BOX_HEIGHT / 2, "and ends at its target"
        for x, y in line.points[1:-1]:
            assert all(abs(x - p.x) > p.width / 2 or abs(y - p.y) > p.height / 2 for p in found.places.values())
    assert found.places[""].y < found.places["orders"].y < found.places["payments"].y, "downwards, as edges come first"
    assert all(0 <= p.x - p.width / 2 and p.x + p.width / 2 <= found.width for p in found.places.values())
    laid_out.cache_clear()
    assert laid_out(BOXES, SHOP) == found


@pytest.mark.parametrize(
    ("boxes", "edges"),
    [((), ()), (("a",), (("a", "a"),)), (("a", "b"), (("a", "b"), ("b", "a"))), (("a",), (("a", "gone"),)),
     (tuple(f"m{n}" for n in range(40)), tuple((f"m{n}", f"m{n * 7 % 40}") for n in range(40)))],
)
def test_odd_maps(boxes: tuple[str, ...], edges: tuple[tuple[str, str], ...]) -> None:
    found = laid_out(boxes, edges)
    assert set(found.places) == set(boxes)
    for a, b in combinations(found.places.values(), 2):
        assert abs(a.x - b.x) >= BOX_WIDTH or abs(a.y - b.y) >= BOX_HEIGHT


def at(second: float, calls: int, errors: int = 0) -> Seen:
    return Seen(
        app="a", version="", at=second, modules=("m",), processes=(Process(name="p", pid=1, uptime=second, ready=True),),
        arrows=(Arrow(source="", target="m", name="m.x/1", kind="request", count=calls, errors=errors),),
        contracts=(ContractSeen(name="m.x/1", kind="query", module="m", buckets=buckets(_1=calls), unknown=errors),),
    )


def test_rates_are_of_the_last_half_minute() -> None:
    recent = Recent()
    first = recent.take(at(100, 1000))
    assert first.seconds is None
    assert first.flows[0].rate == 10.0, "since the start"
    second = recent.take(at(110, 1100, errors=10))
    assert (second.seconds, second.flows[0].rate, second.flows[0].share) == (10.0, 10.0, 0.1)
    assert (second.contracts[0].count, second.contracts[0].value, second.contracts[0].errors) == (100, 90, 10)
    later = recent.take(at(135, 1100, errors=10))
    assert later.seconds == 25.0
    assert later.flows[0].rate == 0.0
    assert later.flows[0].used
    anew = recent.take(at(137, 5))
    assert anew.seconds is None, "the process was started anew: nothing to compare with"
    assert anew.contracts[0].total == 5


def test_quantiles_and_words() -> None:
    assert quantile((), 0.5) is None
    assert 0.001 <= (quantile(buckets(_1=98, _100=2), 0.98) or 0) < 0.00126
    assert 0.1 <= (quantile(buckets(_1=98, _100=2), 0.99) or 0) < 0.126
    assert [duration(s) for s in (None, 0.0000023, 0.0149, 3.0, 600.0, 7200.0, 2e6)] == [
        "–", "2.3 µs", "15 ms", "3 s", "10 min", "2 h", "23 days",
    ]
    assert [percent(s) for s in (0, 0.0001, 0.015, 0.5)] == ["0 %", "<0.1 %", "1.5 %", "50 %"]
    assert [per_second(r) for r in (0, 0.05, 2.25, 1234.4)] == ["0/s", "3.0/min", "2.2/s", "1,234/s"]
    assert [ago(0.2), ago(61.7), size(900), size(2_500_000)] == ["just now", "61 s ago", "900 B", "2.4 MiB"]


class Told:
    """A source that remembers what it was asked to do."""

    def __init__(self) -> None:
        self.done: list[tuple[str, str, str]] = []

    async def see(self) -> Seen:
        return hostile("x")

    async def replay(self, module: str, dead_id: str) -> None:
        if dead_id == "gone":
            raise HeadwaterError("there is no dead letter 'gone' in this module")
        self.done.append(("replay", module, dead_id))

    async def discard(self, module: str, dead_id: str) -> None:
        self.done.append(("discard", module, dead_id))


@pytest.fixture
def source() -> Told:
    return Told()


def opened(source: Told) -> Dashboard:
    return Dashboard(source, executor=ThreadExecutor(threads=1), token="only the page knows")


async def sent(dashboard: Dashboard, form: dict[str, str], **headers: str) -> Response:
    named = {"content-type": "application/x-www-form-urlencoded", "host": "127.0.0.1:9000", **headers}
    pairs = {key.replace("_", "-").encode(): value.encode() for key, value in named.items()}
    return await dashboard.respond(Request("POST", b"/dashboard/act", b"", pairs, urlencode(form).encode()))


async def form_of(dashboard: Dashboard) -> dict[str, str]:
    page = await dashboard.respond(Request("GET", b"/dashboard", b"", {}))
    found = [a for tag, a in Reader(page.body.decode()).tags if tag == "input"][:4]
    return {str(a["name"]): str(a["value"]) for a in found}


async def test_a_form_of_the_page_is_obeyed(source: Told) -> None:
    dashboard = opened(source)
    form = await form_of(dashboard)
    answer = await sent(dashboard, form, sec_fetch_site="same-origin", origin="http://127.0.0.1:9000")
    assert answer.status == 303
    assert await sent(dashboard, {**form, "action": "discard"})
    assert source.done == [("replay", "x", "x"), ("discard", "x", "x")]


@pytest.mark.parametrize(
    ("change", "headers", "status"),
    [
        ({"token": "guessed"}, {}, 403),
        ({}, {"sec_fetch_site": "cross-site"}, 403),
        ({}, {"sec_fetch_site": "same-site"}, 403),
        ({}, {"origin": "http://evil.example"}, 403),
        ({}, {"origin": "null"}, 403),
        ({}, {"content_type": "text/plain"}, 415),
        ({"id": "x" * 5000}, {}, 415),
        ({"action": "drop tables"}, {}, 422),
        ({"id": "gone"}, {}, 409),
    ],
)
async def test_nothing_else_is(source: Told, change: dict[str, str], headers: dict[str, str], status: int) -> None:
    dashboard = opened(source)
    answer = await sent(dashboard, {**await form_of(dashboard), **change}, **headers)
    assert answer.status == status
    assert source.done == []


async def test_every_page_is_strict_and_nothing_is_kept(source: Told) -> None:
    dashboard = opened(source)
    for path in (*dashboard.pages, "/dashboard/none", "/../etc"):
        answer = await dashboard.respond(Request("GET", path.encode(), b"id=none", {}))
        said: dict[bytes, Any] = dict(answer.pairs())
        assert b"default-src 'none'" in said[b"content-security-policy"], path
        assert b"unsafe" not in said[b"content-security-policy"]
        assert said[b"cache-control"] == b"no-store"
    found = await dashboard.respond(Request("GET", b"/dashboard/trace", b"id=x", {}))
    assert found.status == 200
    assert (await dashboard.respond(Request("GET", b"/dashboard/act", b"", {}))).status == 405
    assert (await dashboard.respond(Request("POST", b"/dashboard", b"", {}))).status == 405
    assert msgspec.json.encode(await source.see()), "what is seen can travel"


def test_every_id_is_one_thing() -> None:
    ids = [a["id"] for _, a in Reader(main_page(Recent().take(hostile("x")), Order(), "t")).tags if "id" in a]
    assert sorted(ids) == sorted(set(ids))


def told(**more: Any) -> Snapshot:
    process = {"slot": 0, "pid": 7, "version": "1", "python": "3", "loop": "l", "started_at": 0.0, "uptime": 10.0}
    return Snapshot(
        app="a", at=100.0, modules=("m", "n"),
        **{"processes": (ProcessFigures(status="ready", **process),), **more},  # type: ignore[arg-type]
    )


def test_snapshots_become_arrows_beside_those_that_nobody_used() -> None:
    drawn = (
        Arrow(source="", target="m", name="m.x/1", kind="request"),
        Arrow(source="n", target="m", name="m.y/1", kind="call"),
    )
    seen = seen_of(
        told(
            routes=(
                RouteFigures(method="GET", path="/a", contract="m.x/1", module="m", statuses=(0, 5, 0, 2, 1)),
                RouteFigures(method="GET", path="/b", contract="m.x/1", module="m", statuses=(0, 2, 0, 0, 0)),
            ),
            ways=(
                Way(source="m", contract="n.z/1", module="n", kind="call", count=3, errors=1),
                Way(source="m", contract="n.z/1", module="n", kind="send", count=4),
            ),
            deliveries=(
                DeliveryFigures(source="m", event="m.e/1", subscription="n.s", module="n", delivered=8, failed=2),
            ),
        ),
        drawn,
    )
    assert {(a.source, a.target, a.name, a.kind): (a.count, a.errors) for a in seen.arrows} == {
        ("", "m", "m.x/1", "request"): (10, 1),
        ("n", "m", "m.y/1", "call"): (0, 0),
        ("m", "n", "n.z/1", "call"): (7, 1),
        ("m", "n", "m.e/1 to n.s", "event"): (10, 2),
    }


def test_snapshots_become_figures_and_worries() -> None:
    windows = tuple(Window(seconds=s, total=1000, good=900) for s in (300.0, 1800.0, 3600.0, 21600.0))
    seen = seen_of(
        told(
            contracts=(
                ContractFigures(
                    name="m.x/1", kind="query", module="m", buckets=buckets(_1=10),
                    outcomes={"value": 7, "failure": 1, "not_executed": 2, "unknown": 0},
                ),
            ),
            backlogs=(Backlog(subscription="n.s", module="n", source="m", lag=2000, oldest=3.0),),
            objectives=(
                Objective(
                    contract="m.x/1", kind="latency", target=0.999, threshold=0.2, windows=windows,
                    since=Window(seconds=9.0, total=1000, good=999),
                ),
                Objective(contract="m.y/1", kind="availability", target=0.9, threshold=None, windows=windows,
                          since=Window(seconds=9.0)),
            ),
            missing=(Missing(slot=1, reason="no answer in 1 s"),),
        ),
        (),
    )
    assert [(b.aim, round(b.left, 3), b.alert) for b in seen.burns] == [
        ("99.9 % within 200 ms", 0.0, "burns fast"), ("90 % available", 1.0, ""),
    ]
    page = Reader(main_page(Recent().take(seen), Order(), "t"))
    for said in (
        "m.x/1: 20 % of the calls did not run or may not have", "n.s: 2,000 events of m wait",
        "m.x/1 burns its error budget: burns fast", "worker 1 does not tell of itself: no answer in 1 s",
    ):
        assert said in page.text
    assert "Everything is well." in Reader(main_page(Recent().take(seen_of(told(), ())), Order(), "t")).text

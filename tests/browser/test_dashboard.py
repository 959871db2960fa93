"""The dashboard in a real browser, over the shop under a replay of real orders."""

from __future__ import annotations

import http.client
import json
import os
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from time import sleep
from typing import Any

import pytest

from headwater.ops.dashboard.page import main_page, trace_page
from headwater.ops.dashboard.recent import Recent
from headwater.ops.dashboard.tables import Order
from tests.browser.chromium import accessible, browser, eventually, page, shoot
from tests.integration.shop_server import RETAIL, ROOT, ShopServer, need_retail
from tests.unit.test_dashboard import EVIL, hostile

pytestmark = pytest.mark.real
PHONE = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True}
DESK = {"viewport": {"width": 1400, "height": 900}}


class Board(ShopServer):
    """The shop with the dashboard beside it."""

    def __init__(self, data: Path) -> None:
        super().__init__(data)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.admin_port = int(free.getsockname()[1])

    @property
    def board(self) -> str:
        return f"http://127.0.0.1:{self.admin_port}/dashboard"

    def command(self) -> list[str]:
        topology = self.data.with_suffix(".toml")
        topology.write_text("[traces]\nratio = 1.0\nslow_statement = 0.02\n")
        return [*super().command(), "--admin-port", str(self.admin_port), "--topology", str(topology)]

    def start(self) -> None:
        """Start it where the tests' own packages are found."""
        told = {
            "PYTHONPATH": os.pathsep.join(str(p) for p in (ROOT / "src", ROOT / "examples" / "shop", ROOT)),
            "HEADWATER_APP": "tests.browser.board:app",
        }
        with pytest.MonkeyPatch.context() as patch:
            for name, value in told.items():
                patch.setenv(name, value)
            super().start()

    def order(self, request: str, customer: str) -> None:
        line = {"product_id": "pin", "quantity": 1}
        status, _ = self.ask("POST", "/v1/orders", {"request_id": request, "customer_id": customer, "lines": [line]})
        assert status == 201


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with browser() as started:
        yield started


@pytest.fixture(scope="module")
def quiet(chromium: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Board]:
    """A shop that sells pins, and two orders whose news could not be told."""
    data = tmp_path_factory.mktemp("board") / "data"
    data.mkdir()
    server = Board(data)
    try:
        server.start()
        staff = server.token()
        server.ask("PUT", "/v1/products/pin", {"description": "pin", "price_cents": 5}, staff)
        server.ask("POST", "/v1/stock/pin/receipts", {"request_id": "pins", "quantity": 1000}, staff)
        server.order("first", "gossip")
        server.order("second", "gossip")
        yield server
    finally:
        server.kill()


@pytest.fixture(scope="module")
def busy(quiet: Board) -> Iterator[Board]:
    """The same under real traffic."""
    need_retail()
    replay = quiet.replay("--days", "2010-12-01,2010-12-02,2010-12-03", "--speed", "100", folder=RETAIL)
    try:
        yield quiet
    finally:
        replay.kill()
        replay.communicate()


def wait_for_text(made: Any, selector: str, pattern: str) -> None:
    made.wait_for_function(
        "([selector, pattern]) => new RegExp(pattern).test(document.querySelector(selector)?.textContent ?? '')",
        arg=[selector, pattern],
    )


def test_it_is_complete_without_a_script(chromium: Any, quiet: Board) -> None:
    with page(chromium, java_script_enabled=False, **DESK) as made:
        made.goto(quiet.board)
        eventually(lambda: made.get_by_role("img", name=re.compile("Map of shop")).is_visible(), True)
        assert made.get_by_role("button", name="Pause").count() == 0
        made.get_by_role("link", name="Since start").click()
        counts = made.locator("#contracts tbody tr td:last-child").all_inner_texts()
        numbers = [int(count.replace(",", "")) for count in counts]
        assert numbers == sorted(numbers, reverse=True)
        eventually(lambda: made.locator("th[aria-sort=descending]").inner_text().startswith("Since start"), True)
        made.get_by_role("link", name="Since start").click()
        eventually(lambda: made.locator("th[aria-sort=ascending]").count(), 1)
        made.locator("#traces a").first.click()
        eventually(lambda: made.get_by_role("link", name="Back to the dashboard").is_visible(), True)


def test_dead_letters_are_replayed_and_discarded_after_a_question(chromium: Any, quiet: Board) -> None:
    with page(chromium, **DESK) as made:
        made.goto(quiet.board)
        wait_for_text(made, "[data-part=attention]", "2 dead letters")
        eventually(lambda: made.locator("#dead tbody tr").count(), 2)
        assert "<script>document.title = 'owned'</script>" in made.locator("#dead .error").first.inner_text()
        replay = made.locator("#dead details").filter(has_text="Replay").first
        eventually(lambda: replay.get_by_role("button", name="Yes, replay it").is_hidden(), True)
        replay.locator("summary").focus()
        made.keyboard.press("Enter")
        replay.get_by_role("button", name="Yes, replay it").wait_for()
        made.wait_for_timeout(2500)
        assert replay.get_by_role("button", name="Yes, replay it").is_visible(), "a refresh does not close the question"
        before = made.locator("#dead tbody tr").all_inner_texts()
        made.keyboard.press("Tab")
        made.keyboard.press("Enter")
        made.wait_for_url("**/dashboard#dead")
        wait_for_text(made, "[data-part=attention]", "2 dead letters")
        again = made.locator("#dead tbody tr")
        eventually(lambda: again.all_inner_texts() != before, True, why="it was tried again, and died again, just now")
        discard = made.locator("#dead details").filter(has_text="Discard").first
        discard.locator("summary").click()
        discard.get_by_role("button", name="Yes, discard it").click()
        made.wait_for_url("**/dashboard#dead")
        wait_for_text(made, "[data-part=attention]", "1 dead letter$")
        eventually(made.title, "shop: dashboard")


def test_it_follows_by_itself_and_can_be_paused(chromium: Any, quiet: Board) -> None:
    with page(chromium, **DESK) as made:
        made.goto(f"{quiet.board}?sort=rate")
        placed = made.locator("#contracts tr", has_text="orders.place").locator("td").last
        before = int(placed.inner_text())
        made.get_by_role("link", name="p99").focus()
        quiet.order("third", "anna")
        made.wait_for_function(
            "n => [...document.querySelectorAll('#contracts tr')].some(r => /orders.place/.test(r.textContent) && "
            "Number(r.lastChild.textContent) > n)", arg=before,
        )
        assert made.evaluate("document.activeElement.id") == "contracts-by-p99", "the focus stays where it was"
        made.get_by_role("button", name="Pause").click()
        stamp = made.locator("time").inner_text()
        quiet.order("fourth", "anna")
        made.wait_for_timeout(3000)
        assert made.locator("time").inner_text() == stamp
        assert int(placed.inner_text()) == before + 1
        made.get_by_role("button", name="Go on").click()
        made.wait_for_function("stamp => document.querySelector('time').textContent !== stamp", arg=stamp)


def test_the_map_shows_what_flows_and_what_does_not(chromium: Any, busy: Board) -> None:
    with page(chromium, **DESK) as made:
        made.goto(busy.board)
        made.wait_for_timeout(5000)
        lines = dict.fromkeys(made.locator("path.arrow title").all_text_contents())
        drawn = {line.partition(":")[0] for line in lines}
        assert {
            "outside to orders, request", "orders to catalog, call", "orders to inventory, call",
            "orders to payments, event", "payments to orders, event", "orders to gossip, event",
        } <= drawn

        def arrow(said: str) -> Any:
            return made.locator("path.arrow").filter(has=made.locator("title", has_text=said))

        assert "calm" in arrow("orders to catalog, call").get_attribute("class")
        assert "dim" in arrow("inventory to orders, event").get_attribute("class"), "no hold has lapsed"
        busiest = float(arrow("outside to catalog, request").get_attribute("stroke-width"))
        assert busiest > float(arrow("inventory to orders, event").get_attribute("stroke-width"))
        made.get_by_text("The map as a table").click()
        rows = made.locator("#arrows-table tbody tr").all_inner_texts()
        assert any(re.search(r"orders\s+catalog\s+catalog.prices_of/1\s+call\s+[\d.]+/", row) for row in rows), rows
        made.get_by_role("button", name="Pause").click()
        shoot(made, "board-map-open")


def test_errors_are_red_and_said(chromium: Any, busy: Board) -> None:
    with page(chromium, **DESK) as made:
        made.goto(busy.board)
        made.wait_for_timeout(1500)
        for number in range(5):
            busy.order(f"more gossip {number}", "gossip")
        wait_for_text(made, ".map .rate.many, .map .rate.some", "errors")
        arrow = made.locator("path.arrow").filter(has=made.locator("title", has_text="orders to gossip"))
        assert "many" in arrow.get_attribute("class") or "some" in arrow.get_attribute("class")
        wait_for_text(made, "#said", "thing")
        shoot(made, "board-errors")


def test_a_trace_as_a_waterfall(chromium: Any, busy: Board) -> None:
    with page(chromium, **DESK) as made:
        made.goto(busy.board)
        busy.order("traced", "anna")
        made.goto(busy.board)
        made.locator("#traces a", has_text="orders.place").first.click()
        eventually(lambda: made.get_by_role("heading", name="orders.place/1").is_visible(), True)
        rows = made.locator("#spans-table tbody tr").all_inner_texts()
        assert rows[0].startswith("orders.place/1")
        assert any("catalog.prices_of/1" in row for row in rows)
        assert any("commit" in row for row in rows)
        bars = made.locator("#spans-table svg rect:last-child").evaluate_all(
            "bars => bars.map(bar => [bar.x.baseVal.value, bar.width.baseVal.value])")
        assert bars[0][0] == 0.0, "it begins with its first span"
        assert all(0 <= x and width >= 2 and x + width <= 262 for x, width in bars)
        assert accessible(made) == []
        shoot(made, "board-trace")
        where = made.url
    with page(chromium, color_scheme="dark", **PHONE) as made:
        made.goto(where)
        eventually(lambda: made.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"), 0)
        shoot(made, "board-trace-phone")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", ["desk", "phone"])
def test_everybody_can_read_it(chromium: Any, busy: Board, scheme: str, size: str) -> None:
    with page(chromium, color_scheme=scheme, **(PHONE if size == "phone" else DESK)) as made:
        made.goto(busy.board)
        made.wait_for_timeout(3000)
        made.get_by_role("button", name="Pause").click()
        shoot(made, f"board-{size}-{scheme}")
        assert accessible(made) == []
        wide = made.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert wide == 0, "tables scroll by themselves, the page does not"


def test_hostile_names_are_shown_and_do_nothing(chromium: Any) -> None:
    seen = hostile(EVIL)
    for text in (main_page(Recent().take(seen), Order(), EVIL), trace_page(seen.traces[0], 100.0)):
        with page(chromium) as made:
            asked: list[str] = []
            made.on("dialog", lambda dialog: asked.append(dialog.message))
            made.route("**/*", lambda route: route.abort())
            made.set_content(text)
            assert made.evaluate("document.querySelectorAll('script:not([src]), img, [onload], [onerror]').length") == 0
            assert "<script>alert(1)</script>" in made.inner_text("body")
            assert asked == []
            made.troubles = [t for t in made.troubles if "dashboard.js" not in t]


def test_a_form_of_another_site_is_refused(quiet: Board) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", quiet.admin_port, timeout=10)
    headers = {"content-type": "application/x-www-form-urlencoded", "origin": "http://evil.example"}
    connection.request("POST", "/dashboard/act", "module=gossip&id=1&action=discard&token=x", headers)
    assert connection.getresponse().status == 403
    connection.close()
    assert json.dumps(quiet.ask("GET", "/dashboard")[0]) == "404", "the public port knows nothing of it"


def test_when_it_ends_the_page_says_that_it_is_old(chromium: Any, quiet: Board) -> None:
    with page(chromium, **DESK) as made:
        made.goto(quiet.board)
        quiet.kill()
        wait_for_text(made, "#said", "does not answer; what is shown is old")
        eventually(lambda: made.locator("#said").is_visible(), True)
        shoot(made, "board-old")
        quiet.start()
        sleep(0.1)
        made.get_by_role("link", name="Refresh").click()
        made.wait_for_function("() => document.documentElement.dataset.state === 'live'")

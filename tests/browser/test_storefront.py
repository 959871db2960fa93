"""The shop's pages in a real browser: find, order, and be told what became of it."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from time import sleep
from typing import Any

import pytest

from tests.browser.chromium import accessible, browser, eventually, page, profile, shoot, watched
from tests.integration.shop_server import ShopServer, shop_server

pytestmark = pytest.mark.real
PHONE = {"viewport": {"width": 390, "height": 844}, "device_scale_factor": 2, "is_mobile": True, "has_touch": True}
GOODS = {
    "22423": ("REGENCY CAKESTAND 3 TIER", 1275), "84406B": ("CREAM CUPID HEARTS COAT HANGER", 275),
    "85123A": ("WHITE HANGING HEART T-LIGHT HOLDER", 255), "20725": ("LUNCH BAG RED SPOTTY", 165),
}


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with browser() as started:
        yield started


@pytest.fixture(scope="module")
def shop(chromium: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ShopServer]:
    with shop_server(tmp_path_factory.mktemp("shop")) as server:
        staff = server.token()
        for number, (name, price) in GOODS.items():
            stock(server, staff, number, name, price, 500)
        for number in range(30):
            stock(server, staff, f"tin{number:02}", f"CAKE TIN <b>{number}</b>", 100 + number, 5)
        stock(server, staff, "last", "THE LAST LANTERN", 999, 1)
        yield server


def stock(server: ShopServer, staff: str, number: str, name: str, price: int, quantity: int) -> None:
    assert server.ask("PUT", f"/v1/products/{number}", {"description": name, "price_cents": price}, staff)[0] == 200
    receipt = {"request_id": f"first {number}", "quantity": quantity}
    assert server.ask("POST", f"/v1/stock/{number}/receipts", receipt, staff)[0] == 200


def revenue(server: ShopServer) -> dict[str, int]:
    found: dict[str, int] = server.ask("GET", "/v1/reports/revenue")[1]
    return found


def orders_sent(made: Any) -> list[dict[str, Any]]:
    """Collect the bodies of the orders that a page sends, from now on."""
    sent: list[dict[str, Any]] = []
    made.on("request", lambda request: request.method == "POST" and sent.append(json.loads(request.post_data)))
    return sent


def put_into_basket(made: Any, number: str) -> None:
    made.get_by_label("Name or number of a product").fill(number)
    made.locator("#found li", has=made.get_by_text(number, exact=True)).get_by_role("button").click()


def first_order(made: Any, status: str = "confirmed") -> Any:
    found = made.locator(f"#placed li[data-status={status}]").first
    found.wait_for()
    return found


def test_find_order_and_see_it_confirmed_on_the_same_page(chromium: Any, shop: ShopServer) -> None:
    with page(chromium) as made:
        navigations: list[str] = []
        made.on("framenavigated", lambda frame: navigations.append(frame.url))
        made.goto(shop.url)
        made.get_by_label("Name or number of a product").press_sequentially("heart")
        made.get_by_text("2 products", exact=True).wait_for()
        eventually(lambda: made.locator("#found .name").all_inner_texts(), [GOODS["84406B"][0], GOODS["85123A"][0]])
        made.get_by_role("button", name="Add CREAM CUPID HEARTS COAT HANGER to the basket").click()
        put_into_basket(made, "22423")
        made.get_by_role("button", name="One more of REGENCY CAKESTAND 3 TIER").click()
        eventually(lambda: made.locator("#total").inner_text(), "£28.25")
        eventually(lambda: made.get_by_role("link", name="Basket: 3 items, £28.25").is_visible(), True)
        made.get_by_role("button", name="Place the order").click()
        found = first_order(made)
        assert "Confirmed" in found.inner_text()
        assert "£28.25" in found.inner_text()
        eventually(lambda: made.locator("#orders-status").inner_text(), "Order of £28.25: Confirmed")
        eventually(lambda: made.evaluate("document.activeElement.id"), "orders-title")
        made.get_by_text("Nothing is in it yet.").wait_for()
        assert navigations == [f"{shop.url}/"]


def test_a_double_click_and_a_second_tab_order_once(chromium: Any, shop: ShopServer) -> None:
    before = revenue(shop)["orders"]
    with profile(chromium) as context:
        one, two = watched(context), watched(context)
        sent = [*map(orders_sent, (one, two))]
        one.goto(shop.url)
        put_into_basket(one, "20725")
        two.goto(shop.url)
        two.get_by_role("link", name="Basket: 1 item").wait_for()
        press = "for (let i = 0; i < 3; i++) document.getElementById('place').click()"
        two.evaluate(f"setTimeout(() => {{ {press} }}, 300)")
        one.evaluate(f"setTimeout(() => {{ {press} }}, 300)")
        one.wait_for_timeout(400)
        first_order(one)
        ids = {body["request_id"] for bodies in sent for body in bodies}
        assert len(ids) == 1
    assert settled(shop, before + 1) == before + 1


def settled(shop: ShopServer, orders: int) -> int:
    """Wait for so many orders in the report, and then whether there is one too many."""
    for _ in range(250):
        if revenue(shop)["orders"] >= orders:
            sleep(0.3)  # long enough for a second one to be seen
            break
        sleep(0.02)
    return revenue(shop)["orders"]


def test_out_of_stock_is_said_and_can_be_mended(chromium: Any, shop: ShopServer) -> None:
    with page(chromium) as made:
        sent = orders_sent(made)
        made.goto(shop.url)
        put_into_basket(made, "last")
        made.get_by_label("How many of THE LAST LANTERN").fill("3")
        made.get_by_role("button", name="Place the order").click()
        made.get_by_text("Only 1 of THE LAST LANTERN can be had. Take fewer, then order again.").wait_for()
        shoot(made, "shop-out-of-stock")
        eventually(lambda: made.evaluate("document.activeElement.id"), "place")
        made.get_by_role("button", name="One less of THE LAST LANTERN").click()
        made.get_by_role("button", name="One less of THE LAST LANTERN").click()
        made.get_by_role("button", name="Place the order").click()
        first_order(made)
        assert sent[0]["request_id"] != sent[1]["request_id"], "other contents are another order"
        put_into_basket(made, "last")
        made.get_by_role("button", name="Place the order").click()
        made.get_by_text("THE LAST LANTERN is out of stock. Remove it, then order again.").wait_for()
        assert made.locator("#placed li").count() == 1


def test_the_keyboard_alone_is_enough(chromium: Any, shop: ShopServer) -> None:
    with page(chromium) as made:
        made.goto(shop.url)
        keys = made.keyboard
        keys.press("Tab")
        eventually(lambda: made.evaluate("document.activeElement.textContent"), "Go to the search")
        keys.press("Enter")
        keys.type("t-light")
        made.get_by_text("1 product", exact=True).wait_for()
        keys.press("ArrowDown")
        keys.press("Enter")
        made.locator("#lines li").wait_for()
        for _ in range(20):
            if made.evaluate("document.activeElement.dataset.by") == "1":
                break
            keys.press("Tab")
        keys.press("Enter")
        keys.press("Enter")
        eventually(lambda: made.locator("#lines input").input_value(), "3", why="the button kept the focus")
        for _ in range(10):
            if made.evaluate("document.activeElement.id") == "place":
                break
            keys.press("Tab")
        outline = made.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline == "solid", "the focus can be seen"
        keys.press("Enter")
        first_order(made)


def test_a_lost_answer_is_asked_for_again_and_orders_once(chromium: Any, shop: ShopServer) -> None:
    before = revenue(shop)["orders"]
    with page(chromium) as made:
        lost: list[int] = []

        def lose(route: Any) -> None:
            """Let the order reach the shop, and lose the answer on its way back."""
            if len(lost) < 2:
                lost.append(route.fetch().status)
                route.abort("connectionreset")
            else:
                route.continue_()

        made.route("**/v1/orders", lose)
        made.goto(shop.url)
        put_into_basket(made, "20725")
        made.get_by_role("button", name="Place the order").click()
        first_order(made)
        assert lost == [201, 201]
    assert settled(shop, before + 1) == before + 1


def test_a_page_that_died_while_ordering_asks_again(chromium: Any, shop: ShopServer) -> None:
    before = revenue(shop)["orders"]
    with page(chromium) as made:
        taken: list[int] = []

        def swallow(route: Any) -> None:
            """Let the first order reach the shop, and its answer nobody."""
            if taken:
                route.continue_()
            else:
                taken.append(route.fetch().status)

        made.route("**/v1/orders", swallow)
        made.goto(shop.url)
        put_into_basket(made, "20725")
        made.get_by_role("button", name="Place the order").click()
        made.get_by_text("Ordering…").wait_for()
        eventually(lambda: made.wait_for_timeout(50) or taken, [201])
        made.reload()
        first_order(made)
        assert made.locator("#placed li").count() == 1
    assert settled(shop, before + 1) == before + 1


def test_when_the_shop_is_down_nobody_is_left_guessing(chromium: Any, shop: ShopServer) -> None:
    with page(chromium) as made:
        made.clock.install()
        made.goto(shop.url)
        made.clock.run_for(1000)
        made.get_by_text("The first 20 products").wait_for()
        made.locator("#found li").first.get_by_role("button").click()
        made.route("**/v1/orders", lambda route: route.abort("connectionrefused"))
        made.get_by_role("button", name="Place the order").click()
        made.get_by_text("we do not know yet whether the order arrived").first.wait_for()
        for _ in range(12):
            made.clock.run_for(10_000)
            made.wait_for_timeout(50)
        made.get_by_text("Asking again cannot order twice.").wait_for()
        eventually(lambda: made.locator("#lines input").is_disabled(), True)
        shoot(made, "shop-unsure")
        assert accessible(made) == []
        made.unroute_all()
        made.get_by_role("button", name="Ask again").click()
        made.clock.resume()
        first_order(made)


def test_busy_wrong_and_offline_in_words(chromium: Any, shop: ShopServer) -> None:
    with page(chromium) as made:
        answers = [
            {"status": 503, "headers": {"retry-after": "0"}, "json": {"code": "overloaded"}},
            {"status": 422, "json": {"code": "invalid-message", "errors": [
                {"pointer": "/lines/0/quantity", "detail": "is at most 1000000"}]}},
        ]
        problem = "application/problem+json"
        made.route("**/v1/orders", lambda route: route.fulfill(content_type=problem, **answers.pop(0)))
        made.goto(shop.url)
        put_into_basket(made, "20725")
        made.get_by_role("button", name="Place the order").click()
        made.get_by_text("The shop does not accept this order: line 1: is at most 1000000.").wait_for()
        assert answers == [], "a busy shop is asked again without being told to"
        made.context.set_offline(True)
        made.get_by_text("You are offline. The basket is kept; ordering waits.").wait_for()
        made.get_by_label("Name or number of a product").fill("lunch")
        made.get_by_text("You are offline; searching again when you are back.").wait_for()
        made.context.set_offline(False)
        made.get_by_text("1 product", exact=True).wait_for()


def test_names_are_text_and_more_can_be_shown(chromium: Any, shop: ShopServer) -> None:
    with page(chromium) as made:
        made.goto(shop.url)
        made.get_by_label("Name or number of a product").fill("cake tin")
        named = made.get_by_text("CAKE TIN <b>7</b>", exact=True)
        named.wait_for()  # the first list may not have been there yet, so that something is gone says nothing
        made.locator("#found .name", has_text="LUNCH BAG").wait_for(state="detached")
        assert named.is_visible()
        made.get_by_role("button", name="Show more").click()
        made.get_by_text("30 products", exact=True).wait_for()
        eventually(lambda: made.get_by_role("button", name="Show more").is_hidden(), True)
        eventually(lambda: made.evaluate("document.activeElement.closest('li').querySelector('.number').textContent"), "tin20")


def test_a_declined_payment(chromium: Any, shop: ShopServer) -> None:
    with page(chromium) as made:
        made.goto(shop.url)
        put_into_basket(made, "20725")
        made.get_by_label("Your name").fill("decline-me")
        made.get_by_role("button", name="Place the order").click()
        assert "Payment declined; nothing was charged" in first_order(made, "declined").inner_text()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", ["desk", "phone"])
def test_everybody_can_read_it(chromium: Any, shop: ShopServer, scheme: str, size: str) -> None:
    options = PHONE if size == "phone" else {"viewport": {"width": 1280, "height": 900}}
    with page(chromium, color_scheme=scheme, **options) as made:
        made.goto(shop.url)
        put_into_basket(made, "22423")
        made.get_by_role("button", name="Place the order").click()
        first_order(made)
        made.get_by_label("Name or number of a product").fill("")
        put_into_basket(made, "85123A")
        made.get_by_label("Name or number of a product").fill("")
        made.get_by_text("The first 20 products").wait_for()
        put_into_basket(made, "tin03")
        made.get_by_label("Name or number of a product").fill("")
        made.get_by_text("The first 20 products").wait_for()
        shoot(made, f"shop-{size}-{scheme}")
        made.get_by_role("link", name="Basket").click()
        shoot(made, f"shop-{size}-{scheme}-basket", whole=False)
        assert accessible(made) == []
        wide = made.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert wide == 0, "nothing has to be scrolled sideways"
        if size == "phone":
            small = made.evaluate(
                """[...document.querySelectorAll('button, input')].filter(e => e.checkVisibility())
                .map(e => e.getBoundingClientRect()).filter(r => r.height < 24 || r.width < 24).length"""
            )
            assert small == 0, "targets that a finger can hit"


def test_pages_are_revalidated_not_sent_again(shop: ShopServer) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", shop.port, timeout=10)
    connection.request("GET", "/shop.js")
    first = connection.getresponse()
    first.read()
    connection.request("GET", "/shop.js", headers={"if-none-match": first.headers["etag"]})
    again = connection.getresponse()
    assert (again.status, again.read()) == (304, b"")
    assert "unsafe" not in first.headers["content-security-policy"]
    connection.close()

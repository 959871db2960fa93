"""The shop over HTTP, in a process of its own: what the routes promise, and a real day."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import sleep

import pytest

from tests.integration.shop_server import ShopServer, finish, need_retail, shop_server


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ShopServer]:
    with shop_server(tmp_path_factory.mktemp("shop")) as server:
        yield server


@pytest.fixture(scope="module")
def staff(shop: ShopServer) -> str:
    return shop.token()


def stock(shop: ShopServer, staff: str, product: str, quantity: int, price: int = 250) -> None:
    body = {"description": f"a {product}", "price_cents": price}
    status, answer = shop.ask("PUT", f"/v1/products/{product}", body, staff)
    assert (status, answer["price_cents"]) == (200, price)
    receipt = {"request_id": f"receipt {product}", "quantity": quantity}
    status, answer = shop.ask("POST", f"/v1/stock/{product}/receipts", receipt, staff)
    assert (status, answer["on_hand"]) == (200, quantity)


def buy(shop: ShopServer, request: str, product: str, **more: object) -> tuple[int, dict[str, object]]:
    body = {"request_id": request, "lines": [{"product_id": product, "quantity": 1}], **more}
    return shop.ask("POST", "/v1/orders", body)


def ended(shop: ShopServer, order_id: object) -> str:
    for _ in range(500):
        _, order = shop.ask("GET", f"/v1/orders/{order_id}")
        if order["status"] != "pending":
            break
        sleep(0.02)
    return str(order["status"])


def test_a_hundred_buyers_of_the_last_item(shop: ShopServer, staff: str) -> None:
    """One of them gets it (201), the other ninety-nine are told that there is none (409)."""
    stock(shop, staff, "last", 1)
    with ThreadPoolExecutor(50) as buyers:
        got = list(buyers.map(lambda number: buy(shop, f"last {number}", "last")[0], range(100)))
    assert sorted(got) == [201] + [409] * 99


def test_an_order_from_placed_to_cancelled(shop: ShopServer, staff: str) -> None:
    """201 with the agreed fields, confirmed a moment later, found again, cancelled."""
    stock(shop, staff, "mug", 5, price=199)
    status, order = buy(shop, "m1", "mug", customer_id="ada")
    assert status == 201
    assert order["total_cents"] == 199
    assert order["lines"] == [{"product_id": "mug", "quantity": 1, "price_cents": 199}]
    assert buy(shop, "m1", "mug", customer_id="ada") == (201, order)
    assert ended(shop, order["order_id"]) == "confirmed"
    status, cancelled = shop.ask("POST", f"/v1/orders/{order['order_id']}/cancel")
    assert (status, cancelled["status"]) == (200, "cancelled")


def test_a_declined_order(shop: ShopServer, staff: str) -> None:
    """The scripted customer's payment is refused, and the order says so."""
    stock(shop, staff, "cup", 5)
    _, order = buy(shop, "c1", "cup", customer_id="decline-me")
    assert ended(shop, order["order_id"]) == "declined"
    assert shop.ask("POST", f"/v1/orders/{order['order_id']}/cancel")[0] == 409


def test_what_is_refused(shop: ShopServer, staff: str) -> None:
    """Unknown things are 404, strangers 401, and a key used for something else 409."""
    assert shop.ask("GET", "/v1/orders/none")[0] == 404
    assert shop.ask("POST", "/v1/orders/none/cancel")[0] == 404
    assert shop.ask("GET", "/v1/products/none")[0] == 404
    assert buy(shop, "n1", "none")[0] == 404
    assert shop.ask("PUT", "/v1/products/x", {"description": "x", "price_cents": 1})[0] == 401
    stock(shop, staff, "pen", 5)
    assert buy(shop, "p1", "pen")[0] == 201
    assert buy(shop, "p1", "pen", customer_id="other")[0] == 409


def test_odd_product_ids(shop: ShopServer, staff: str) -> None:
    """An id with a space, a question mark or a letter from elsewhere is one id, escaped in the path."""
    for product in ("BANK CHARGES", "gift_0001_80", "Käse?"):
        escaped = product.replace(" ", "%20").replace("?", "%3F").replace("ä", "%C3%A4")
        body = {"description": "", "price_cents": 5}
        assert shop.ask("PUT", f"/v1/products/{escaped}", body, staff)[1]["product_id"] == product
        assert shop.ask("GET", f"/v1/products/{escaped}")[1]["product_id"] == product


def test_pages_of_products(shop: ShopServer, staff: str) -> None:
    """The cursor of one page leads to the next, the last page has none."""
    for number in range(3):
        stock(shop, staff, f"page{number}", 1)
    _, first = shop.ask("GET", "/v1/products?search=page&limit=2")
    assert [item["product_id"] for item in first["items"]] == ["page0", "page1"]
    _, second = shop.ask("GET", f"/v1/products?search=page&limit=2&after={first['next']}")
    assert [item["product_id"] for item in second["items"]] == ["page2"]
    assert second["next"] is None
    assert shop.ask("GET", "/v1/products?after=%25")[0] == 422


def test_a_replay_that_does_not_come_out_says_where(shop: ShopServer, tmp_path: Path) -> None:
    """An order that was declined makes the sums differ: exit code 1, the figures, and the order's name."""
    (tmp_path / "2011-01-04.csv").write_text(
        "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n"
        "1,kettle,A KETTLE,2,2011-01-04 10:00:00,10.005,decline-me,France\n"
        "2,kettle,A KETTLE,3,2011-01-04 10:01:00,10.015,,France\n"
    )
    replay = shop.replay("--patience", "2", folder=tmp_path)
    outcome = json.loads(replay.communicate(timeout=60)[0])
    assert replay.returncode == 1
    assert outcome["expected"]["revenue_cents"] == 2 * 1000 + 3 * 1002
    assert outcome["found"]["revenue_cents"] == 3 * 1002
    assert "2011-01-04/1/order-0: declined" in outcome["wrong"]
    assert "orders: the report has 1, the files have 2" in outcome["wrong"]


@pytest.mark.real
def test_a_real_day_twice(tmp_path: Path) -> None:
    """A day of real orders comes out exact, also when it is sent again and after another day."""
    need_retail()
    with shop_server(tmp_path) as server:
        for day in ("2010-12-12", "2010-12-15", "2010-12-12", "2010-12-15,2010-12-12"):
            assert finish(server.replay("--days", day))["exact"]

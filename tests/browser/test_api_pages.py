"""The pages of an API in a real browser: read, found, tried, from the API's own origin and from another one."""

from __future__ import annotations

import json
import re
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from headwater import Api, App, Command, Module, Tx, Value, contract, public
from headwater.edge.openapi.document import OpenApi
from headwater.ops.api_pages.page import page as page_of
from shop.app import app as shop_app
from tests.browser.chromium import accessible, browser, eventually, page, shoot
from tests.integration.shop_server import HEADWATER, ShopServer

pytestmark = pytest.mark.real
SIZES: dict[str, dict[str, Any]] = {
    "desk": {"viewport": {"width": 1400, "height": 900}},
    "phone": {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True},
    "dark": {"viewport": {"width": 1400, "height": 900}, "color_scheme": "dark"},
}


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with browser() as started:
        yield started


class Developing(ShopServer):
    """`headwater dev`: the pages are where the API is."""

    def command(self) -> list[str]:
        return [*HEADWATER, "dev", "--port", str(self.port), "--data", str(self.data)]


class Running(ShopServer):
    """`headwater run` with an admin listener: the pages are at another origin than the API."""

    def __init__(self, data: Path) -> None:
        super().__init__(data)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.admin = int(free.getsockname()[1])

    def command(self) -> list[str]:
        return [*super().command(), "--admin-port", str(self.admin)]


def started(server: ShopServer) -> Iterator[Any]:
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="module")
def developing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Developing]:
    yield from started(Developing(tmp_path_factory.mktemp("dev") / "data"))


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    yield from started(Running(tmp_path_factory.mktemp("run") / "data"))


@pytest.mark.parametrize("size", SIZES)
def test_it_can_be_read_by_everybody(chromium: Any, developing: Developing, size: str) -> None:
    """Axe finds nothing, folded and unfolded; nothing is wider than the window."""
    with page(chromium, **SIZES[size]) as opened:
        opened.goto(f"{developing.url}/api/v1")
        shoot(opened, f"api-{size}", whole=False)
        assert accessible(opened) == []
        opened.click("#unfold")
        eventually(lambda: opened.evaluate("[...document.querySelectorAll('.operation')].every(one => one.open)"), True)
        for folded in opened.locator(".general > summary").all():
            folded.click()
        assert accessible(opened) == []
        eventually(lambda: opened.evaluate("document.documentElement.scrollWidth <= innerWidth"), True)
        shoot(opened, f"api-{size}-unfolded")


def test_everything_of_the_document_stands_there_without_scripts(chromium: Any, developing: Developing) -> None:
    document = json.loads(OpenApi(shop_app).document("v1"))
    with page(chromium, java_script_enabled=False) as opened:
        opened.goto(f"{developing.url}/api/v1")
        text = opened.locator("body").text_content()
        for path, item in document["paths"].items():
            for told in item.values():
                assert path in text and told["summary"] in text
                assert opened.locator(f"#op-{told['operationId']}").count() == 1
        for failure in ("OutOfStock", "UnknownProduct", "NotCancellable", "idempotency-conflict"):
            assert failure in text
        assert not opened.locator("form.try").first.is_visible() and not opened.locator(".controls").is_visible()


def test_an_operation_is_found_and_led_to(chromium: Any, developing: Developing) -> None:
    """By words, by links, and by an address that names it."""
    with page(chromium) as opened:
        opened.goto(f"{developing.url}/api/v1#op-cancelOrder")
        eventually(lambda: opened.locator("#op-cancelOrder").evaluate("one => one.open"), True)
        opened.fill("#find", "orders post")
        shown = "[...document.querySelectorAll('.operation:not([hidden])')].map(one => one.id)"
        eventually(lambda: opened.evaluate(shown), ["op-placeOrder", "op-cancelOrder"])
        operations = sum(len(api.routes) for api in shop_app.apis)
        eventually(lambda: opened.locator("#found").text_content(), f"2 of {operations} operations")
        eventually(lambda: opened.locator("#tag-catalog").is_visible(), False)
        opened.fill("#find", "")
        eventually(lambda: opened.locator("#tag-catalog").is_visible(), True)
        opened.click("nav a[href='#op-searchProducts']")
        eventually(lambda: opened.locator("#op-searchProducts").evaluate("one => one.open"), True)


def curled(line: str, token: str) -> Any:
    """Do what the page says to do in a shell."""
    done = subprocess.run(["bash", "-c", line], env={"TOKEN": token, "PATH": "/usr/bin:/bin"}, capture_output=True, text=True, check=True)
    return done.stdout.replace("\r", "")


def test_it_is_tried_where_it_is(chromium: Any, developing: Developing) -> None:
    """With keys alone; what is sent is what curl would send; refusals are shown as they are."""
    token = developing.token()
    with page(chromium) as opened:
        opened.goto(f"{developing.url}/api/v1")
        opened.fill("#credential", token)
        opened.locator("#op-putProduct > summary").focus()
        opened.keyboard.press("Enter")
        form, result = opened.locator("#op-putProduct form"), opened.locator("#op-putProduct .result")
        form.locator("button").click()
        eventually(lambda: "product_id is required" in result.inner_text(), True)
        eventually(lambda: opened.evaluate("document.activeElement.dataset.name"), "product_id")
        opened.keyboard.type("it's 50 % ä")
        form.locator("textarea").fill('{"description": "don\'t <b>", "price_cents": 5}')
        opened.keyboard.press("Tab")
        opened.keyboard.press("Enter")
        opened.wait_for_selector("#op-putProduct .result strong:text('200')")
        assert '"description": "don\'t <b>"' in result.inner_text()
        assert token not in opened.locator("body").inner_text()
        answer = curled(form.locator(".curl code").text_content(), token)
        assert answer.startswith("HTTP/1.1 200") and json.loads(answer.rpartition("\n\n")[2])["product_id"] == "it's 50 % ä"
        form.locator("textarea").fill('{"description": 1}')
        form.locator("button").click()
        opened.wait_for_selector("#op-putProduct .result.failed strong:text('422')")
        assert '"pointer": "/price_cents"' in result.inner_text()
        opened.fill("#credential", "")
        form.locator("button").click()
        opened.wait_for_selector("#op-putProduct .result.failed strong:text('401')")
        opened.goto(f"{developing.url}/api/v1#op-searchProducts")
        opened.locator("#op-searchProducts [data-name=search]").fill("50 %")
        opened.locator("#op-searchProducts button").click()
        opened.wait_for_selector("#op-searchProducts .result strong:text('200')")
        assert "it's 50 % ä" in opened.locator("#op-searchProducts .result").inner_text()


def test_from_another_origin_it_says_so_and_shows_what_works(chromium: Any, running: Running) -> None:
    """The shop has no Cors, so no page may read its answers: this one says that, and the curl line is right."""
    with page(chromium, **SIZES["desk"]) as opened:
        opened.troubles = []
        opened.goto(f"http://127.0.0.1:{running.admin}/api/v1")
        told = opened.locator("#elsewhere")
        assert told.is_visible() and running.url in told.inner_text()
        opened.click("#op-revenueReport > summary")
        opened.click("#op-revenueReport button")
        opened.wait_for_selector("#op-revenueReport .result.failed strong")
        assert "Cors" in opened.locator("#op-revenueReport .result").inner_text()
        assert curled(opened.locator("#op-revenueReport .curl code").text_content(), "").startswith("HTTP/1.1 200")
        assert all("CORS policy" in trouble for trouble in opened.troubles), opened.troubles
        opened.troubles.clear()


def test_they_are_not_at_the_public_port(running: Running) -> None:
    """Only the admin listener and developers see them (and its own index names them)."""
    for path in ("/api/v1", "/api/v1/openapi.json", "/api/docs.css", "/openapi.json", "/docs"):
        assert running.ask("GET", path)[0] == 404


# --- hostile words --------------------------------------------------------------------------------

EVIL = "</p><script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">`</code><b>` \u202e"


class Thing(Value):
    name: str = EVIL


@contract("evil.say", v=1)
class Say(Command[Thing]):
    text: str = EVIL


Say.__doc__ = Thing.__doc__ = EVIL
evil = Module("evil")


@evil.handle(Say)
async def say(cmd: Say, tx: Tx) -> Thing:
    return Thing()


def test_words_of_an_application_stay_words(chromium: Any) -> None:
    api = Api("v1", auth=public)
    api.post("/say", Say)
    made = App("evil", modules=[evil], apis=[api])
    written = page_of(OpenApi(made).tree("v1"), name="v1", base="")
    assert "\u202e" not in written
    with page(chromium) as opened:
        opened.set_content(re.sub(r"<script src=[^>]*></script>|<link rel=\"stylesheet\"[^>]*>", "", written))
        assert opened.title() == "evil v1"
        assert opened.locator("script, img, b").count() == 0
        assert "onerror" in opened.locator("#op-say").text_content()

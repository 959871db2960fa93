"""A generated client against the running shop, and against servers that are dead, slow, busy or break off."""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from headwater.testing.process import RunningApp, running_app

EXAMPLE = Path(__file__).parents[2] / "examples" / "shop"
ANSWER = b'{"orders":0,"units":0,"revenue_cents":0,"returned_units":0,"refunded_cents":0}'
HEADWATER = (sys.executable, "-m", "headwater.cli")


@pytest.fixture(scope="module")
def v1(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The client's module, written by the command and imported from where it was written."""
    folder = tmp_path_factory.mktemp("client")
    done = subprocess.run(
        [*HEADWATER, "client", "shop.app:app", "--out", str(folder), "--api", "v1"], cwd=EXAMPLE, check=True, text=True, capture_output=True
    )
    assert done.stdout.splitlines()[-1] == str(folder / "shop_client" / "v1.py")
    sys.path.insert(0, str(folder))
    try:
        yield importlib.import_module("shop_client.v1")
    finally:
        sys.path.remove(str(folder))


@pytest.fixture(scope="module")
def outcomes(v1: Any) -> Any:
    return importlib.import_module("shop_client")


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[RunningApp]:
    with running_app(EXAMPLE, tmp_path / "data") as app:
        yield app


def staff(shop: RunningApp, tmp_path: Path) -> str:
    done = subprocess.run(
        [*HEADWATER, "token", "--role", "staff", "--data", str(tmp_path / "data")], cwd=EXAMPLE, check=True, text=True, capture_output=True
    )
    return done.stdout.strip()


Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Any]


class Server:
    """A server of a few lines: it notes the heads of requests, and answers as told."""

    def __init__(self) -> None:
        self.heads: list[dict[str, str]] = []
        self.times: list[float] = []
        self.address = ""

    async def read(self, reader: asyncio.StreamReader) -> bytes:
        head = await reader.readuntil(b"\r\n\r\n")
        first, *lines = head.decode().strip().split("\r\n")
        self.heads.append({":": first} | {n.lower(): v for n, _, v in (line.partition(": ") for line in lines)})
        self.times.append(time.monotonic())
        return head + await reader.readexactly(int(self.heads[-1].get("content-length", "0")))


def answer(status: str, body: bytes, *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"content-length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def problem(status: str, code: str, *headers: str) -> bytes:
    body = json.dumps({"code": code, "detail": "", "instance": "urn:request:1"}).encode()
    return answer(status, body, "content-type: application/problem+json", *headers)


@asynccontextmanager
async def serving(answers: Callable[[int], bytes | None]) -> AsyncIterator[Server]:
    """Answer the n-th request (from 1) as told; None breaks the connection off, b"" says nothing for ever."""
    server = Server()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                await server.read(reader)
                said = answers(len(server.heads))
                if said is None:
                    return
                if said == b"":
                    await asyncio.sleep(60)
                writer.write(said)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    server.address = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    try:
        yield server
    finally:
        listening.close()
        await asyncio.sleep(0)


# --- the shop -----------------------------------------------------------------------------------------


async def test_the_shop_through_its_client(v1: Any, outcomes: Any, shop: RunningApp, tmp_path: Path) -> None:
    """Values, refusals, nothing, pages, roles: each as its own thing, typed."""
    async with v1.V1(shop.address, token=staff(shop, tmp_path)) as owner, v1.V1(shop.address) as buyer:
        for number in range(3):
            put = v1.PutProduct(product_id=f"p/{number} %", description="a thing", price_cents=250)
            with pytest.raises(outcomes.NotExecuted) as refused:
                await owner.put_product(put)  # an encoded slash is no part of a path
            assert (refused.value.status, refused.value.code) == (400, "bad-path")
            await owner.put_product(v1.PutProduct(product_id=f"p{number} %", description="a thing", price_cents=250))
        stock = await owner.receive_stock(v1.ReceiveStock(product_id="p0 %", quantity=3))
        assert stock == v1.Stock(product_id="p0 %", on_hand=3)
        with pytest.raises(outcomes.NotExecuted) as refused:
            await buyer.receive_stock(v1.ReceiveStock(product_id="p0 %", quantity=3))
        assert (refused.value.status, refused.value.code) == (401, "unauthenticated")

        wanted = v1.PlaceOrder(lines=(v1.Wanted(product_id="p0 %", quantity=2),))
        order = await buyer.place_order(wanted)
        assert (order.status, order.total_cents) == ("pending", 500)
        assert (await buyer.place_order(wanted)).order_id == order.order_id  # the same message: the same order
        with pytest.raises(v1.OutOfStock) as out:
            await buyer.place_order(v1.PlaceOrder(lines=(v1.Wanted(product_id="p0 %", quantity=2),)))
        assert (out.value.product_id, out.value.on_hand) == ("p0 %", 1)
        with pytest.raises(outcomes.NotExecuted, match="idempotency-conflict"):
            await buyer.place_order(v1.PlaceOrder(request_id=wanted.request_id, lines=(v1.Wanted(product_id="p1 %", quantity=1),)))
        with pytest.raises(v1.UnknownOrder):
            await buyer.cancel_order(v1.CancelOrder(order_id="none"))
        assert await buyer.order_by_id(v1.OrderById(order_id="none")) is None
        found = await buyer.order_by_id(v1.OrderById(order_id=order.order_id))
        assert found is not None
        assert found.lines == (v1.OrderLine(product_id="p0 %", quantity=2, price_cents=250),)
        assert buyer.session_token is not None

        with pytest.raises(outcomes.NotExecuted) as wrong:
            await buyer.place_order(v1.PlaceOrder(lines=()))
        assert [error.pointer for error in wrong.value.errors] == ["/lines"]
        first = await buyer.search_products(v1.SearchProducts(search="thing", limit=2))
        rest = await buyer.search_products(v1.SearchProducts(search="thing", limit=2, after=first.next))
        assert [p.product_id for p in (*first.items, *rest.items)] == ["p0 %", "p1 %", "p2 %"]
        assert rest.next is None


async def test_a_killed_server_is_told_from_one_that_broke_off(v1: Any, outcomes: Any, shop: RunningApp, tmp_path: Path) -> None:
    """Nobody listens: it certainly did not run. The same client works when the server is back."""
    calm = outcomes.Retries(most=2, first=0.01)
    async with v1.V1(shop.address, token=staff(shop, tmp_path), retries=calm) as client:
        put = v1.PutProduct(product_id="a", description="", price_cents=1)
        await client.put_product(put)
        shop.kill()
        with pytest.raises((outcomes.NotExecuted, outcomes.OutcomeUnknown)):
            await client.put_product(put)  # the kept connection may break under it
        with pytest.raises(outcomes.NotExecuted) as refused:
            await client.put_product(put)
        assert (refused.value.code, refused.value.status) == ("unreachable", None)
        shop.start()
        assert (await client.put_product(put)).product_id == "a"


async def test_an_answer_that_was_lost_is_asked_for_again(v1: Any, shop: RunningApp, tmp_path: Path) -> None:
    """The shop has placed the order and the line breaks before the answer: the retry returns it, and it was placed once."""
    port = int(shop.address.rpartition(":")[2])
    lost: list[bytes] = []

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server = Server()
        try:
            request = await server.read(reader)
            up, down = await asyncio.open_connection("127.0.0.1", port)
            down.write(request)
            head = await up.readuntil(b"\r\n\r\n")
            length = next(int(line.partition(b":")[2]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length"))
            said = head + await up.readexactly(length)
            down.close()
            if len(lost) < 2:
                lost.append(said)
            else:
                writer.write(said)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    proxy = await asyncio.start_server(forward, "127.0.0.1", 0)
    address = f"http://127.0.0.1:{proxy.sockets[0].getsockname()[1]}"
    async with v1.V1(shop.address, token=staff(shop, tmp_path)) as owner, v1.V1(address) as buyer:
        await owner.put_product(v1.PutProduct(product_id="a", description="", price_cents=7))
        await owner.receive_stock(v1.ReceiveStock(product_id="a", quantity=1))
        order = await buyer.place_order(v1.PlaceOrder(lines=(v1.Wanted(product_id="a", quantity=1),)))
        assert len(lost) == 2
        assert all(b"201" in said.partition(b"\r\n")[0] for said in lost)
        assert all(order.order_id.encode() in said for said in lost)
    proxy.close()


# --- other servers ------------------------------------------------------------------------------------


async def test_a_slow_server_leaves_the_outcome_open(v1: Any, outcomes: Any) -> None:
    """The deadline travels along, and a command that was sent and not answered may have run."""
    async with serving(lambda n: b"") as server, v1.V1(server.address) as client:
        with pytest.raises(outcomes.OutcomeUnknown) as unknown:
            await client.cancel_order(v1.CancelOrder(order_id="1"), within=0.3)
        assert unknown.value.code == "no-answer"
        assert len(server.heads) == 1
        assert 0 < float(server.heads[0]["request-timeout"]) <= 0.3


async def test_a_connection_that_breaks_is_tried_again_with_the_same_key(v1: Any, outcomes: Any) -> None:
    order = b'{"order_id":"1","status":"cancelled","total_cents":0,"lines":[]}'
    async with serving(lambda n: None if n < 3 else answer("200 OK", order)) as server, v1.V1(server.address) as client:
        assert (await client.cancel_order(v1.CancelOrder(order_id="1"))).status == "cancelled"
        assert len({head["idempotency-key"] for head in server.heads}) == 1
        assert len(server.heads) == 3
        left = [float(head["request-timeout"]) for head in server.heads]
        assert left == sorted(left, reverse=True)
    async with serving(lambda n: None) as server, v1.V1(server.address) as client:
        with pytest.raises(outcomes.OutcomeUnknown) as unknown:
            await client.cancel_order(v1.CancelOrder(order_id="1"), key="mine")
        assert unknown.value.code == "connection-lost"
        assert [head["idempotency-key"] for head in server.heads] == ["mine"] * 4


async def test_an_outcome_once_open_stays_open(v1: Any, outcomes: Any) -> None:
    """A first attempt that may have run is not undone by a second one that certainly did not."""
    async with serving(lambda n: None if n == 1 else problem("503 x", "overloaded")) as server, v1.V1(server.address) as client:
        with pytest.raises(outcomes.OutcomeUnknown, match="connection broke.*and then.*503"):
            await client.cancel_order(v1.CancelOrder(order_id="1"))
        assert len(server.heads) == 4


@pytest.mark.parametrize("broken", [b'{"order_id":1}', b"<html>", b"", b"{"])
async def test_an_answer_that_cannot_be_read_leaves_it_open(v1: Any, outcomes: Any, broken: bytes) -> None:
    said = answer("200 OK", broken) if broken else problem("502 x", "bad")
    async with serving(lambda n: said) as server, v1.V1(server.address, retries=outcomes.Retries(most=1)) as client:
        with pytest.raises(outcomes.OutcomeUnknown) as unknown:
            await client.cancel_order(v1.CancelOrder(order_id="1"))
        assert unknown.value.status in (200, 502)


async def test_a_busy_server_is_given_the_time_that_it_asks_for(v1: Any, outcomes: Any) -> None:
    """503 certainly did not run; it is tried again, not before Retry-After, and not when that is too late."""
    async with serving(lambda n: problem("503 x", "overloaded", "retry-after: 1") if n == 1 else answer("200 OK", ANSWER)) as server:
        async with v1.V1(server.address) as client:
            with pytest.raises(outcomes.NotExecuted) as refused:
                await client.revenue_report(v1.RevenueReport())  # its contract allows a second in all
            assert (refused.value.status, refused.value.code, refused.value.retry_after) == (503, "overloaded", 1.0)
    order = b'{"order_id":"1","status":"cancelled","total_cents":0,"lines":[]}'
    async with serving(lambda n: problem("503 x", "overloaded", "retry-after: 1") if n == 1 else answer("200 OK", order)) as server:
        async with v1.V1(server.address) as client:
            await client.cancel_order(v1.CancelOrder(order_id="1"))
        assert server.times[1] - server.times[0] >= 1.0


async def test_a_struggling_server_gets_a_tenth_more_at_most(v1: Any, outcomes: Any) -> None:
    quick = outcomes.Retries(first=0.0001, longest=0.001)
    async with serving(lambda n: problem("503 x", "overloaded")) as server, v1.V1(server.address, retries=quick) as client:
        for _ in range(200):
            with pytest.raises(outcomes.NotExecuted):
                await client.revenue_report(v1.RevenueReport())
        assert 200 + 10 < len(server.heads) <= 200 + 10 + 20


async def test_connections_are_kept(v1: Any, outcomes: Any) -> None:
    ports: set[str] = set()
    async with serving(lambda n: answer("200 OK", ANSWER)) as server, v1.V1(server.address, api_key="k") as client:
        for _ in range(5):
            await client.revenue_report(v1.RevenueReport())
            pool = client._http._transport._pool
            ports |= {str(id(connection)) for connection in pool.connections}
        assert len(ports) == 1
        assert {head["authorization"] for head in server.heads} == {"ApiKey k"}


def test_the_command_names_what_is_wrong(tmp_path: Path) -> None:
    def run(*words: str) -> tuple[int, str]:
        done = subprocess.run([*HEADWATER, "client", *words], cwd=EXAMPLE, capture_output=True, text=True, check=False, env=os.environ)
        return done.returncode, done.stderr

    code, said = run("--out", str(tmp_path), "--api", "v7")
    assert (code, said.splitlines()[0]) == (2, "error: configuration: there is no API 'v7'; known: v1")
    code, said = run()
    assert (code, "--out" in said) == (2, True)

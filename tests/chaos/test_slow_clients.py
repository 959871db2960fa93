"""Clients that are slow on purpose, by the thousand: they are let go, cost little, and nobody else notices."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from pathlib import Path

import pytest

from headwater.testing.process import RunningApp, running_app
from tests.integration.shop_server import EXAMPLE

pytestmark = pytest.mark.real
EACH = 1000
LET_GO_SECONDS = 30.0
BYTES_EACH = 32 * 1024
HEAD = b"GET /v1/products?search=a HTTP/1.1\r\nHost: localhost\r\n"
BODY = (
    b"POST /v1/orders HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n{"
)
KINDS = {"silent": b"", "head": HEAD, "body": BODY}


def memory(app: RunningApp) -> int:
    """Return the bytes that the process holds."""
    assert app._process is not None
    status = Path(f"/proc/{app._process.pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) * 1024


async def slow(port: int, first: bytes, ended: Counter[str], kind: str) -> None:
    """Say something, then a byte a second, until the server has had enough."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=4096)
    try:
        writer.write(first)
        while True:
            try:
                await asyncio.wait_for(reader.read(1), 1.0)
                break  # an answer or the end: either way it is over
            except TimeoutError:
                if first:
                    writer.write(b"x")
    except OSError:
        pass
    finally:
        ended[kind] += 1
        writer.transport.abort()


async def ask_on(port: int, over: asyncio.Event) -> list[float]:
    """Ask as an honest client does; return how long each answer took."""
    took = []
    while not over.is_set():
        started = time.monotonic()
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(HEAD + b"Connection: close\r\n\r\n")
        answer = await asyncio.wait_for(reader.read(-1), 10)
        writer.close()
        await writer.wait_closed()
        assert answer.startswith(b"HTTP/1.1 200"), answer[:200]
        assert json.loads(answer.partition(b"\r\n\r\n")[2]) is not None
        took.append(time.monotonic() - started)
        await asyncio.sleep(0.02)
    return took


async def test_three_thousand_slow_clients_are_let_go_and_nobody_else_notices(tmp_path: Path) -> None:
    """Silence, half a head, a body that drips: each has its limit. Memory stays below a bound for each client."""
    with running_app(EXAMPLE, tmp_path / "data") as app:
        port, over = int(app.address.rpartition(":")[2]), asyncio.Event()
        honest = asyncio.create_task(ask_on(port, over))
        await asyncio.sleep(0.5)
        before, ended = memory(app), Counter[str]()
        clients = [
            asyncio.create_task(slow(port, first, ended, kind)) for kind, first in KINDS.items() for _ in range(EACH)
        ]
        await asyncio.sleep(5)
        during = memory(app)
        async with asyncio.timeout(LET_GO_SECONDS):
            await asyncio.gather(*clients)
        over.set()
        took = await honest
        assert ended == dict.fromkeys(KINDS, EACH)
        assert len(took) > 100
        assert during - before < BYTES_EACH * EACH * len(KINDS)
        assert not app.ended

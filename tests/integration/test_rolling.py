"""Workers are replaced under load, again and again, and no request fails (readiness, draining, sockets that stay)."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

pytestmark = pytest.mark.real
RESTARTS = 10
REQUESTS_LEAST = 10_000
STAYING, COMING = 16, 4
PACE_SECONDS = 0.01
REQUEST = b"GET /v1/notes HTTP/1.1\r\nHost: localhost\r\n\r\n"


class Load:
    """Clients that keep their connection as long as the server does, and clients that come anew for each request."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.over = False
        self.answers: Counter[str] = Counter()

    async def staying(self) -> None:
        reader = writer = None
        while not self.over:
            if writer is None or reader is None:
                reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
            ends = await self._ask(reader, writer)
            if ends:
                await _close(writer)
                reader = writer = None
            await asyncio.sleep(PACE_SECONDS)
        if writer is not None:
            await _close(writer)

    async def coming(self) -> None:
        while not self.over:
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
            except OSError as error:
                self.answers[f"connect: {error!r}"] += 1
                continue
            await self._ask(reader, writer)
            await _close(writer)
            await asyncio.sleep(PACE_SECONDS)

    async def _ask(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Ask once; return whether the connection is over."""
        try:
            writer.write(REQUEST)
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 20)
            length = re.search(rb"content-length: (\d+)", head)
            await reader.readexactly(int(length[1]) if length else 0)
        except (OSError, asyncio.IncompleteReadError, TimeoutError) as error:
            self.answers[repr(error)] += 1
            return True
        self.answers[head[9:12].decode()] += 1
        return b"connection: close" in head


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


async def test_ten_replacements_of_all_workers_lose_no_request(tmp_path: Path) -> None:
    """Kept connections are told that they end; new ones wait in a socket that never closes."""
    subprocess.run([sys.executable, "-m", "headwater.cli", "new", "myapp"], cwd=tmp_path, check=True, timeout=60)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "headwater.cli", "run", "--workers", "2", "--port", "0", cwd=tmp_path / "myapp",
        env={**os.environ, "PYTHONUNBUFFERED": "1"}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )
    said: list[str] = []
    try:
        assert process.stdout is not None
        while not (found := re.search(r"127\.0\.0\.1:(\d+)", line := (await process.stdout.readline()).decode())):
            assert line, "it has ended"
        load = Load(int(found[1]))
        clients = [asyncio.create_task(load.staying()) for _ in range(STAYING)]
        clients += [asyncio.create_task(load.coming()) for _ in range(COMING)]
        for _ in range(RESTARTS):
            await asyncio.sleep(0.3)
            process.send_signal(signal.SIGHUP)
            async with asyncio.timeout(60):
                while "all workers are new" not in (line := (await process.stdout.readline()).decode()):
                    said.append(line)
                    assert line, said
        load.over = True
        await asyncio.gather(*clients)
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 30) == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert load.answers.keys() == {"200"}, load.answers
    assert load.answers["200"] >= REQUESTS_LEAST

"""The real clock, ids, threads and bells."""

from __future__ import annotations

import asyncio
import socket
import threading
import uuid
from pathlib import Path

import pytest

from headwater.adapters.bells import SocketBell
from headwater.adapters.places import sockets_folder
from headwater.adapters.system import SystemClock, SystemIds, ThreadExecutor
from headwater.errors import ConfigurationError, Overloaded


async def test_a_ring_reaches_every_process_of_the_folder(tmp_path: Path) -> None:
    """One datagram wakes the listeners of a topic in the other process, and those here; others sleep on."""
    one, two = SocketBell(tmp_path, "worker-0"), SocketBell(tmp_path, "worker-1")
    await one.open()
    await two.open()
    heard: list[str] = []
    one.listen("orders", lambda: heard.append("here"))
    two.listen("orders", lambda: heard.append("there"))
    two.listen("payments", lambda: heard.append("other topic"))
    one.ring("orders")
    for _ in range(100):
        if len(heard) == 2:
            break
        await asyncio.sleep(0.01)
    assert sorted(heard) == ["here", "there"]
    await two.close()
    one.ring("orders")  # nobody there any more: no error
    await asyncio.sleep(0.02)
    assert heard.count("here") == 2
    await one.close()
    assert list(tmp_path.iterdir()) == []


async def test_a_dead_process_leaves_a_socket_that_the_next_one_removes(tmp_path: Path) -> None:
    """After kill -9 the socket's file is still there; ringing it harms nobody, and whoever opens next takes it away."""
    left = tmp_path / "worker-0-1-0.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as dead:
        dead.bind(str(left))
    bell = SocketBell(tmp_path, "worker-0")
    await bell.open()
    assert not left.exists()
    bell.ring("orders")
    await asyncio.sleep(0.01)
    await bell.close()
    assert list(tmp_path.iterdir()) == []


async def test_a_successor_of_the_same_name_hears_after_its_predecessor_has_gone(tmp_path: Path) -> None:
    """A worker that is replaced ends when its successor has begun, and takes nothing of it away."""
    old, other = SocketBell(tmp_path, "worker-0"), SocketBell(tmp_path, "worker-1")
    await old.open()
    await other.open()
    new = SocketBell(tmp_path, "worker-0")
    await new.open()
    await old.close()
    heard: list[str] = []
    new.listen("orders", lambda: heard.append("new"))
    other.ring("orders")
    for _ in range(100):
        if heard:
            break
        await asyncio.sleep(0.01)
    assert heard == ["new"]
    await new.close()
    await other.close()


async def test_a_folder_whose_path_is_too_long_for_sockets_has_one_that_stands_for_it(tmp_path: Path) -> None:
    """The same for every process, and nobody else's; one that somebody else could write to is refused."""
    deep = tmp_path / ("d" * 100) / "run"
    one, two = SocketBell(deep, "worker-0"), SocketBell(deep, "worker-1")
    await one.open()
    await two.open()
    heard: list[str] = []
    two.listen("orders", lambda: heard.append("there"))
    one.ring("orders")
    for _ in range(100):
        if heard:
            break
        await asyncio.sleep(0.01)
    assert heard == ["there"]
    await one.close()
    await two.close()
    place = sockets_folder(deep)
    assert place.stat().st_mode & 0o777 == 0o700
    place.chmod(0o777)
    with pytest.raises(ConfigurationError, match="belongs to somebody else"):
        sockets_folder(deep)
    place.rmdir()


async def test_many_rings_in_one_turn_are_one(tmp_path: Path) -> None:
    """A commit of a hundred units wakes a listener once."""
    bell = SocketBell(tmp_path, "worker-0")
    await bell.open()
    heard: list[int] = []
    bell.listen("orders", lambda: heard.append(1))
    for _ in range(100):
        bell.ring("orders")
    await asyncio.sleep(0.01)
    assert heard == [1]
    await bell.close()


def test_ids_are_uuids_that_ascend() -> None:
    """UUIDv7 by RFC 9562: version, variant, unique, sorted by time."""
    ids = SystemIds()
    made = [ids.new() for _ in range(5_000)]
    assert made == sorted(made)
    assert len(set(made)) == 5_000
    assert {uuid.UUID(i).version for i in made} == {7}
    assert {uuid.UUID(i).variant for i in made} == {uuid.RFC_4122}


async def test_threads_are_bounded() -> None:
    """More work than may wait is refused at once, and what was taken is finished."""
    executor = ThreadExecutor(threads=1, waiting_most=1)
    gate = threading.Event()
    running = [asyncio.ensure_future(executor.run(gate.wait)) for _ in range(2)]
    await asyncio.sleep(0.01)
    with pytest.raises(Overloaded):
        await executor.run(gate.wait)
    gate.set()
    assert await asyncio.gather(*running) == [True, True]
    assert await executor.run(threading.current_thread) is not threading.main_thread()
    executor.close()


async def test_a_timer_runs_at_its_time_on_this_loop() -> None:
    """`call_at` is on the monotonic scale, whatever the loop's own clock begins with."""
    clock = SystemClock()
    ran: list[float] = []
    clock.call_at(clock.monotonic() + 0.02, lambda: ran.append(clock.monotonic()))
    never = clock.call_at(clock.monotonic() + 0.01, lambda: ran.append(-1.0))
    never.cancel()
    began = clock.monotonic()
    await clock.sleep(0.05)
    assert len(ran) == 1
    assert ran[0] - began >= 0.015

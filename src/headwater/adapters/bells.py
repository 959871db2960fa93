"""Bells: within a process, and between the processes that share a data folder.

Between processes a ring is one datagram to a Unix socket in the folder: no polling, and a full or
missing socket is simply not woken.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import socket
from collections.abc import Callable
from pathlib import Path

from headwater.adapters.places import sockets_folder

__all__ = ["LocalBell", "SocketBell"]

_bells = itertools.count()


class LocalBell:
    """Rings inside one process, on the loop that rings."""

    def __init__(self) -> None:
        self._listeners: dict[str, list[Callable[[], None]]] = {}

    async def open(self) -> None:
        """Nothing to open."""

    def listen(self, topic: str, callback: Callable[[], None]) -> None:
        """Call back whenever the topic rings."""
        self._listeners.setdefault(topic, []).append(callback)

    def ring(self, topic: str) -> None:
        """Wake every listener of the topic."""
        for callback in self._listeners.get(topic, ()):
            callback()

    async def close(self) -> None:
        """Forget every listener."""
        self._listeners.clear()


class SocketBell(LocalBell):
    """Rings here and in every process that has a socket in `folder`, or what stands for it where its path is long.

    name: this process's, which its successor may share.
    """

    def __init__(self, folder: Path, name: str) -> None:
        super().__init__()
        self._folder = folder
        self._name = name
        self._path = folder
        self._socket: socket.socket | None = None
        self._peers: list[str] = []
        self._stamp = -1
        self._rung: dict[str, None] = {}

    async def open(self) -> None:
        """Bind this process's socket. Leftovers of dead processes are removed."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder = sockets_folder(self._folder)
        for left in self._folder.glob("*.sock"):
            _remove_dead(left)
        self._path = self._folder / f"{self._name}-{os.getpid()}-{next(_bells)}.sock"
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        listener.setblocking(False)
        listener.bind(str(self._path))
        self._socket = listener
        asyncio.get_running_loop().add_reader(listener, self._heard, listener)

    def ring(self, topic: str) -> None:
        """Wake every listener of the topic, here and elsewhere; once in a turn of the loop is enough."""
        if not self._rung:
            asyncio.get_running_loop().call_soon(self._ring_all)
        self._rung[topic] = None

    def _ring_all(self) -> None:
        topics, self._rung = list(self._rung), {}
        for topic in topics:
            super().ring(topic)
        if self._socket is None:
            return
        for peer in self._others():
            for topic in topics:
                with contextlib.suppress(OSError):  # gone, or its queue is full: it is awake anyway
                    self._socket.sendto(topic.encode(), peer)

    async def close(self) -> None:
        """Unbind."""
        await super().close()
        if self._socket is not None:
            asyncio.get_running_loop().remove_reader(self._socket)
            self._socket.close()
            self._socket = None
            self._path.unlink(missing_ok=True)

    def _others(self) -> list[str]:
        stamp = self._folder.stat().st_mtime_ns
        if stamp != self._stamp:  # a socket came or went
            self._stamp = stamp
            self._peers = [str(p) for p in sorted(self._folder.glob("*.sock")) if p != self._path]
        return self._peers

    def _heard(self, listener: socket.socket) -> None:
        topics: dict[str, None] = {}
        with contextlib.suppress(BlockingIOError):
            for _ in range(1024):
                topics[listener.recv(512).decode(errors="replace")] = None
        for topic in topics:
            super().ring(topic)


def _remove_dead(path: Path) -> None:
    """Remove a socket that nobody listens at."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)
        except OSError:
            pass  # it went by itself

"""Puts the admin listener beside a serving node, and the socket by which workers tell each other how they are."""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path

from headwater.cli.settings import Settings
from headwater.edge.responder import Answers
from headwater.edge.route import CompiledRoute
from headwater.edge.server import Limits, Server
from headwater.model.app import App
from headwater.ops.access import Access
from headwater.ops.admin import Admin
from headwater.ops.api_pages.pages import api_pages
from headwater.ops.dashboard.server import Dashboard
from headwater.ops.dashboard.told import ToldSource
from headwater.ops.figures import Figures
from headwater.ops.peers import Peers, socket_path
from headwater.ops.profile import Profiler
from headwater.runtime.heart import Heart
from headwater.runtime.node import Node
from headwater.topology.file import Topology
from headwater.topology.instance import StackSampler, SystemProcess, ThreadExecutor, sockets_folder
from headwater.topology.secrets import resolve

__all__ = ["access_of", "administered"]

CONNECTIONS = 100
THREADS = 4
FIRST_PAGE = "/dashboard"
BODY_BYTES = 64 * 1024
STOP_SECONDS = 3.0
QUIET_SECONDS = 0.2


def access_of(topology: Topology, *, folder: Path) -> Access:
    """Return who may ask the admin listener.

    Raises ConfigurationError when others could without a token, or when the token is not there.
    """
    said = topology.admin
    token = None if said.token is None else resolve(said.token, environment=os.environ, folder=folder)
    return Access(said.host, token)


@contextlib.asynccontextmanager
async def administered(
    app: App, node: Node, heart: Heart, server: Server, routes: Sequence[CompiledRoute], settings: Settings,
    topology: Topology, *, listener: socket.socket | None,
) -> AsyncGenerator[Admin]:
    """Let a started node and its edge be looked after.

    listener: where people and machines ask, in the one worker that answers them; the dashboard is there too.
    """
    data, parts = Path(settings.data), node.parts
    run = sockets_folder(data / "run")
    threads = ThreadExecutor(threads=THREADS)  # handlers may fill all of the node's own, and then somebody looks
    figures = Figures(node, SystemProcess(data), heart, threads, slot=settings.slot, server=server, routes=routes)
    admin = Admin(
        figures, access=access_of(topology, folder=Path(settings.folder)),
        peers=Peers(run, [slot for slot in range(settings.workers) if slot != settings.slot]),
        profiler=Profiler(StackSampler, threads),
    )
    if listener is not None:
        source = ToldSource(app, node, admin.see, admin.kept, executor=threads)
        keys = topology.auth.api_keys is not None
        admin.show(api_pages(app, base=_public(settings, topology), api_keys=keys))
        board = Dashboard(
            source, executor=threads, token=secrets.token_urlsafe(24),
            elsewhere=[(f"API {api.name}", f"/api/{api.name}") for api in app.apis],
        )
        admin.show(board.pages, first=FIRST_PAGE)
    limits = Limits(connections=CONNECTIONS, body_bytes=BODY_BYTES)
    inner = Server(Answers(admin.tell), clock=parts.clock, limits=limits)
    outer = Server(Answers(admin.respond), clock=parts.clock, limits=limits)
    figures.start()
    mine = 0
    place = Path(socket_path(run, settings.slot))
    try:
        await inner.start(path=str(place), succeed=True)
        mine = await threads.run(lambda: place.stat().st_ino)
        if listener is not None:
            await outer.start(listener)
        yield admin
    finally:
        await outer.stop(within=STOP_SECONDS, quiet=QUIET_SECONDS)
        await inner.stop(within=1.0)
        await threads.run(lambda: _remove(place, mine))
        figures.stop()
        threads.close()


def _public(settings: Settings, topology: Topology) -> str:
    """Return the address of the public port, as far as it is known here."""
    scheme = "http" if topology.http.certificate is None else "https"
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)  # noqa: S104 - compared, not bound
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{settings.port}"


def _remove(place: Path, mine: int) -> None:
    """Remove our socket, unless a successor has put its own there."""
    with contextlib.suppress(FileNotFoundError):
        if place.stat().st_ino == mine:
            place.unlink()

"""One serving process: a node, the edge before it, and an orderly way out."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import socket
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headwater.cli.observing import observed
from headwater.cli.settings import Settings
from headwater.errors import ConfigurationError
from headwater.model.app import App
from headwater.runtime.logs import configure_logs, log_style
from headwater.runtime.parts import DeliveryFaults
from headwater.topology.assemble import assemble
from headwater.topology.crash import crash_points
from headwater.topology.file import Topology
from headwater.topology.project import Project
from headwater.topology.telemetry import trace_settings

if TYPE_CHECKING:
    from headwater.edge.routes import Router
    from headwater.runtime.heart import Heart
    from headwater.runtime.node import Node

__all__ = ["listen", "run_loop", "running", "serve", "settings_of"]

COLLECT_EACH = 10_000
"""Objects that may be made, and not freed, between two looks at the newest."""
DRAIN_SECONDS = 10.0
QUIET_SECONDS = 0.5
_LOOPBACK = ("127.0.0.1", "::1", "localhost")


def settings_of(
    project: Project, topology: Topology, *, host: str | None, port: int | None, admin_port: int | None = None
) -> Settings:
    """Return the settings of a project; options come before the topology file.

    Raises ConfigurationError when a development key would be believed from other machines.
    """
    host = host or topology.http.host
    if topology.auth.development and host not in _LOOPBACK:
        raise ConfigurationError(
            f"host {host!r} can be reached from other machines, and tokens would be verified with the development "
            "key: configure [[auth.keys]] in the topology file, or serve on 127.0.0.1"
        )
    return Settings(
        app=project.app, folder=str(project.folder), data=str(project.data),
        topology=None if project.topology is None else str(project.topology),
        host=host, port=topology.http.port if port is None else port,
        admin_port=topology.admin.port if admin_port is None else admin_port,
    )


def listen(host: str, port: int, *, shared: bool) -> socket.socket:
    """Bind a TCP socket, not yet listening. Port 0 takes a free one. Raises ConfigurationError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise ConfigurationError(
            f"cannot serve at {host}:{port}: {error.strerror or error}; choose another --host or --port"
        ) from None
    listener.setblocking(False)
    return listener


def run_loop(main: Callable[[], Any]) -> Any:
    """Run a coroutine function on uvloop where it is installed, else on asyncio's own loop."""
    factory: Any = None
    with contextlib.suppress(ImportError):
        import uvloop

        factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(main())


@contextlib.asynccontextmanager
async def running(app: App, settings: Settings, topology: Topology) -> AsyncGenerator[tuple[Node, Router, Heart]]:
    """Run an application for as long as the block does, observed, with its routes and its loop's heart.

    Nothing listens yet. The caller holds the data folder's lock and has checked the boundaries. Raises
    ConfigurationError and its kin.
    """
    from headwater.cli.edge import identify, routes_of

    configure_logs(log_style(os.environ))
    events = topology.events
    if settings.dev and not (events.duplicate or events.delay):
        faults: DeliveryFaults | None = DeliveryFaults(duplicate=0.3, delay=0.2)
    else:
        faults = DeliveryFaults(duplicate=events.duplicate, delay=events.delay)
        faults = faults if events.duplicate or events.delay else None
    node = assemble(
        app, data=Path(settings.data), durability=topology.data.durability, instance=settings.instance,
        slot=settings.slot, encode=settings.dev or topology.process.encode, faults=faults,
        points=crash_points(os.environ), tracing=trace_settings(topology.traces, dev=settings.dev),
    )
    await node.start()
    try:
        async with observed(node, settings, topology) as heart:
            identified = identify(app, node, settings, topology)
            try:
                await identified.start()
                yield node, routes_of(app, node, topology, identified, dev=settings.dev), heart
            finally:
                await identified.stop()
    finally:
        await node.stop(within=DRAIN_SECONDS)


async def serve(
    app: App, settings: Settings, topology: Topology, listener: socket.socket, *, started: Callable[[], None],
    admin: socket.socket | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT (somebody waits), then drain in order; a second signal ends the process at once.

    admin: where the admin listener is to be, in the worker that has it. The caller holds the data folder's lock and has
    checked the boundaries. Raises ConfigurationError and its kin.
    """
    from headwater.cli.edge import edge_of

    stop = _stop_on_signals()
    async with running(app, settings, topology) as (node, router, heart), contextlib.AsyncExitStack() as beside:
        edge = edge_of(router, node, settings, topology)
        if settings.admin_port is not None:
            from headwater.cli.admin import administered

            await beside.enter_async_context(
                administered(app, node, heart, edge, router.compiled, settings, topology, listener=admin)
            )
        await edge.start(listener)
        if topology.http.socket is not None and settings.slot == 0:
            await edge.start(path=str(Path(settings.folder) / topology.http.socket), succeed=True)
        _spare_collections()
        started()
        impatient = await stop == signal.SIGINT
        node.retire()
        await asyncio.sleep(0.0 if impatient else topology.http.notice)
        await edge.stop(within=DRAIN_SECONDS, quiet=0.0 if impatient else QUIET_SECONDS)


def _spare_collections() -> None:
    """Let the collector of circles look at less, and less often: called when all is loaded.

    What an application consists of is not garbage, yet each full collection would go through all of it; and at the
    usual step of 700 objects one order in twelve would pay for a collection. Memory grows by some megabytes at most.
    """
    gc.freeze()
    gc.set_threshold(COLLECT_EACH, 10, 10)


def _stop_on_signals() -> asyncio.Future[signal.Signals]:
    """Return what ends with the signal that asks to stop."""
    loop = asyncio.get_running_loop()
    stop: asyncio.Future[signal.Signals] = loop.create_future()

    def asked(number: signal.Signals) -> None:
        if stop.done():
            os._exit(130)  # a second time: nothing is waited for; what was acknowledged is on disk
        stop.set_result(number)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, asked, number)
    return stop

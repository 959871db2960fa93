"""`headwater run`: serve, in one process or in several."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

import click
import msgspec

from headwater.cli.common import data_option, project_of, the_app, topology_option
from headwater.cli.serving import listen, run_loop, serve, settings_of
from headwater.cli.settings import Settings
from headwater.cli.supervisor import Supervisor
from headwater.edge.server import BACKLOG
from headwater.model.app import App
from headwater.topology.check import require_boundaries
from headwater.topology.crash import crash_points
from headwater.topology.file import Topology
from headwater.topology.instance import DataFolder, SystemIds

__all__ = ["announce", "listen_admin", "run"]


@click.command()
@click.option("--host", help="Address to serve at; by default 127.0.0.1.")
@click.option("--port", type=click.IntRange(0, 65535), help="Port; by default 8000, 0 takes a free one.")
@click.option("--workers", type=click.IntRange(1, 256), default=1, show_default=True, help="Processes.")
@click.option(
    "--admin-port", type=click.IntRange(0, 65535), help="Port for metrics, health and dead letters; by default none."
)
@data_option
@topology_option
@click.pass_context
def run(
    ctx: click.Context, host: str | None, port: int | None, workers: int, admin_port: int | None, data: str | None,
    topology: str | None,
) -> None:
    """Serve the application. Ctrl-C or SIGTERM drains; a second one ends it at once.

    With several workers, SIGHUP replaces them by new ones, one after another, and no request is lost.
    """
    project = project_of(data=data, topology=topology)
    said = project.read_topology()
    settings = settings_of(project, said, host=host, port=port, admin_port=admin_port)
    app = the_app(project)
    require_boundaries(app)
    crash_points(os.environ)
    folder = DataFolder(project.data, app=app.name)
    listener = listen(settings.host, settings.port, shared=workers > 1)
    listeners = [listener]
    admin = listen_admin(settings, said, shared=workers > 1)
    try:
        folder.acquire()
        settings = msgspec.structs.replace(
            settings, port=listener.getsockname()[1], lock=folder.fileno(), workers=workers,
            admin_port=None if admin is None else admin.getsockname()[1],
        )
        if workers > 1:
            settings = msgspec.structs.replace(settings, instance=SystemIds().new())
            listeners += [listen(settings.host, settings.port, shared=True) for _ in range(workers - 1)]
            for one in (*listeners, *([] if admin is None else [admin])):
                one.listen(BACKLOG)  # clients queue there before anybody serves
            supervisor = Supervisor(settings, count=workers, listeners=listeners, admin=admin)
            announce(settings, said, workers)
            ctx.exit(supervisor.run())
        _serve_here(app, settings, said, listener, admin)
    finally:
        folder.release()
        for one in listeners:
            one.close()
        if admin is not None:
            admin.close()


def listen_admin(settings: Settings, topology: Topology, *, shared: bool) -> socket.socket | None:
    """Bind the admin listener's socket, if one is asked for. Raises ConfigurationError when it would not be safe."""
    if settings.admin_port is None:
        return None
    from headwater.cli.admin import access_of

    access_of(topology, folder=Path(settings.folder))
    return listen(topology.admin.host, settings.admin_port, shared=shared)


def _serve_here(
    app: App, settings: Settings, topology: Topology, listener: socket.socket, admin: socket.socket | None
) -> None:
    run_loop(
        lambda: serve(
            app, settings, topology, listener, started=lambda: announce(settings, topology, 1), admin=admin
        )
    )


def announce(settings: Settings, topology: Topology, workers: int) -> None:
    """Print where it serves, where the data lies, what a write survives and how to stop."""
    click.echo(f"Headwater serves at http://{_named(settings.host)}:{settings.port}")
    click.echo(f"  data        {settings.data}")
    click.echo(f"  durability  {topology.data.durability}")
    click.echo(f"  workers     {workers}")
    if settings.admin_port is not None:
        click.echo(f"  admin       http://{_named(topology.admin.host)}:{settings.admin_port}")
    click.echo("  stop        Ctrl-C (drains; a second one ends it at once)")
    sys.stdout.flush()


def _named(host: str) -> str:
    return f"[{host}]" if ":" in host else host

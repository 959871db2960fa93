"""`headwater run`: serve, in one process or in several."""

from __future__ import annotations

import os
import socket
import sys

import click
import msgspec

from headwater.cli.common import data_option, project_of, the_app, topology_option
from headwater.cli.serving import listen, run_loop, serve, settings_of
from headwater.cli.settings import Settings
from headwater.cli.supervisor import Supervisor
from headwater.model.app import App
from headwater.topology.check import require_boundaries
from headwater.topology.crash import crash_points
from headwater.topology.file import Topology
from headwater.topology.instance import DataFolder, SystemIds

__all__ = ["announce", "run"]


@click.command()
@click.option("--host", help="Address to serve at; by default 127.0.0.1.")
@click.option("--port", type=click.IntRange(0, 65535), help="Port; by default 8000, 0 takes a free one.")
@click.option("--workers", type=click.IntRange(1, 256), default=1, show_default=True, help="Processes.")
@data_option
@topology_option
@click.pass_context
def run(
    ctx: click.Context, host: str | None, port: int | None, workers: int, data: str | None, topology: str | None
) -> None:
    """Serve the application. Ctrl-C or SIGTERM drains; a second one ends it at once."""
    project = project_of(data=data, topology=topology)
    said = project.read_topology()
    settings = settings_of(project, said, host=host, port=port)
    app = the_app(project)
    require_boundaries(app)
    crash_points(os.environ)
    folder = DataFolder(project.data, app=app.name)
    listener = listen(settings.host, settings.port, shared=workers > 1)
    try:
        folder.acquire()
        settings = msgspec.structs.replace(settings, port=listener.getsockname()[1], lock=folder.fileno())
        if workers > 1:
            announce(settings, said, workers)
            settings = msgspec.structs.replace(settings, instance=SystemIds().new())
            ctx.exit(Supervisor(settings, count=workers).run())
        _serve_here(app, settings, said, listener)
    finally:
        folder.release()
        listener.close()


def _serve_here(app: App, settings: Settings, topology: Topology, listener: socket.socket) -> None:
    run_loop(lambda: serve(app, settings, topology, listener, started=lambda: announce(settings, topology, 1)))


def announce(settings: Settings, topology: Topology, workers: int) -> None:
    """Print where it serves, where the data lies, what a write survives and how to stop."""
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    click.echo(f"Headwater serves at http://{host}:{settings.port}")
    click.echo(f"  data        {settings.data}")
    click.echo(f"  durability  {topology.data.durability}")
    click.echo(f"  workers     {workers}")
    click.echo("  stop        Ctrl-C (drains; a second one ends it at once)")
    sys.stdout.flush()

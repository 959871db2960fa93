"""`headwater dev`: serve, reload on change, and make the weather bad on purpose."""

from __future__ import annotations

import time
from ipaddress import ip_address
from pathlib import Path

import click
import msgspec

from headwater.cli.common import data_option, project_of, the_app, topology_option
from headwater.cli.run import announce, listen_admin
from headwater.cli.serving import listen, settings_of
from headwater.cli.supervisor import Supervisor
from headwater.errors import ConfigurationError
from headwater.topology.instance import DataFolder, SystemIds

__all__ = ["Watch", "dev"]

LOOK_SECONDS = 0.5
_KINDS = (".py", ".sql", ".toml", ".html", ".css", ".js", ".svg")
_SKIPPED = {".git", ".venv", "venv", "__pycache__", "node_modules"}


class Watch:
    """Tells whether a file of a project has changed since it was last asked; looks twice a second at most."""

    def __init__(self, folder: Path, *, without: Path) -> None:
        self._folder = folder
        self._without = without
        self._due = 0.0
        self._seen = self._stamps()

    def changed(self) -> bool:
        """Return whether a source, migration, configuration file or page came, went or was written."""
        now = time.monotonic()
        if now < self._due:
            return False
        self._due = now + LOOK_SECONDS
        before, self._seen = self._seen, self._stamps()
        return before != self._seen

    def _stamps(self) -> dict[Path, int]:
        stamps: dict[Path, int] = {}
        waiting = [self._folder]
        for folder in waiting:
            try:
                for path in folder.iterdir():
                    if path.is_dir():
                        if path.name not in _SKIPPED and not path.is_symlink() and path != self._without:
                            waiting.append(path)
                    elif path.suffix in _KINDS:
                        stamps[path] = path.stat().st_mtime_ns
            except OSError:  # went away while we looked: the next look tells
                continue
        return stamps


def _require_loopback(host: str) -> None:
    """Raise ConfigurationError for an address that other machines can reach, whatever keys are configured."""
    try:
        inside = ip_address(host).is_loopback
    except ValueError:
        inside = host == "localhost"
    if not inside:
        raise ConfigurationError(
            f"host {host!r} can be reached from other machines, and `headwater dev` delivers events badly on purpose: "
            "use `headwater run`, or serve on 127.0.0.1"
        )


@click.command()
@click.option("--host", help="Address to serve at; by default 127.0.0.1.")
@click.option("--port", type=click.IntRange(0, 65535), help="Port; by default 8000, 0 takes a free one.")
@data_option
@topology_option
@click.pass_context
def dev(ctx: click.Context, host: str | None, port: int | None, data: str | None, topology: str | None) -> None:
    """Serve and reload on change. Events come late and twice, near calls are encoded."""
    project = project_of(data=data, topology=topology)
    said = project.read_topology()
    settings = settings_of(project, said, host=host, port=port)
    _require_loopback(settings.host)
    app = the_app(project)
    folder = DataFolder(project.data, app=app.name)
    listener = listen(settings.host, settings.port, shared=True)
    admin = listen_admin(settings, said, shared=True)
    try:
        folder.acquire()
        settings = msgspec.structs.replace(
            settings, port=listener.getsockname()[1], lock=folder.fileno(), instance=SystemIds().new(), dev=True,
            admin_port=None if admin is None else admin.getsockname()[1],
        )
        announce(settings, said, 1)
        click.echo("  dev         reloads on change; events come twice and late; every near call is encoded")
        watch = Watch(project.folder, without=project.data)
        ctx.exit(Supervisor(settings, count=1, admin=admin, changed=watch.changed, patient=True).run())
    finally:
        folder.release()
        listener.close()
        if admin is not None:
            admin.close()

"""`headwater openapi`: the OpenAPI document of an API."""

from __future__ import annotations

import os
from pathlib import Path

import click

from headwater.cli.common import the_app, topology_option
from headwater.edge.openapi.document import OpenApi
from headwater.errors import ConfigurationError
from headwater.topology.project import find_project

__all__ = ["openapi"]


@click.command()
@click.argument("target", required=False)
@click.option("--api", metavar="NAME", help="The API, such as v1; needed when there are several.")
@click.option("--out", metavar="FILE", help="Write it there; by default it is printed.")
@click.option("--server", default="/", show_default=True, metavar="URL", help="The address that paths are relative to.")
@click.option("--only-json", is_flag=True, help="Leave MessagePack out, for tools that do not know it.")
@topology_option
def openapi(
    target: str | None, api: str | None, out: str | None, server: str, topology: str | None, *, only_json: bool
) -> None:
    """Print an API's OpenAPI 3.1 document: TARGET is MODULE:ATTR, by default the project's own."""
    said = click.get_current_context().find_root().obj or {}
    project = find_project(Path.cwd(), environment=os.environ, app=target or said.get("app"), topology=topology)
    app = the_app(project)
    keys = project.read_topology().auth.api_keys is not None
    documents = OpenApi(app, server=server, api_keys=keys, only_json=only_json)
    if api is None and len(documents.names) != 1:
        known = ", ".join(documents.names) or "none"
        raise ConfigurationError(f"{app.name}: each API has a document of its own, so name one with --api: {known}")
    document = documents.document(documents.names[0] if api is None else api)
    if out is None:
        click.echo(document, nl=False)
    else:
        Path(out).write_bytes(document)
        click.echo(out)

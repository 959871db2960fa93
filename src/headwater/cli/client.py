"""`headwater client`: a typed client package for callers that do not have the application's code."""

from __future__ import annotations

import os
from pathlib import Path

import click

from headwater.cli.common import the_app
from headwater.clientgen.package import left_out, write_client
from headwater.topology.project import find_project

__all__ = ["client"]


@click.command()
@click.argument("target", required=False)
@click.option("--out", required=True, metavar="FOLDER", help="The package is written into this folder.")
@click.option("--api", "apis", multiple=True, metavar="NAME", help="An API, such as v1; by default all of them.")
@click.option("--name", metavar="PACKAGE", help="The package's name, by default the application's and _client.")
def client(target: str | None, out: str, apis: tuple[str, ...], name: str | None) -> None:
    """Write a typed Python client of the application: TARGET is MODULE:ATTR, by default the project's own.

    The client needs msgspec and httpx, and nothing of this application or of Headwater.
    """
    said = click.get_current_context().find_root().obj or {}
    app = the_app(find_project(Path.cwd(), environment=os.environ, app=target or said.get("app")))
    for path in write_client(app, Path(out), name=name, apis=apis):
        click.echo(str(path))
    for route in left_out(app, apis):
        click.echo(f"left out, because files go in and out by other means: {route.method} {route.path}", err=True)

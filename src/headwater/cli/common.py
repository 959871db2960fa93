"""What several commands share: finding the project, and printing for people or for scripts."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import msgspec

from headwater.model.app import App
from headwater.topology.project import Project, find_project, load_app

__all__ = [
    "as_json", "data_option", "json_option", "print_json", "print_table", "project_of", "the_app", "topology_option",
]

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
data_option = click.option("--data", metavar="FOLDER", help="Where the data lies.")
topology_option = click.option("--topology", metavar="FILE", help="The topology file.")


def project_of(*, data: str | None = None, topology: str | None = None) -> Project:
    """Return the project of the current folder and options. Raises ConfigurationError."""
    said = click.get_current_context().find_root().obj or {}
    return find_project(Path.cwd(), environment=os.environ, app=said.get("app"), data=data, topology=topology)


def the_app(project: Project) -> App:
    """Import the project's application. Raises ConfigurationError."""
    return load_app(project)


def as_json(value: Any) -> str:
    """Return JSON, indented."""
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode()


def print_json(value: Any) -> None:
    """Print a value as one JSON document."""
    click.echo(as_json(value))


def print_table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print aligned columns; nothing but the head when there are no rows."""
    text = [tuple(head), *(tuple("-" if c in (None, "") else str(c) for c in row) for row in rows)]
    widths = [max(len(row[i]) for row in text) for i in range(len(head))]
    for row in text:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())

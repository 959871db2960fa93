"""`headwater key`: API keys for programs."""

from __future__ import annotations

from datetime import timedelta

import click

from headwater.cli.common import json_option, print_json
from headwater.model.duration import seconds
from headwater.topology.identity import new_api_key
from headwater.topology.instance import SystemClock

__all__ = ["key"]


@click.group()
def key() -> None:
    """API keys for programs: Authorization: ApiKey KEY."""


@key.command()
@click.option("--subject", required=True, help="Who the key speaks for.")
@click.option("--role", "roles", multiple=True, help="A role; may be given several times.")
@click.option("--scope", "scopes", multiple=True, help="A scope; may be given several times.")
@click.option("--tenant", help="The tenant, where there are several.")
@click.option("--ttl", help="How long it is valid: 12h, 90d. Without it: until its line is taken out.")
@json_option
def new(
    subject: str, roles: tuple[str, ...], scopes: tuple[str, ...], tenant: str | None, ttl: str | None, as_json: bool
) -> None:
    """Make a key. It is shown this once; the line to keep does not tell it."""
    try:
        expires = None if ttl is None else SystemClock().now() + timedelta(seconds=seconds(ttl))
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--ttl") from None
    made, line = new_api_key(subject, roles=roles, scopes=scopes, tenant=tenant, expires=expires)
    if as_json:
        print_json({"key": made, "line": line})
        return
    click.echo("The key, shown this once:")
    click.echo(f"  {made}")
    click.echo("The line for the file that [auth] api_keys names:")
    click.echo(line)

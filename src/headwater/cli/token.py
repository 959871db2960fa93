"""`headwater token`: a bearer token for development, signed with the development key."""

from __future__ import annotations

from typing import Any

import click

from headwater.adapters import hs256
from headwater.cli.common import data_option, json_option, print_json, project_of, topology_option
from headwater.cli.edge import keys_of
from headwater.errors import ConfigurationError
from headwater.model.duration import seconds
from headwater.topology.instance import SystemClock

__all__ = ["token"]


@click.command()
@click.option("--subject", default="developer", show_default=True, help="Who the token speaks for.")
@click.option("--role", "roles", multiple=True, help="A role; may be given several times.")
@click.option("--scope", "scopes", multiple=True, help="A scope; may be given several times.")
@click.option("--tenant", help="The tenant, where there are several.")
@click.option("--ttl", default="12h", show_default=True, help="How long it is valid: 30m, 12h, 7d.")
@data_option
@topology_option
@json_option
def token(
    subject: str, roles: tuple[str, ...], scopes: tuple[str, ...], tenant: str | None, ttl: str, data: str | None,
    topology: str | None, as_json: bool,
) -> None:
    """Print a token for this project: Authorization: Bearer TOKEN."""
    try:
        valid = seconds(ttl)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--ttl") from None
    project = project_of(data=data, topology=topology)
    said = project.read_topology()
    keys = keys_of(said, folder=project.folder, data=project.data)
    if not keys:
        raise ConfigurationError("only the issuer that auth.issuer names can make tokens for this project")
    key_id, (algorithm, key) = next(iter(keys.items()))
    if algorithm != "HS256":
        raise ConfigurationError(f"key {key_id!r} is for {algorithm}: only its owner can sign tokens with it")
    now = int(SystemClock.wall())
    claims: dict[str, Any] = {"sub": subject, "roles": list(roles), "iat": now, "exp": now + max(1, int(valid))}
    claims |= {"scope": " ".join(scopes)} if scopes else {}
    claims |= {"tenant": tenant} if tenant else {}
    claims |= {"iss": said.auth.issuer} if said.auth.issuer else {}
    claims |= {"aud": said.auth.audience} if said.auth.audience else {}
    made = hs256.sign({"kid": key_id, "typ": "JWT"}, claims, key.reveal())
    if as_json:
        print_json({"token": made, **claims})
    else:
        click.echo(made)

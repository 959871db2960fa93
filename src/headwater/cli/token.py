"""`headwater token`: a bearer token for development, signed with the development key."""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import Any

import click
import msgspec

from headwater.cli.common import data_option, json_option, print_json, project_of, topology_option
from headwater.cli.edge import keys_of
from headwater.errors import ConfigurationError
from headwater.model.duration import seconds
from headwater.topology.instance import SystemClock

__all__ = ["sign", "token"]


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
    made = sign(claims, key_id=key_id, key=key.reveal())
    if as_json:
        print_json({"token": made, **claims})
    else:
        click.echo(made)


def sign(claims: dict[str, Any], *, key_id: str, key: bytes) -> str:
    """Return a JWT signed with HMAC-SHA256 (RFC 7515). For development: services sign with their own library."""
    head = {"alg": "HS256", "kid": key_id, "typ": "JWT"}
    body = ".".join(_base64(msgspec.json.encode(part)) for part in (head, claims))
    return f"{body}.{_base64(hmac.digest(key, body.encode(), hashlib.sha256))}"


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()

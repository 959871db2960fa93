"""Secrets by reference: a topology file says where a secret lies, never what it is."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path

from headwater.errors import ConfigurationError
from headwater.model.secret import Secret, register_secret

__all__ = ["Secret", "development_key", "resolve"]

SECRET_BYTES_MOST = 64 * 1024


def resolve(reference: str, *, environment: Mapping[str, str], folder: Path) -> Secret[bytes]:
    """Return what "env:NAME" or "file:path" (relative to `folder`) refers to. No output shows it from then on.

    Raises ConfigurationError when it is not there; the message names the reference, never a value.
    """
    kind, _, name = reference.partition(":")
    if kind == "env" and name:
        value = environment.get(name, "")
        if not value:
            raise ConfigurationError(f"the environment variable {name} is not set; set it, or refer to a file")
        return _registered(value.encode())
    if kind == "file" and name:
        path = folder / name
        try:
            data = path.read_bytes()
        except OSError as error:
            raise ConfigurationError(f"the secret in {path} cannot be read: {error.strerror}") from None
        if not data.strip() or len(data) > SECRET_BYTES_MOST:
            raise ConfigurationError(f"the secret in {path} is empty or longer than {SECRET_BYTES_MOST} bytes")
        return _registered(data.strip())
    raise ConfigurationError('a secret is given by reference: "env:NAME" or "file:path"')


def development_key(data: Path) -> Secret[bytes]:
    """Return the key in `<data>/dev.key`, made on first use and readable by its owner only.

    Two processes that start at once agree on one key. Raises ConfigurationError.
    """
    path = data / "dev.key"
    try:
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        fresh = data / f"dev.key.{os.getpid()}"
        if not path.exists():
            descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(os.urandom(32).hex().encode())
            with contextlib.suppress(FileExistsError):
                os.link(fresh, path)
            fresh.unlink()
        return _registered(path.read_bytes())
    except OSError as error:
        raise ConfigurationError(f"the development key {path} cannot be used: {error.strerror}") from None


def _registered(value: bytes) -> Secret[bytes]:
    secret = Secret(value)
    register_secret(secret)
    return secret

"""Puts the HTTP edge before a node, with the keys that the topology names."""

from __future__ import annotations

import os
from pathlib import Path

from headwater.cli.settings import Settings
from headwater.edge.problems import explained_at
from headwater.edge.routes import Router
from headwater.edge.server import Limits, Server
from headwater.model.app import App
from headwater.runtime.node import Node
from headwater.topology.file import Topology
from headwater.topology.identity import verifier_of
from headwater.topology.secrets import Secret, development_key, resolve

__all__ = ["keys_of", "open_edge"]

DEVELOPMENT_KEY_ID = "dev"


def keys_of(topology: Topology, *, folder: Path, data: Path) -> dict[str, tuple[str, Secret]]:
    """Return every key that tokens are verified with: id to (algorithm, key).

    Without configured keys that is the development key. Raises ConfigurationError.
    """
    if not topology.auth.keys:
        return {DEVELOPMENT_KEY_ID: ("HS256", development_key(data))}
    return {
        key.id: (key.algorithm, resolve(key.key, environment=os.environ, folder=folder)) for key in topology.auth.keys
    }


def open_edge(app: App, node: Node, settings: Settings, topology: Topology) -> Server:
    """Return the edge before a started node, not yet listening.

    Raises ConfigurationError for a route that cannot be served as it is written.
    """
    explained_at(topology.http.docs)
    keys = keys_of(topology, folder=Path(settings.folder), data=Path(settings.data))
    verifier = verifier_of(
        app, keys, issuer=topology.auth.issuer, audience=topology.auth.audience, clock=node.parts.clock
    )
    router = Router(app.apis, node, verifier=verifier)
    return Server(
        router, clock=node.parts.clock, limits=Limits(body_bytes=topology.http.body_limit), points=node.parts.points
    )

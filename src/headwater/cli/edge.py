"""Puts the HTTP edge before a node, with the keys that the topology names."""

from __future__ import annotations

import os
from pathlib import Path

from headwater.cli.settings import Settings
from headwater.edge.pages import StaticPages
from headwater.edge.problems import explained_at
from headwater.edge.proxies import Proxies
from headwater.edge.responder import Answers
from headwater.edge.routes import Router
from headwater.edge.security import strict_transport
from headwater.edge.server import Limits, Server
from headwater.edge.tls import Certificates
from headwater.errors import ConfigurationError
from headwater.model.app import App
from headwater.runtime.audit import Audit
from headwater.runtime.node import Node
from headwater.topology.codings import packers
from headwater.topology.file import Http, Topology
from headwater.topology.identity import Identification, identification
from headwater.topology.secrets import Secret, development_key, resolve

__all__ = ["edge_of", "identify", "keys_of", "routes_of"]

DEVELOPMENT_KEY_ID = "dev"


def keys_of(topology: Topology, *, folder: Path, data: Path) -> dict[str, tuple[str, Secret[bytes]]]:
    """Return every key that tokens are verified with: id to (algorithm, key).

    Without configured keys that is the development key. Raises ConfigurationError.
    """
    if topology.auth.development:
        return {DEVELOPMENT_KEY_ID: ("HS256", development_key(data))}
    return {
        key.id: (key.algorithm, resolve(key.key, environment=os.environ, folder=folder)) for key in topology.auth.keys
    }


def identify(app: App, node: Node, settings: Settings, topology: Topology) -> Identification:
    """Return what turns credentials into identities, not yet started. Raises ConfigurationError."""
    folder = Path(settings.folder)
    keys = keys_of(topology, folder=folder, data=Path(settings.data))
    return identification(app, topology.auth, keys, folder=folder, clock=node.parts.clock)


def routes_of(app: App, node: Node, topology: Topology, identified: Identification, *, dev: bool = False) -> Router:
    """Return the routes before a started node. Raises ConfigurationError for one that cannot be served as written."""
    explained_at(topology.http.docs)
    pages = StaticPages(app.pages, identified.verifier).by_path
    return Router(
        app.apis, node, verifier=identified.verifier, upload_most=topology.http.upload_limit, packers=packers(),
        pages={**_api_pages(app, topology), **pages} if dev else pages, audit=Audit(node.parts.clock), timed=dev,
    )


def _api_pages(app: App, topology: Topology) -> dict[bytes, Answers]:
    """Return the pages that describe the APIs, for whoever develops; none where an API has their place."""
    if any(api.name == "api" for api in app.apis):
        return {}
    from headwater.ops.api_pages.pages import api_pages

    shown = api_pages(app, api_keys=topology.auth.api_keys is not None)
    return {path.encode(): Answers(answer) for path, answer in shown.items()}


def edge_of(router: Router, node: Node, settings: Settings, topology: Topology) -> Server:
    """Return the server before the routes, not yet listening. Raises ConfigurationError."""
    http = topology.http
    return Server(
        router, clock=node.parts.clock, points=node.parts.points,
        limits=Limits(body_bytes=http.body_limit, connections=http.connections),
        names=frozenset(name.lower().encode() for name in http.names) or None,
        proxies=Proxies(http.proxies, protocol=http.proxy_protocol) if http.proxies else None,
        certificates=_certificates(http, Path(settings.folder)),
        strict_transport=strict_transport(http.strict_transport),
    )


def _certificates(http: Http, folder: Path) -> Certificates | None:
    if http.certificate is None and http.key is None:
        return None
    if http.certificate is None or http.key is None:
        raise ConfigurationError("http.certificate and http.key belong together: name both files, or neither")
    if http.proxy_protocol:
        raise ConfigurationError(
            "http.proxy_protocol and http.certificate: the protocol's line comes before TLS; let the proxy end TLS"
        )
    return Certificates(folder / http.certificate, folder / http.key)

"""An application as ASGI 3, for servers other than ours."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from headwater.cli.serving import running
from headwater.cli.settings import Settings
from headwater.edge.asgi import Asgi
from headwater.edge.routes import Router
from headwater.topology.check import require_boundaries
from headwater.topology.instance import DataFolder
from headwater.topology.project import find_project, load_app

__all__ = ["application"]


def application() -> Asgi:
    """Return the application of the project that the working folder lies in, as `headwater run` would serve it.

    A factory for servers: `uvicorn --factory headwater.asgi:application`. It starts with the server's lifespan and
    holds the data folder until it ends, so it is one process. Framing, timeouts, TLS and whom to believe about
    forwarded addresses are the server's. With the development key only this machine's own clients are answered.
    Raises ConfigurationError and its kin.
    """
    project = find_project(Path.cwd(), environment=os.environ)
    topology = project.read_topology()
    app = load_app(project)
    require_boundaries(app)
    settings = Settings(
        app=project.app, folder=str(project.folder), data=str(project.data),
        topology=None if project.topology is None else str(project.topology), host="", port=0,
    )
    stack = contextlib.AsyncExitStack()

    async def start() -> Router:
        folder = DataFolder(project.data, app=app.name)
        folder.acquire()
        stack.callback(folder.release)
        _, router, _ = await stack.enter_async_context(running(app, settings, topology))
        return router

    return Asgi(start, stack.aclose, body_bytes=topology.http.body_limit, near_only=topology.auth.development)

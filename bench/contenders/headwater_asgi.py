"""The demo's routes as an ASGI application, for uvicorn and granian: their HTTP, the rest as in `headwater run`."""

from __future__ import annotations

import os
from pathlib import Path

from bench.contenders.headwater_demo import app as demo
from headwater.cli.edge import identify
from headwater.cli.settings import Settings
from headwater.edge.asgi import Asgi
from headwater.edge.routes import Router
from headwater.topology.assemble import assemble
from headwater.topology.file import load_topology

FOLDER = Path(os.environ["BENCH_FOLDER"])
TOPOLOGY = FOLDER / "topology.toml"
said = load_topology(TOPOLOGY)
node = assemble(demo, data=FOLDER / "asgi", durability=said.data.durability)
settings = Settings(
    app=None, folder=str(FOLDER), data=str(FOLDER / "asgi"), topology=str(TOPOLOGY), host="127.0.0.1", port=0
)
identified = identify(demo, node, settings, said)


async def start() -> Router:
    await node.start()
    await identified.start()
    return Router(demo.apis, node, verifier=identified.verifier)


async def stop() -> None:
    await identified.stop()
    await node.stop()


app = Asgi(start, stop)

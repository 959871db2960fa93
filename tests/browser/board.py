"""The shop with its dashboard in one process, and a module that fails on purpose. Run by tests: DATA PORT ADMIN_PORT."""

from __future__ import annotations

import asyncio
import secrets
import signal
import sys
from pathlib import Path

from headwater import App, Module, Retry, Tx
from headwater.adapters.system import SystemClock
from headwater.cli.edge import open_edge
from headwater.cli.settings import Settings
from headwater.edge.responder import Answers
from headwater.edge.server import Server
from headwater.ops.dashboard.near import NearSource, Paths
from headwater.ops.dashboard.server import Dashboard
from headwater.runtime.telemetry import TraceSettings
from headwater.topology.assemble import assemble
from headwater.topology.file import Topology
from shop.app import app as shop
from shop.contracts.orders import OrderPlaced

gossip = Module("gossip")


@gossip.on(OrderPlaced, retry=Retry(attempts=1))
async def repeat(event: OrderPlaced, tx: Tx) -> None:
    """Fail for customers who ask for it, with words that a page must not obey."""
    if event.customer_id == "gossip":
        raise RuntimeError("<script>document.title = 'owned'</script><img src=x onerror=alert(1)>")


app = App("shop", modules=[*shop.modules, gossip], apis=shop.apis, pages=shop.pages)


async def main(data: Path, port: int, admin_port: int) -> None:
    settings = Settings(
        app="tests.browser.board:app", folder=str(data), data=str(data), topology=None, host="127.0.0.1", port=port
    )
    node = assemble(app, data=data, tracing=TraceSettings(ratio=1.0, slow_statement=0.02))
    paths = Paths(app)
    assert node.parts.tracer is not None
    node.parts.tracer.sinks.append(paths)
    await node.start()
    edge = open_edge(app, node, settings, Topology())
    await edge.start(port=port)
    dashboard = Dashboard(
        NearSource(app, node, version="9.9", paths=paths), executor=node.parts.executor, token=secrets.token_urlsafe(24)
    )
    admin = Server(Answers(dashboard.respond), clock=SystemClock())
    await admin.start(port=admin_port)
    over = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, over.set)
    await over.wait()
    await admin.stop(within=1)
    await edge.stop(within=1)
    await node.stop(within=1)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))

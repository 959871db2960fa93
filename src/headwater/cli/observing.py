"""What watches a serving process while it serves: traces on their way out, the loop's heart, and the watchdog."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncGenerator
from pathlib import Path

from headwater.cli.settings import Settings
from headwater.runtime.heart import Heart
from headwater.runtime.node import Node
from headwater.runtime.shedding import Shedding
from headwater.runtime.watchdog import Watchdog
from headwater.topology.file import Topology
from headwater.topology.telemetry import exporter_of

__all__ = ["observed"]


@contextlib.asynccontextmanager
async def observed(node: Node, settings: Settings, topology: Topology) -> AsyncGenerator[Heart]:
    """Watch a started node, refuse calls while its loop is late, and send its traces to where the topology says."""
    exporter = exporter_of(
        topology.traces, service=node.app.name, instance=node.parts.owner, environment=os.environ,
        folder=Path(settings.folder),
    )
    if exporter is not None and node.parts.tracer is not None:
        node.parts.tracer.sinks.append(exporter)
        exporter.start()
    watchdog = Watchdog(node, tasks=settings.dev)
    watchdog.start()
    shedding = Shedding(node, late=topology.process.late)
    shedding.start()
    try:
        yield shedding.heart
    finally:
        shedding.stop()
        watchdog.stop()
        if exporter is not None:
            await asyncio.to_thread(exporter.close)

"""Reads one process's figures off its node, its edge and its system."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence

from headwater import __version__
from headwater.edge.route import CompiledRoute
from headwater.edge.server import Server
from headwater.model.contract import PRIORITIES
from headwater.ops.aims import Aims
from headwater.ops.health import Health, health_of
from headwater.ops.snapshot import (
    Backlog,
    ContractFigures,
    DeliveryFigures,
    ProcessFigures,
    RouteFigures,
    Snapshot,
    StoreFigures,
    Way,
)
from headwater.ports import Executor
from headwater.ports.process import Process, ProcessReading
from headwater.runtime import operate
from headwater.runtime.delivery import Pump
from headwater.runtime.heart import Heart
from headwater.runtime.meter import Meter, StoreMeter
from headwater.runtime.node import Node
from headwater.runtime.sends import SendPump

__all__ = ["Figures"]


class Figures:
    """One started node's figures. slot: of this worker. server, routes: the public edge before it, if any.

    heart: of the loop; it beats without us. executor: threads to look in, not those that handlers may fill. `start`
    begins what else has to look all the time: the aims.
    """

    def __init__(
        self, node: Node, process: Process, heart: Heart, executor: Executor, *, slot: int = 0,
        server: Server | None = None, routes: Sequence[CompiledRoute] = (),
    ) -> None:
        self.node = node
        self.slot = slot
        self._process = process
        self._executor = executor
        self._server = server
        self._routes = routes
        self._clock = node.parts.clock
        self._began = self._clock.monotonic()
        self._started_at = self._clock.wall()
        self._served = node.ready
        self._heart = heart
        meter = node.parts.telemetry
        self._meter = meter if isinstance(meter, Meter) else Meter()
        self._aims = Aims(lambda: list(self._meter.cells.values()), self._clock)

    def start(self) -> None:
        """Begin to look, on the running loop."""
        self._aims.start()

    def stop(self) -> None:
        """Look no more."""
        self._aims.stop()

    async def snapshot(self) -> Snapshot:
        """Return this process's snapshot, without what lies in the shared stores."""
        reading, health = await self._look()
        return Snapshot(
            app=self.node.app.name,
            at=self._clock.wall(),
            modules=tuple(module.name for module in self.node.app.modules),
            processes=(self._of_process(reading, health),),
            contracts=tuple(self._contracts()),
            routes=tuple(self._of_routes()),
            ways=tuple(self._ways()),
            deliveries=tuple(self._deliveries()),
            stores=tuple(self._stores()),
            objectives=self._aims.read(),
        )

    async def health(self) -> Health:
        """Look at what readiness depends on."""
        return (await self._look())[1]

    async def backlogs(self) -> tuple[Backlog, ...]:
        """Return what has not been dealt with, in the stores that all workers share."""
        now = self._clock.wall()
        return tuple(
            Backlog(
                subscription=s.name, module=s.module, source=s.source, lag=s.lag, more=s.lag >= operate.LAG_MOST,
                oldest=max(0.0, now - s.oldest) if s.lag else 0.0, retrying=s.retrying, dead=s.dead, owner=s.owner,
                error=s.error,
            )
            for s in [
                *await operate.subscriptions(self.node.stores, self.node.app),
                *await operate.sends(self.node.stores, now=now),
            ]
        )

    async def _look(self) -> tuple[ProcessReading, Health]:
        reading = await self._executor.run(self._process.read)
        self._served = self._served or self.node.ready
        health = await health_of(
            self.node, served=self._served, disk_free=reading.disk_free, lag=self._heart.most
        )
        return reading, health

    # --- the parts ----------------------------------------------------------------------------

    def _of_process(self, reading: ProcessReading, health: Health) -> ProcessFigures:
        node, heart, loop = self.node, self._heart, asyncio.get_running_loop()
        return ProcessFigures(
            slot=self.slot, pid=reading.pid, version=__version__, python=reading.python,
            loop=type(loop).__module__.partition(".")[0], started_at=self._started_at,
            uptime=self._clock.monotonic() - self._began, status=health.status, reasons=health.reasons,
            in_flight=node.in_flight, refused=tuple(PRIORITIES[node.lowest + 1 :]),
            connections=0 if self._server is None else self._server.connected, rss=reading.rss, pss=reading.pss,
            cpu=reading.cpu, fds=reading.fds, threads=reading.threads, tasks=len(asyncio.all_tasks(loop)),
            loop_lag=heart.last, loop_lag_most=heart.most, loop_lag_seconds=heart.seconds,
            loop_lags=tuple(heart.counts), gc_collections=reading.gc_collections, gc_collected=reading.gc_collected,
            gc_uncollectable=reading.gc_uncollectable,
        )

    def _contracts(self) -> Iterable[ContractFigures]:
        for cell in list(self._meter.cells.values()):
            contract = cell.contract
            yield ContractFigures(
                name=contract.wire_name, kind=contract.kind, module=contract.module, outcomes=cell.outcomes,
                buckets=cell.buckets, seconds=cell.seconds,
            )

    def _of_routes(self) -> Iterable[RouteFigures]:
        for route in self._routes:
            said, (_, informed, well, elsewhere, refused, failed) = route.declared, route.counts
            yield RouteFigures(
                method=said.method, path=said.path, contract=said.contract.wire_name, module=said.contract.module,
                statuses=(informed, well, elsewhere, refused, failed),
            )

    def _ways(self) -> Iterable[Way]:
        for bound in self.node.modules:
            for message, tally in bound.tallies.items():
                contract = self.node.table[message].contract
                if tally.count or contract.module in bound.uses:
                    yield Way(
                        source=bound.name, contract=contract.wire_name, module=contract.module, kind="call",
                        count=tally.count, errors=tally.errors,
                    )
        for worker in self.node.workers:
            if isinstance(worker, SendPump):
                for name, tally in worker.tallies.items():
                    yield Way(
                        source=worker.module, contract=name, module=name.partition(".")[0], kind="send",
                        count=tally.count, errors=tally.errors,
                    )

    def _deliveries(self) -> Iterable[DeliveryFigures]:
        for worker in self.node.workers:
            if isinstance(worker, Pump):
                for (source, name, version), tally in worker.tallies.items():
                    yield DeliveryFigures(
                        source=source, event=f"{name}/{version}", subscription=worker.subscription.name,
                        module=worker.subscription.module, delivered=tally.delivered, failed=tally.failed,
                        retries=tally.retries, dead=tally.dead,
                    )

    def _stores(self) -> Iterable[StoreFigures]:
        for name, store in self.node.stores.items():
            meter, load = self._meter.stores.get(name, StoreMeter()), store.load()
            yield StoreFigures(
                module=name, commits=sum(meter.sizes), commands=meter.units, failed=meter.failed,
                sizes=tuple(meter.sizes), buckets=meter.buckets, seconds=meter.seconds, waiting=load.waiting,
                readers=load.readers, reading=load.reading, read_waiting=load.read_waiting,
            )

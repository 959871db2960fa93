"""The watchdog: names the handler that holds everybody up. It costs a timer and a sleeping thread, not the requests.

- A handler that blocks the event loop: a thread sees that the loop's heart has stopped and looks at its stack.
- A transaction that waits for something that is not the store: all other writers of the module wait with it.
- A task that a handler has started and left behind (where tasks are noted: in development).
"""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
from collections import Counter, deque
from collections.abc import Coroutine, Mapping, Sequence
from types import CodeType, FrameType
from typing import Any, Literal

from headwater.model.message import Value
from headwater.ports import Timer
from headwater.runtime import deadline
from headwater.runtime.node import Node
from headwater.runtime.running import running, task_owners, user_place, whose
from headwater.runtime.scope import NodeTx

__all__ = ["Finding", "Watchdog"]

HELD = 100
STILL_SECONDS = 5.0
DEPTH_MOST = 200
OUTSIDE = "no handler"

log = logging.getLogger("headwater.watchdog")


class Finding(Value):
    """Something that was found. name: the contract, or the subscription with its event. place: file and line.

    seconds: how long, so far. at: Unix seconds.
    """

    kind: Literal["blocked", "waiting", "leaked"]
    name: str
    place: str
    seconds: float
    at: float


class Watchdog:
    """Watches the loop of a started node.

    late: how late the loop's heartbeat may be, in seconds. tx_wait: how long a transaction may wait for
    something that is not the store. tasks: also note the tasks that handlers start.

    counts: findings by kind and name. `findings` holds the newest.
    """

    def __init__(self, node: Node, *, late: float = 0.1, tx_wait: float = 0.5, tasks: bool = False) -> None:
        self.counts: Counter[tuple[str, str]] = Counter()
        self.findings: deque[Finding] = deque(maxlen=HELD)
        self._node = node
        self._clock = node.parts.clock
        self._late = late
        self._interval = late / 2
        self._tx_wait = tx_wait
        self._tasks = tasks
        self._handlers: dict[CodeType, str] = {}
        self._factory: Any = None
        self._beaten = 0.0
        self._timer: Timer | None = None
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None
        self._loop_thread = 0
        self._open: dict[str, tuple[NodeTx, float]] = {}
        self._told: NodeTx | None = None
        self._orphans: dict[asyncio.Task[Any], str] = {}
        self._places: dict[asyncio.Task[Any], str] = {}

    def start(self) -> None:
        """Begin to watch the running loop; called from it."""
        self._loop_thread = threading.get_ident()
        self._handlers = _names(self._node)
        if self._tasks:
            loop = asyncio.get_running_loop()
            self._factory = loop.get_task_factory()
            loop.set_task_factory(self._make_task)
        self._beat()
        self._thread = threading.Thread(target=self._watch, name="headwater-watchdog", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Watch no more; called from the loop."""
        self._stopped.set()
        if self._timer is not None:
            self._timer.cancel()
        if self._thread is not None:
            self._thread.join()
        if self._tasks:
            asyncio.get_running_loop().set_task_factory(self._factory)
        self._open.clear()
        self._places.clear()
        self._told = None

    def recent(self) -> Sequence[Finding]:
        """Return what was found, newest first."""
        return list(reversed(self.findings))

    def _found(
        self, kind: Literal["blocked", "waiting", "leaked"], name: str, place: str, seconds: float, said: str
    ) -> None:
        self.counts[kind, name] += 1
        self.findings.append(Finding(kind=kind, name=name, place=place, seconds=seconds, at=self._clock.wall()))
        log.warning(said, name, seconds, place, extra={"contract": name, "place": place, "seconds": round(seconds, 3)})

    # --- the loop's heart ---------------------------------------------------------------------

    def _beat(self) -> None:
        now = self._beaten = self._clock.monotonic()
        if self._stopped.is_set():
            return
        try:
            self._look_at_transactions(now)
            self._look_at_tasks()
        except Exception:
            log.exception("the watchdog stumbled")
        self._timer = self._clock.call_at(now + self._interval, self._beat)

    def _watch(self) -> None:
        """Run in the thread: look at the loop's stack when its heart has stopped."""
        suspect: tuple[float, str, str] | None = None
        still = STILL_SECONDS
        woke = self._clock.monotonic()
        while not self._stopped.wait(self._interval):
            now, before = self._clock.monotonic(), woke
            woke, beaten = now, self._beaten
            if suspect is not None and beaten != suspect[0]:
                self._blocked(suspect, beaten - suspect[0])
                suspect, still = None, STILL_SECONDS
            held = now - beaten
            if held <= self._late + self._interval or now - before > self._interval + self._late:
                continue  # in time; or the machine was asleep, and this thread with it
            if suspect is None:
                name, place = _look(sys._current_frames().get(self._loop_thread))
                if self._beaten == beaten:
                    suspect = beaten, name, place
            elif held > still:
                still *= 4
                log.error("%s has been blocking the event loop for %.1f s, at %s", suspect[1], held, suspect[2])
        if suspect is not None and self._beaten != suspect[0]:
            self._blocked(suspect, self._beaten - suspect[0])

    def _blocked(self, suspect: tuple[float, str, str], seconds: float) -> None:
        _, name, place = suspect
        self._found("blocked", name, place, seconds, "%s blocked the event loop for %.2f s, at %s")

    # --- transactions -------------------------------------------------------------------------

    def _look_at_transactions(self, now: float) -> None:
        for bound in self._node.modules:
            tx = bound.writing
            if tx is None:
                self._open.pop(bound.name, None)
                continue
            seen = self._open.get(bound.name)
            if seen is None or seen[0] is not tx:
                self._open[bound.name] = tx, now
            elif now - seen[1] > self._tx_wait and tx is not self._told:
                name, place = _waits_at(tx.work, self._handlers)
                if place is not None:
                    self._told = tx
                    self._found(
                        "waiting", name or f"module {bound.name}", place, now - seen[1],
                        "%s has held its transaction open for %.2f s, waiting for something else than the store, at %s",
                    )

    # --- tasks --------------------------------------------------------------------------------

    def _make_task(self, loop: asyncio.AbstractEventLoop, coro: Any, **options: Any) -> asyncio.Task[Any]:
        task: asyncio.Task[Any] = (
            asyncio.Task(coro, loop=loop, **options) if self._factory is None else self._factory(loop, coro, **options)
        )
        frame = sys._getframe(1)
        at: FrameType | None = frame
        while at is not None and whose(at.f_code.co_filename) == "library":
            at = at.f_back
        if at is not None and whose(at.f_code.co_filename) == "user":
            owner = running()
            if owner is not None:
                task_owners[task] = owner
                self._places[task] = f"{at.f_code.co_filename}:{at.f_lineno}"
                task.add_done_callback(self._forget)
        return task

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self._places.pop(task, None)
        self._orphans.pop(task, None)

    def _look_at_tasks(self) -> None:
        for task, place in list(self._places.items()):
            owner = task_owners.get(task)
            if owner is None or owner.ctx.work is not None:
                continue
            if task not in self._orphans:
                self._orphans[task] = place  # it may be about to end; looked at once more
                continue
            self._forget(task)
            self._found(
                "leaked", owner.name, place, self._interval,
                "%s has ended and left a task running (%.2f s after it, at least), started at %s",
            )


_HOUSE = __name__.partition(".")[0] + "."


def _look(frame: FrameType | None) -> tuple[str, str]:
    found = None if frame is None else running(frame)
    return OUTSIDE if found is None else found.name, user_place(frame)


def _names(node: Node) -> dict[CodeType, str]:
    """Return what every handler of a node is for, by its code."""
    found: dict[CodeType, str] = {}
    for bound in node.modules:
        handlers = [(h, h.contract.wire_name) for h in bound.module.handlers.values()]
        for subscription in bound.module.subscriptions.values():
            told = f"subscription {subscription.name}: "
            handlers += [(h, told + h.contract.wire_name) for h in subscription.handlers.values()]
        for handler, name in handlers:
            code = getattr(handler.function, "__code__", None)
            if code is not None:
                found[code] = name
    return found


def _waits_at(work: Coroutine[Any, Any, Any] | None, handlers: Mapping[CodeType, str]) -> tuple[str, str | None]:
    """Return which handler a suspended coroutine runs, and where it waits: None for us, that is, for the store."""
    at: Any = work
    name, place = "", None
    for _ in range(DEPTH_MOST):
        frame = _frame(at)
        if frame is None:
            if type(at).__module__.startswith(_HOUSE):  # native, and so without a frame: ours
                place = None
            break
        name = handlers.get(frame.f_code, name)
        owner = whose(frame.f_code.co_filename)
        if owner == "user":
            place = f"{frame.f_code.co_filename}:{frame.f_lineno}"
        elif owner == "house":
            place = None
        if frame.f_code is deadline.finish.__code__:  # steps its work by hand, so nobody else knows of it
            at = frame.f_locals["steps"].generator
        else:
            at = getattr(at, "cr_await", None) or getattr(at, "gi_yieldfrom", None) or getattr(at, "ag_await", None)
    return name, place


def _frame(at: Any) -> FrameType | None:
    for name in ("cr_frame", "gi_frame", "ag_frame"):
        frame = getattr(at, name, None)
        if isinstance(frame, FrameType):
            return frame
    return None

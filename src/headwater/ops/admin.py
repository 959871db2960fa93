"""What the admin listener answers. It is a listener of its own: nothing of this is at the public port."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import urlencode

import msgspec

from headwater.edge.http import Request, Response
from headwater.edge.params import decode_text, parse_query
from headwater.edge.problems import Rejected, problem_of
from headwater.errors import HeadwaterError
from headwater.model.codec import to_json
from headwater.ops.access import Access
from headwater.ops.aims import alert, budget_left, burn
from headwater.ops.figures import Figures
from headwater.ops.health import STORE_SECONDS, Health
from headwater.ops.kept import Kept, joined, kept_by
from headwater.ops.merging import merge
from headwater.ops.peers import KEPT_PATH, SNAPSHOT_PATH, Peers, Silent
from headwater.ops.profile import Profiler, collapsed, speedscope
from headwater.ops.prometheus import OPEN_METRICS, TEXT, render
from headwater.ops.snapshot import Backlog, Snapshot
from headwater.ports import Store
from headwater.runtime import operate

__all__ = ["Admin", "Answer"]

Answer = Callable[[Request], Awaitable[Response]]
ACT_SECONDS = 10.0
_JSON = (b"content-type", b"application/json")
_PACKED = (b"content-type", b"application/msgpack")
_PLAIN = (b"content-type", b"text/plain; charset=utf-8")
_APART = (
    (b"cross-origin-resource-policy", b"same-origin"), (b"cross-origin-opener-policy", b"same-origin"),
    (b"x-frame-options", b"DENY"),
)

log = logging.getLogger("headwater.ops")


class Admin:
    """The admin listener of an instance, in one of its workers.

    `respond` answers people and machines; `tell` answers the other workers, and only about this process.
    """

    def __init__(
        self, figures: Figures, *, access: Access, peers: Peers, profiler: Profiler
    ) -> None:
        self._figures = figures
        self._access = access
        self._peers = peers
        self._profiler = profiler
        self._node = figures.node
        self._pages: dict[str, Answer] = {}
        self._first: bytes | None = None
        self._answers: dict[str, Answer] = {
            "/": self._index, "/metrics": self._metrics, "/livez": self._alive, "/readyz": self._ready,
            "/snapshot": self._snapshot, "/snapshot.msgpack": self._packed, "/slo": self._slo, "/dead": self._dead,
            "/profile": self._profile,
        }

    def show(self, pages: Mapping[str, Answer], *, first: str | None = None) -> None:
        """Answer with `pages` at their paths too. first: where a browser that asks for "/" is sent."""
        self._pages.update(pages)
        self._first = self._first if first is None else first.encode()

    async def respond(self, request: Request) -> Response:
        """Answer. Never raises but when cancelled."""
        try:
            self._access.check(request)
            response = await self._find(request)(request)
        except Exception as error:
            response = problem_of(error, "")
        response.headers += _APART
        return response

    async def tell(self, request: Request) -> Response:
        """Answer another worker of this instance. Whoever can connect may ask."""
        own: dict[bytes, Answer] = {
            SNAPSHOT_PATH.encode(): self._own, KEPT_PATH.encode(): self._own_kept, b"/profile": self._own_profile,
        }
        try:
            return await own.get(request.path, _nothing)(request)
        except Exception as error:
            return problem_of(error, "")

    async def see(self) -> Snapshot:
        """Return the snapshot of all workers together."""
        mine, (others, missing), backlogs = await asyncio.gather(
            self._figures.snapshot(), self._peers.snapshots(), self._backlogs()
        )
        mine = msgspec.structs.replace(mine, missing=tuple(missing), backlogs=backlogs)
        return merge([mine, *others])

    async def _backlogs(self) -> tuple[Backlog, ...]:
        """Return none where the stores cannot be read: the other figures are wanted most when something is broken."""
        try:
            async with asyncio.timeout(STORE_SECONDS):
                return await self._figures.backlogs()
        except (HeadwaterError, TimeoutError) as error:
            why = str(error) or f"no answer within {STORE_SECONDS:g} s"
            log.warning("the subscriptions' state cannot be read: %s", why)
            return ()

    async def kept(self) -> Kept:
        """Return slow statements and recent traces of all workers together."""
        return joined([kept_by(self._node, self._figures.slot), *await self._peers.kept()])

    def _find(self, request: Request) -> Answer:
        path = decode_text(request.path, "the path")
        if path in self._pages:
            return self._pages[path]
        if request.path.startswith(b"/dead/"):
            return self._one_dead
        found = self._answers.get(path, _nothing)
        if request.method not in ("GET", "HEAD"):
            raise Rejected(405, "method-not-allowed", f"{request.method} is not possible here", ((b"allow", b"GET"),))
        return found

    # --- figures ------------------------------------------------------------------------------

    async def _index(self, request: Request) -> Response:
        if self._first is not None and b"text/html" in (request.header(b"accept") or b""):
            return Response(303, b"", ((b"location", self._first),))
        paths = [*self._pages, *self._answers, "/dead/{subscription}/{id}"]
        return _json(200, {"app": self._node.app.name, "paths": sorted(set(paths))})

    async def _metrics(self, request: Request) -> Response:
        newer = b"application/openmetrics-text" in (request.header(b"accept") or b"")
        body = render(await self.see(), openmetrics=newer)
        return Response(200, body, ((b"content-type", OPEN_METRICS if newer else TEXT),))

    async def _snapshot(self, _request: Request) -> Response:
        return _json(200, await self.see())

    async def _packed(self, _request: Request) -> Response:
        return Response(200, msgspec.msgpack.encode(await self.see()), (_PACKED,))

    async def _own(self, _request: Request) -> Response:
        return Response(200, msgspec.msgpack.encode(await self._figures.snapshot()), (_PACKED,))

    async def _own_kept(self, _request: Request) -> Response:
        return Response(200, msgspec.msgpack.encode(kept_by(self._node, self._figures.slot)), (_PACKED,))

    async def _slo(self, _request: Request) -> Response:
        seen = await self.see()
        return _json(200, [
            {
                "contract": o.contract, "objective": o.kind, "target": o.target, "threshold": o.threshold,
                "since": o.since, "budget_left": budget_left(o), "alert": alert(o),
                "windows": [
                    {"seconds": w.seconds, "total": w.total, "good": w.good, "burn": burn(w, o.target)}
                    for w in o.windows
                ],
            }
            for o in seen.objectives
        ])

    # --- health -------------------------------------------------------------------------------

    async def _alive(self, _request: Request) -> Response:
        return _json(200, {"status": "alive"})

    async def _ready(self, _request: Request) -> Response:
        health: Health = await self._figures.health()
        return _json(503 if health.status == "not-ready" else 200, health)

    # --- dead letters -------------------------------------------------------------------------

    async def _dead(self, request: Request) -> Response:
        wanted = dict(parse_query(request.query)).get("subscription")
        found = [_shown(d) for store in self._node.stores.values() for d in await operate.dead_letters(store, wanted)]
        return _json(200, sorted(found, key=lambda d: (d["died_at"], d["id"])))

    async def _one_dead(self, request: Request) -> Response:
        """Answer at /dead/{subscription}/{id}, and at replay and discard below it."""
        _, _, subscription, dead_id, *verb = (decode_text(part, "the path") for part in _parts(request.path))
        store = self._store(subscription)
        letter = next((d for d in await operate.dead_letters(store, subscription) if d.id == dead_id), None)
        if letter is None:
            raise Rejected(404, "not-found", f"{subscription} has no such dead letter")
        if not verb:
            return _json(200, {**_shown(letter), "message": msgspec.Raw(letter.record.payload)})
        act = {"replay": operate.replay, "discard": operate.drop}.get(verb[0])
        if act is None or len(verb) > 1:
            return await _nothing(request)
        if request.method != "POST":
            raise Rejected(405, "method-not-allowed", "a dead letter is dealt with by POST", ((b"allow", b"POST"),))
        self._access.check_mark(request)
        await act(store, dead_id, deadline=self._node.parts.clock.monotonic() + ACT_SECONDS)
        log.warning("dead letter %s of %s: %s, at the admin listener", dead_id, subscription, verb[0])
        return _json(200, {"id": dead_id, "done": verb[0]})

    def _store(self, subscription: str) -> Store:
        module = subscription.replace(":", ".").partition(".")[0]
        found = self._node.stores.get(module)
        if found is None:
            raise Rejected(404, "not-found", f"there is no subscription {subscription!r}")
        return found

    # --- profile ------------------------------------------------------------------------------

    async def _profile(self, request: Request) -> Response:
        seconds, hz, kind, slot = _asked(request)
        if slot is None or slot == self._figures.slot:
            return await self._own_profile(request)
        if slot not in self._peers.slots:
            raise Rejected(404, "not-found", f"there is no worker {slot}")
        target = "/profile?" + urlencode({"seconds": seconds, "hz": hz, "format": kind})
        try:
            status, content, body = await self._peers.get(slot, target, within=seconds + 5.0)
        except Silent as error:
            raise Rejected(502, "worker-silent", f"worker {slot}: {error}") from None
        return Response(status, body, ((b"content-type", content),))

    async def _own_profile(self, request: Request) -> Response:
        seconds, hz, kind, _ = _asked(request)
        try:
            found = await self._profiler.run(seconds, hz)
        except ValueError as error:
            raise Rejected(400, "bad-parameter", str(error)) from None
        if found is None:
            raise Rejected(409, "profile-running", "another look is under way; ask again when it has ended")
        if kind == "collapsed":
            return Response(200, collapsed(found), (_PLAIN,))
        name = f"{self._node.app.name} worker {self._figures.slot}"
        return Response(200, speedscope(found, hz=hz, name=name), (_JSON,))


async def _nothing(_request: Request) -> Response:
    raise Rejected(404, "not-found", "there is nothing here")


def _parts(path: bytes) -> list[bytes]:
    parts = path.split(b"/")
    if len(parts) < 4:
        raise Rejected(404, "not-found", "there is nothing here")
    return parts


def _json(status: int, value: Any) -> Response:
    return Response(status, to_json(value), (_JSON,))


def _shown(letter: operate.DeadLetter) -> dict[str, Any]:
    """Return a dead letter without its message, which may be personal and is long."""
    return {
        "id": letter.id, "subscription": letter.subscription, "source": letter.source, "position": letter.position,
        "event": f"{letter.record.name}/{letter.record.version}", "key": letter.key, "attempts": letter.attempts,
        "error": letter.error, "died_at": letter.died_at,
    }


def _asked(request: Request) -> tuple[float, float, str, int | None]:
    """Return seconds, times a second, format and worker that a profile is asked for with."""
    said = {"seconds": "5", "hz": "100", "format": "collapsed", **dict(parse_query(request.query))}
    try:
        seconds, hz, slot = float(said.pop("seconds")), float(said.pop("hz")), said.pop("slot", None)
        kind = said.pop("format")
        if said or kind not in ("collapsed", "speedscope"):
            raise ValueError
        return seconds, hz, kind, None if slot is None else int(slot)
    except ValueError:
        raise Rejected(
            400, "bad-parameter", "this takes seconds, hz, slot and format, which is collapsed or speedscope"
        ) from None

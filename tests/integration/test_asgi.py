"""The same routes as an ASGI application, driven by hand: what a server sends in, and what it gets out."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from headwater import App
from headwater.edge.asgi import Asgi
from headwater.edge.routes import Router
from headwater.runtime.node import Node
from tests.flow.house import migrations, parts
from tests.integration.test_http_malformed import BODY, Site, api, notes

JSON = [(b"content-type", b"application/json")]


class Face:
    """An ASGI application and the node behind it."""

    def __init__(self, node: Node, **options: Any) -> None:
        self.node = node
        self.asgi = Asgi(self._start, self._stop, **options)

    async def _start(self) -> Router:
        await self.node.start()
        return Router([api()], self.node)

    async def _stop(self) -> None:
        await self.node.stop()

    async def run(self, scope: dict[str, Any], *messages: dict[str, Any]) -> list[dict[str, Any]]:
        sent: list[Any] = []
        waiting = list(messages)

        async def receive() -> dict[str, Any]:
            return waiting.pop(0) if waiting else {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            sent.append(message)

        await self.asgi(scope, receive, send)
        return sent

    async def ask(
        self, method: str, target: str, *body: bytes, headers: Any = JSON, raw: bool = True
    ) -> tuple[int, dict[bytes, bytes], Any]:
        path, _, query = target.partition("?")
        scope = {
            "type": "http", "method": method, "path": path, "query_string": query.encode(), "headers": headers,
            "client": ("127.0.0.1", 1), **({"raw_path": path.encode()} if raw else {}),
        }
        parts = body or (b"",)
        messages = [
            {"type": "http.request", "body": part, "more_body": at < len(parts)} for at, part in enumerate(parts, 1)
        ]
        start, end = await self.run(scope, *messages)
        assert (start["type"], end["type"]) == ("http.response.start", "http.response.body")
        return start["status"], dict(start["headers"]), end["body"]


@asynccontextmanager
async def facing(tmp_path: Any, **options: Any) -> AsyncIterator[tuple[Face, list[str]]]:
    holder: list[Site] = []
    module = notes(holder, migrations=migrations(tmp_path, "notes", "create table note (text text not null);"))
    node = Node(App("house", modules=[module]), parts(tmp_path))
    site = Site(node, None)  # type: ignore[arg-type]
    holder.append(site)
    try:
        yield Face(node, **options), site.seen
    finally:
        await node.stop()


@pytest.fixture
async def face(tmp_path):
    async with facing(tmp_path) as (made, _):
        yield made


async def test_the_lifespan_starts_and_stops_the_node(tmp_path):
    """Startup is reported when the node is ready, and shutdown when it has stopped."""
    async with facing(tmp_path) as (face, _):
        sent = await face.run({"type": "lifespan"}, {"type": "lifespan.startup"}, {"type": "lifespan.shutdown"})
        assert [message["type"] for message in sent] == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
        assert not face.node.ready


async def test_a_start_that_fails_says_why(tmp_path):
    """A server is told the reason instead of seeing an exception."""

    async def fail() -> Router:
        raise RuntimeError("the folder is not there")

    async def stop() -> None: ...

    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "lifespan.startup"}

    async def send(message: Any) -> None:
        sent.append(message)

    await Asgi(fail, stop)({"type": "lifespan"}, receive, send)
    assert sent == [{"type": "lifespan.startup.failed", "message": "the folder is not there"}]


async def test_routes_answer_as_they_do_on_the_own_server(face):
    """Commands, queries, HEAD, refusals and health, through a server without lifespan."""
    status, headers, body = await face.ask("POST", "/v1/notes", BODY)
    assert (status, body, headers[b"content-type"]) == (201, b"1", b"application/json")
    assert headers[b"x-content-type-options"] == b"nosniff"
    status, headers, body = await face.ask("GET", "/v1/notes/a%20b?page=2")
    assert (status, json.loads(body)) == (200, "a b|2||False")
    assert headers[b"content-length"] == str(len(body)).encode()
    assert (await face.ask("HEAD", "/v1/notes/a%20b?page=2"))[1][b"content-length"] == headers[b"content-length"]
    assert (await face.ask("HEAD", "/v1/notes/a"))[2] == b""
    assert (await face.ask("PUT", "/v1/notes/a", b'{"new_name":"b"}'))[2] == b'"a>b"'
    assert (await face.ask("OPTIONS", "/v1/notes/a"))[0] == 204
    assert (await face.ask("GET", "/livez"))[0] == 200
    assert (await face.ask("GET", "/nowhere"))[0] == 404


@pytest.mark.parametrize(
    ("method", "target", "body", "status"),
    [
        ("GET", "/v1/notes/%2e%2e", b"", 400), ("GET", "/v1/notes/a%2fb", b"", 400), ("GET", "/v1/notes/%00", b"", 400),
        ("GET", "/v1/notes/%ff", b"", 400), ("GET", "/v1/notes/a?page=1&page=2", b"", 400),
        ("GET", "/v1/notes/a?other=1", b"", 400), ("GET", "/v1/notes/a", BODY, 400), ("TRACE", "/v1/notes/a", b"", 405), ("QUERY", "/v1/notes/a", BODY, 405), ("PROPFIND", "/v1/notes/a", b"", 501),
        ("get", "/v1/notes/a", b"", 501), ("DELETE", "/v1/notes/a", b"", 405), ("POST", "/v1/notes", b"{", 400),
        ("POST", "/v1/notes", b'{"text":"x","text":"y"}', 422), ("POST", "/v1/notes", b'{"text":1}', 422),
    ],
)
async def test_doubtful_requests_are_refused_the_same_way(face, method, target, body, status):
    """What the server's own parser lets through is read as strictly as on the own server."""
    answered, headers, told = await face.ask(method, target, body)
    assert (answered, headers[b"content-type"]) == (status, b"application/problem+json")
    assert json.loads(told)["status"] == status


async def test_a_body_in_parts_is_one_body_and_has_a_limit(tmp_path):
    """Parts are joined; beyond the limit nothing more is read and nothing runs."""
    async with facing(tmp_path, body_bytes=20) as (face, seen):
        assert (await face.ask("POST", "/v1/notes", BODY[:5], b"", BODY[5:]))[0] == 201
        assert (await face.ask("POST", "/v1/notes", *[b" " * 5] * 4, BODY))[0] == 413
        assert seen == ["x"]


async def test_a_client_that_goes_away_leaves_nothing(tmp_path):
    """A disconnect in the middle of a body runs no handler."""
    async with facing(tmp_path) as (face, seen):
        scope = {"type": "http", "method": "POST", "path": "/v1/notes", "query_string": b"", "headers": JSON, "client": None}
        await face.run(scope, {"type": "http.request", "body": BODY[:5], "more_body": True}, {"type": "http.disconnect"})
        assert seen == []


async def test_a_path_without_its_raw_form_is_decoded_no_more(face):
    """Servers that give only the decoded path must not have a percent sign decoded again."""
    status, _, body = await face.ask("GET", "/v1/notes/100%25", raw=False)
    assert (status, json.loads(body)) == (200, "100%25|1||False")


async def test_a_websocket_is_closed(face):
    """There is nothing behind a WebSocket here, and a client is told so."""
    assert await face.run({"type": "websocket"}) == [{"type": "websocket.close", "code": 1008}]


async def test_with_the_development_key_only_this_machine_is_answered(tmp_path):
    """Whoever else can reach the server is refused, and so is a client that the server does not name."""
    async with facing(tmp_path, near_only=True) as (face, _):
        scope = {"type": "http", "method": "GET", "path": "/livez", "query_string": b"", "headers": []}
        for client, status in ((("127.0.0.1", 1), 200), (("::1", 1), 200), (("10.0.0.9", 1), 403), (None, 403)):
            start, _ = await face.run({**scope, "client": client}, {"type": "http.request", "body": b""})
            assert start["status"] == status, client

"""What strangers may send over HTTP/1.1: raw bytes to a real server, and what comes of each."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import pytest

from headwater import Api, App, Command, Ctx, Meta, Module, Query, Tx, View, contract, public
from headwater.edge.routes import Router
from headwater.edge.server import Limits, Server
from headwater.runtime.node import Node
from tests.flow.house import migrations, parts, rows


@contract("notes.add", v=1)
class AddNote(Command[int]):
    text: str


@contract("notes.linger", v=1, within="20s")
class Linger(Command[None]):
    text: str


@contract("notes.rename", v=1)
class Rename(Command[str]):
    name: str
    new_name: str = ""


@contract("notes.find", v=1)
class Find(Query[str]):
    name: str
    page: int = 1
    words: tuple[str, ...] = ()
    long: Annotated[bool, Meta(description="whole texts")] = False


class Site:
    """A server over one module, the messages its handlers saw, and raw connections to it."""

    def __init__(self, node: Node, server: Server) -> None:
        self.node = node
        self.server = server
        self.seen: list[str] = []
        self.lingering = asyncio.Event()
        self.cancelled = asyncio.Event()

    @asynccontextmanager
    async def line(self) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        reader, writer = await asyncio.open_connection(*self.server.address)
        try:
            yield reader, writer
        finally:
            writer.close()

    async def say(self, data: bytes, *, pieces: int = 1) -> list[Answer]:
        """Send bytes and return every answer until the server closes, or says no more for a while."""
        async with self.line() as (reader, writer):
            size = -(-len(data) // pieces)
            for at in range(0, len(data), size):
                writer.write(data[at : at + size])
                await asyncio.sleep(0)
            answers: list[Answer] = []
            while (answer := await read(reader)) is not None:
                answers.append(answer)
                if answer.closed:
                    break
            return answers


class Answer:
    def __init__(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body

    @property
    def closed(self) -> bool:
        return self.headers.get("connection") == "close"

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    def __repr__(self) -> str:
        return f"<{self.status} {'closed ' if self.closed else ''}{self.body[:80]!r}>"


async def read(reader: asyncio.StreamReader, *, head_only: bool = False) -> Answer | None:
    """Read one answer; None when the server has closed or is silent."""
    try:
        async with asyncio.timeout(1):
            head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            headers = {k.lower(): v for k, _, v in (line.partition(": ") for line in head[1:] if line)}
            length = 0 if head_only else int(headers.get("content-length", "0"))
            return Answer(int(head[0].split()[1]), headers, await reader.readexactly(length))
    except (TimeoutError, asyncio.IncompleteReadError, ConnectionResetError):
        return None


def notes(site: list[Site], **options: Any) -> Module:
    module = Module("notes", **options)

    @module.handle(AddNote)
    async def add(cmd: AddNote, tx: Tx) -> int:
        site[0].seen.append(cmd.text)
        return await tx.execute("insert into note values (:text)", text=cmd.text)

    @module.handle(Linger)
    async def linger(cmd: Linger, ctx: Ctx, tx: Tx) -> None:
        await tx.execute("insert into note values (:text)", text=cmd.text)
        site[0].lingering.set()
        try:
            await asyncio.sleep(10)  # a transaction that waits for something foreign
        except asyncio.CancelledError:
            site[0].cancelled.set()
            raise

    @module.handle(Rename)
    async def rename(cmd: Rename, tx: Tx) -> str:
        site[0].seen.append(cmd.name)
        return f"{cmd.name}>{cmd.new_name}"

    @module.handle(Find)
    async def find(query: Find, view: View) -> str:
        site[0].seen.append(query.name)
        return f"{query.name}|{query.page}|{','.join(query.words)}|{query.long}"

    return module


def api() -> Api:
    v1 = Api("v1", auth=public)
    v1.post("/notes", AddNote, status=201)
    v1.post("/linger", Linger)
    v1.put("/notes/{name}", Rename)
    v1.get("/notes/{name}", Find)
    return v1


@asynccontextmanager
async def serving(tmp_path: Any, limits: Limits | None = None) -> AsyncIterator[Site]:
    holder: list[Site] = []
    module = notes(holder, migrations=migrations(tmp_path, "notes", "create table note (text text not null);"))
    node = Node(App("house", modules=[module]), parts(tmp_path))
    await node.start()
    server = Server(Router([api()], node), clock=node.parts.clock, points=node.parts.points, limits=limits)
    await server.start()
    holder.append(Site(node, server))
    try:
        yield holder[0]
    finally:
        await server.stop(within=1)
        await node.stop()


@pytest.fixture
async def site(tmp_path):
    async with serving(tmp_path) as made:
        yield made


BODY = b'{"text":"x"}'
HEAD = b"POST /v1/notes HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n"
GOOD = HEAD + b"Content-Length: 12\r\n\r\n" + BODY
GET = b"GET /v1/notes/a HTTP/1.1\r\nHost: h\r\n\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
GOOD_CHUNKED = CHUNKED + b"c\r\n" + BODY + b"\r\n0\r\n\r\n"


def with_header(line: bytes, *, body: bytes = BODY, length: bool = True) -> bytes:
    return HEAD + line + (b"Content-Length: 12\r\n" if length else b"") + b"\r\n" + body


def get(target: bytes, *, host: bytes = b"Host: h\r\n", method: bytes = b"GET", version: bytes = b"HTTP/1.1") -> bytes:
    return method + b" " + target + b" " + version + b"\r\n" + host + b"\r\n"


LAST = get(b"/livez", host=b"Host: h\r\nConnection: close\r\n")
SMUGGLED = b"0\r\n\r\nPOST /v1/notes HTTP/1.1\r\nHost: h\r\nContent-Length: 12\r\nContent-Type: application/json\r\n\r\n" + BODY

MALFORMED: dict[str, tuple[bytes, int]] = {
    "length and chunked": (HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n" + SMUGGLED, 400),
    "chunked and length": (HEAD + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n" + SMUGGLED, 400),
    "coding xchunked": (with_header(b"Transfer-Encoding: xchunked\r\n", length=False), 400),
    "coding chunked, identity": (with_header(b"Transfer-Encoding: chunked, identity\r\n", length=False), 400),
    "coding gzip, chunked": (with_header(b"Transfer-Encoding: gzip, chunked\r\n", length=False), 400),
    "coding twice": (HEAD + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "coding empty": (with_header(b"Transfer-Encoding:\r\n", length=False), 400),
    "coding quoted": (with_header(b'Transfer-Encoding: "chunked"\r\n', length=False), 400),
    "space before colon": (with_header(b"Transfer-Encoding : chunked\r\n"), 400),
    "coding in HTTP/1.0": (CHUNKED.replace(b"HTTP/1.1", b"HTTP/1.0") + b"c\r\n" + BODY + b"\r\n0\r\n\r\n", 400),
    "two lengths": (with_header(b"Content-Length: 11\r\n"), 400),
    "two equal lengths": (with_header(b"Content-Length: 12\r\n"), 400),
    "length list": (with_header(b"Content-Length: 12, 12\r\n", length=False), 400),
    "length +12": (with_header(b"Content-Length: +12\r\n", length=False), 400),
    "length -1": (with_header(b"Content-Length: -1\r\n", length=False), 400),
    "length 0xc": (with_header(b"Content-Length: 0xc\r\n", length=False), 400),
    "length 1_2": (with_header(b"Content-Length: 1_2\r\n", length=False), 400),
    "length 30 digits": (with_header(b"Content-Length: " + b"1" * 30 + b"\r\n", length=False), 400),
    "length empty": (with_header(b"Content-Length:\r\n", length=False), 400),
    "chunk size 0xc": (CHUNKED + b"0xc\r\n" + BODY + b"\r\n0\r\n\r\n", 400),
    "chunk size +c": (CHUNKED + b"+c\r\n" + BODY + b"\r\n0\r\n\r\n", 400),
    "chunk size -1": (CHUNKED + b"-1\r\n" + BODY + b"\r\n0\r\n\r\n", 400),
    "chunk size empty": (CHUNKED + b"\r\n" + BODY + b"\r\n0\r\n\r\n", 400),
    "chunk size of 20 digits": (CHUNKED + b"f" * 20 + b"\r\n" + BODY, 400),
    "chunk without its end": (CHUNKED + b"c\r\n" + BODY + b"xx0\r\n\r\n", 400),
    "chunk shorter than its size": (CHUNKED + b"e\r\n" + BODY + b"\r\n0\r\n\r\n", 400),
    "chunk bare LF": (CHUNKED + b"c\n" + BODY + b"\n0\n\n", 400),
    "chunk data ends with LF": (CHUNKED + b"c\r\n" + BODY + b"\n0\r\n\r\n", 400),
    "chunk extension with LF": (CHUNKED + b"c;a\nb\r\n" + BODY + b"\r\n0\r\n\r\n", 400),
    "chunk extension without end": (CHUNKED + b"c;" + b"a" * 1_000, 400),
    "trailers without end": (CHUNKED + b"c\r\n" + BODY + b"\r\n0\r\n" + b"a: b\r\n" * 2_000, 400),
    "no Host": (get(b"/v1/notes/a", host=b""), 400),
    "two Hosts": (get(b"/v1/notes/a", host=b"Host: h\r\nHost: h\r\n"), 400),
    "bad Host": (get(b"/v1/notes/a", host=b"Host: h@evil/\r\n"), 400),
    "empty Host": (get(b"/v1/notes/a", host=b"Host:\r\n"), 400),
    "LF only": (GOOD.replace(b"\r\n", b"\n"), 400),
    "one LF": (HEAD + b"A: b\nContent-Length: 12\r\n\r\n" + BODY, 400),
    "folded header": (with_header(b"A: b\r\n c\r\n"), 400),
    "folded first header": (b"GET /v1/notes/a HTTP/1.1\r\n Host: h\r\n\r\n", 400),
    "NUL in a value": (with_header(b"A: b\0c\r\n"), 400),
    "CR in a value": (with_header(b"A: b\rc\r\n"), 400),
    "bell in a value": (with_header(b"A: b\x07c\r\n"), 400),
    "bad name": (with_header(b"A(b): c\r\n"), 400),
    "empty name": (with_header(b": c\r\n"), 400),
    "name beyond ASCII": (with_header("Ä: c\r\n".encode()), 400),
    "no colon": (with_header(b"A b\r\n"), 400),
    "HTTP/9.9": (get(b"/v1/notes/a", version=b"HTTP/9.9"), 505),
    "HTTP/0.9": (b"GET /v1/notes/a\r\n\r\n", 505),
    "HTTP/2 preface": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    "http/1.1 in small letters": (get(b"/v1/notes/a", version=b"http/1.1"), 400),
    "space in the target": (get(b"/v1/notes/a b"), 400),
    "target beyond ASCII": (get("/v1/notes/ä".encode()), 400),
    "target is a URL": (get(b"http://h/v1/notes/a"), 400),
    "target is an authority": (get(b"h:80", method=b"CONNECT"), 501),
    "target without slash": (get(b"v1/notes/a"), 400),
    "target is a star": (get(b"*"), 400),
    "junk": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
    "method junk": (get(b"/v1/notes/a", method=b"G=T"), 400),
    "method in small letters": (get(b"/v1/notes/a", method=b"get"), 400),
    "a verb of another protocol": (get(b"/v1/notes/a", method=b"SUBSCRIBE"), 501),
    "target too long": (get(b"/v1/notes/" + b"a" * 8_300), 414),
    "target of 100 kB": (get(b"/v1/notes/" + b"a" * 100_000), 414),
    "101 headers": (with_header(b"A: b\r\n" * 101), 431),
    "1000 headers": (with_header(b"A: b\r\n" * 1_000), 431),
    "header too long": (with_header(b"A: " + b"b" * 9_000 + b"\r\n"), 431),
    "header of 1 MB": (with_header(b"A: " + b"b" * 1_000_000 + b"\r\n"), 431),
    "head too long": (with_header((b"A: " + b"b" * 4_000 + b"\r\n") * 10), 431),
    "body too large, told": (HEAD + b"Content-Length: 1048577\r\n\r\n", 413),
    "body too large, in one chunk": (CHUNKED + b"100001\r\n" + b"x" * 1_048_577 + b"\r\n0\r\n\r\n", 413),
    "body too large, in many chunks": (CHUNKED + (b"10000\r\n" + b"x" * 65_536 + b"\r\n") * 17 + b"0\r\n\r\n", 413),
    "strange expectation": (with_header(b"Expect: the-unexpected\r\n"), 417),
}


async def test_an_upgrade_that_is_not_offered_is_as_if_not_asked_for(site):
    """RFC 9110, 7.8. Some clients ask for HTTP/2 that way with every first request."""
    asked = b"Host: h\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"
    answers = await site.say(get(b"/v1/notes/a", host=asked) + GOOD.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
    assert [answer.status for answer in answers] == [200, 201]


@pytest.mark.parametrize("pieces", [1, 97])
@pytest.mark.parametrize(("data", "status"), MALFORMED.values(), ids=MALFORMED)
async def test_a_malformed_request_ends_its_connection_and_runs_nothing(site, data, status, pieces):
    """One answer, then the end; no handler was called, also when the bytes come in pieces; the next client is served."""
    answers = await site.say(data + GOOD, pieces=pieces)
    assert [answer.status for answer in answers] == [status]
    assert answers[0].closed
    assert answers[0].headers["content-type"] == "application/problem+json"
    assert answers[0].json["status"] == status
    assert site.seen == []
    assert [answer.status for answer in await site.say(GOOD.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))] == [201]


async def test_a_fault_after_good_requests_leaves_their_answers(site):
    """What was asked properly before the fault is answered first, in order."""
    answers = await site.say(GOOD + GET + HEAD + b"Content-Length: x\r\n\r\n" + GOOD)
    assert [answer.status for answer in answers] == [201, 200, 400]
    assert site.seen == ["x", "a"]


@pytest.mark.parametrize("pieces", [1, 7, 10_000])
async def test_pipelined_requests_are_answered_in_order(site, pieces):
    """Three hundred requests sent at once come back in order on one connection, however they are cut."""
    count = 300 if pieces < 10 else 30
    wanted = [f"n{number}" for number in range(count)]
    data = b"".join(get(f"/v1/notes/{name}".encode()) for name in wanted)
    answers = await site.say(data + LAST, pieces=pieces)
    assert [answer.json.split("|")[0] for answer in answers[:-1]] == wanted
    assert answers[-1].json == {"status": "alive"}


async def test_chunks_and_lengths_mean_the_same(site):
    """A body is the same in chunks, with extensions and trailers, in pieces, and by length."""
    fancy = CHUNKED + b'1;a="b"\r\n{\r\nb\r\n"text":"x"}\r\n000\r\nX-Sum: 1\r\n\r\n'
    for pieces in (1, 1_000):
        answers = await site.say(GOOD + GOOD_CHUNKED + fancy + GOOD + LAST, pieces=pieces)
        assert [(answer.status, answer.json) for answer in answers[:-1]] == [(201, 1)] * 4


async def test_head_and_options_have_no_body(site):
    """HEAD tells the length that GET would have and sends nothing; OPTIONS lists the methods; others are 405."""
    async with site.line() as (reader, writer):
        writer.write(get(b"/v1/notes/a", method=b"HEAD") + get(b"/v1/notes/a", method=b"OPTIONS") + get(b"/v1/notes/a", method=b"DELETE") + GET)
        head, options, refused, found = [await read(reader, head_only=first) for first in (True, False, False, False)]
    assert (head.status, head.headers["content-length"]) == (200, str(len(found.body)))
    assert (options.status, options.body) == (204, b"")
    assert options.headers["allow"] == refused.headers["allow"] == "GET, HEAD, OPTIONS, PUT"
    assert (refused.status, refused.closed, found.status) == (405, False, 200)


async def test_expect_continue_is_answered_before_the_body(site):
    """A client that asks first is told to go on, and a body that would be too large is refused unsent."""
    async with site.line() as (reader, writer):
        writer.write(HEAD + b"Content-Length: 12\r\nExpect: 100-continue\r\n\r\n")
        assert (await read(reader)).status == 100
        writer.write(BODY)
        assert (await read(reader)).status == 201
        writer.write(HEAD + b"Content-Length: 9999999\r\nExpect: 100-continue\r\n\r\n")
        assert (await read(reader)).status == 413


async def test_a_connection_lives_as_long_as_its_client_wants(site):
    """HTTP/1.1 stays open unless told otherwise; HTTP/1.0 closes."""
    async with site.line() as (reader, writer):
        for _ in range(3):
            writer.write(GET)
            assert not (await read(reader)).closed
        writer.write(get(b"/v1/notes/a", version=b"HTTP/1.0"))
        assert (await read(reader)).closed
        assert await read(reader) is None


async def test_who_has_gone_is_no_longer_worked_for(site):
    """A disconnect in the middle cancels the handler, and its transaction rolls back."""
    async with site.line() as (_, writer):
        writer.write((HEAD + b"Content-Length: 12\r\n\r\n" + BODY).replace(b"/v1/notes", b"/v1/linger"))
        async with asyncio.timeout(5):
            await site.lingering.wait()
        writer.transport.abort()
        async with asyncio.timeout(5):
            await site.cancelled.wait()
    assert (await site.say(GOOD + LAST))[0].status == 201
    assert len(await rows(site.node, "notes", "select text from note")) == 1


async def test_who_stops_in_the_middle_of_a_body_leaves_nothing(site):
    """Half a body, by length or in chunks, and then the end: no handler was called."""
    for half in (HEAD + b"Content-Length: 12\r\n\r\n" + BODY[:6], CHUNKED + b"c\r\n" + BODY):
        async with site.line() as (reader, writer):
            writer.write(half)
            writer.write_eof()
            await read(reader)
    assert site.seen == []


@pytest.mark.parametrize(
    "said", [b"", b"GET /v1/no", GET[:-2]], ids=["nothing", "half a request line", "half a head"]
)
async def test_who_dawdles_is_sent_away(tmp_path, said):
    """A client that says nothing, or never finishes its head, loses its connection; others do not notice."""
    async with serving(tmp_path, Limits(head_seconds=0.2)) as site, site.line() as (reader, writer):
        writer.write(said)
        async with asyncio.timeout(8):
            assert await reader.read() == b""
        assert (await site.say(GET + LAST))[0].status == 200


async def test_a_dripping_head_does_not_buy_time(tmp_path):
    """One byte at a time is still one head: its time runs from its beginning."""
    async with serving(tmp_path, Limits(head_seconds=0.5)) as site, site.line() as (reader, writer):
        closed = asyncio.ensure_future(reader.read())
        async with asyncio.timeout(8):
            for byte in (GET[:-2] + b"A: b\r\n" * 90) * 2:
                if closed.done() or writer.is_closing():
                    break
                writer.write(bytes([byte]))
                await asyncio.sleep(0.02)
            try:
                assert await closed == b""
            except ConnectionResetError:
                pass  # a byte was on its way when the server closed: that is an end too
    assert site.seen == []


async def test_more_connections_than_allowed_are_closed_at_once(tmp_path):
    """The limit holds for all clients together, and ends when one goes."""
    async with serving(tmp_path, Limits(connections=2)) as site, site.line() as (one, first):
        async with site.line() as (two, second):
            first.write(GET)
            second.write(GET)
            assert (await read(one)).status == (await read(two)).status == 200
            async with site.line() as (third, _):
                assert await read(third) is None
        await asyncio.sleep(0.05)
        assert (await site.say(GET + LAST))[0].status == 200


async def test_draining_answers_what_was_asked_and_closes(tmp_path):
    """Stop closes idle connections at once, and lets a running request finish with a last answer."""
    async with serving(tmp_path) as site, site.line() as (idle, other), site.line() as (reader, writer):
        other.write(GET)
        assert (await read(idle)).status == 200
        writer.write(GOOD)
        assert (await read(reader)).status == 201
        await site.server.stop(within=1)
        assert await idle.read() == await reader.read() == b""


# --- from the path on ---------------------------------------------------------------------------------

TARGETS: dict[str, tuple[bytes, int, Any]] = {
    "plain": (b"/v1/notes/a", 200, "a|1||False"),
    "percent": (b"/v1/notes/%61%20b", 200, "a b|1||False"),
    "decoded once": (b"/v1/notes/%2561", 200, "%61|1||False"),
    "utf-8": (b"/v1/notes/%C3%A4", 200, "ä|1||False"),
    "plus in a path is a plus": (b"/v1/notes/a+b", 200, "a+b|1||False"),
    "query": (b"/v1/notes/a?page=2&words=x&words=y&long=true", 200, "a|2|x,y|True"),
    "plus in a query is a blank": (b"/v1/notes/a?words=x+y%2Bz", 200, "a|1|x y+z|False"),
    "NUL": (b"/v1/notes/%00", 400, "bad-encoding"),
    "NUL in the query": (b"/v1/notes/a?words=%00", 400, "bad-encoding"),
    "bad utf-8": (b"/v1/notes/%ff", 400, "bad-encoding"),
    "overlong slash": (b"/v1/notes/%c0%af", 400, "bad-encoding"),
    "half an escape": (b"/v1/notes/%4", 400, "bad-encoding"),
    "no escape": (b"/v1/notes/%zz", 400, "bad-encoding"),
    "encoded slash": (b"/v1/notes/a%2Fb", 400, "bad-path"),
    "encoded backslash": (b"/v1/notes/a%5cb", 400, "bad-path"),
    "dot segment": (b"/v1/./notes/a", 400, "bad-path"),
    "two dots": (b"/v1/notes/..", 400, "bad-path"),
    "encoded dots": (b"/v1/notes/%2e%2E", 400, "bad-path"),
    "empty segment": (b"/v1/notes/", 404, "not-found"),
    "doubled slash": (b"/v1//notes/a", 404, "not-found"),
    "another case": (b"/V1/notes/a", 404, "not-found"),
    "encoded static segment": (b"/v1/n%6Ftes/a", 200, "a|1||False"),
    "doubled key": (b"/v1/notes/a?page=1&page=1", 400, "doubled-parameter"),
    "unknown key": (b"/v1/notes/a?pages=1", 400, "unknown-parameter"),
    "path field again": (b"/v1/notes/a?name=b", 400, "unknown-parameter"),
    "number with blank": (b"/v1/notes/a?page=+1", 422, "invalid-message"),
    "number with zero": (b"/v1/notes/a?page=01", 422, "invalid-message"),
    "number too large": (b"/v1/notes/a?page=9223372036854775808", 422, "invalid-message"),
    "digits of another script": ("/v1/notes/a?page=%D9%A1".encode(), 422, "invalid-message"),
    "True is not true": (b"/v1/notes/a?long=True", 422, "invalid-message"),
    "empty number": (b"/v1/notes/a?page", 422, "invalid-message"),
}


@pytest.mark.parametrize(("target", "status", "said"), TARGETS.values(), ids=TARGETS)
async def test_a_target_is_decoded_once_and_read_strictly(site, target, status, said):
    """Each target leads to one meaning or to a refusal, and the connection stays."""
    answer, _ = await site.say(get(target) + LAST)
    assert answer.status == status, answer
    assert (answer.json if status == 200 else answer.json["code"]) == said
    assert not answer.closed


def post(body: bytes, kind: bytes | None = b"application/json", *, line: bytes = b"POST /v1/notes", more: bytes = b"") -> bytes:
    kinds = b"" if kind is None else b"Content-Type: " + kind + b"\r\n"
    return line + b" HTTP/1.1\r\nHost: h\r\n" + kinds + more + b"Content-Length: %d\r\n\r\n" % len(body) + body


BODIES: dict[str, tuple[bytes, int, str]] = {
    "no type": (post(BODY, None), 415, "unsupported-media-type"),
    "another type": (post(BODY, b"text/plain"), 415, "unsupported-media-type"),
    "a form": (post(b"text=x", b"application/x-www-form-urlencoded"), 415, "unsupported-media-type"),
    "another charset": (post(BODY, b"application/json; charset=latin-1"), 415, "unsupported-media-type"),
    "two types": (post(BODY, b"application/json\r\nContent-Type: text/plain"), 415, "unsupported-media-type"),
    "compressed": (post(BODY, more=b"Content-Encoding: gzip\r\n"), 415, "unsupported-encoding"),
    "no body": (post(b""), 400, "not-json"),
    "no JSON": (post(b"{"), 400, "not-json"),
    "unknown field": (post(b'{"text":"x","more":1}'), 422, "invalid-message"),
    "doubled field": (post(b'{"text":"x","text":"y"}'), 422, "invalid-message"),
    "query string": (post(BODY, line=b"POST /v1/notes?a=1"), 400, "unexpected-query"),
    "path field again": (post(b'{"name":"b"}', line=b"PUT /v1/notes/a"), 400, "doubled-field"),
    "body with GET": (post(BODY, line=b"GET /v1/notes/a"), 400, "unexpected-body"),
}


@pytest.mark.parametrize(("data", "status", "code"), BODIES.values(), ids=BODIES)
async def test_a_doubtful_body_is_refused(site, data, status, code):
    """The body is JSON in UTF-8, once; the connection stays, since its framing was good."""
    answer, _ = await site.say(data + LAST)
    assert (answer.status, answer.json["code"]) == (status, code)
    assert not answer.closed
    assert site.seen == []


async def test_good_bodies_of_every_spelling_are_taken(site):
    """Type and charset may be written in any case, with blanks; a path fills a field of the body."""
    for kind in (b"Application/JSON", b"application/json;charset=UTF-8", b'application/json ; charset="utf-8"'):
        assert (await site.say(post(BODY, kind) + LAST))[0].status == 201
    answer, _ = await site.say(post(b'{"new_name":"b"}', line=b"PUT /v1/notes/a") + LAST)
    assert answer.json == "a>b"

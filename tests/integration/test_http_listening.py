"""Ways in: TLS with certificates that change, Unix sockets, proxies that are named, files in and out."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from headwater import Api, App, Blob, Command, Module, Query, Tx, View, contract, public
from headwater.adapters.local_files import LocalFiles
from headwater.adapters.system import SystemIds, ThreadExecutor
from headwater.edge.problems import Rejected
from headwater.edge.proxies import Proxies, read_proxy_line
from headwater.edge.routes import Router
from headwater.edge.server import Limits, Server
from headwater.edge.tls import Certificates
from headwater.errors import ConfigurationError
from headwater.runtime.node import Node
from tests.flow.house import migrations, parts


@contract("album.put", v=1)
class PutPhoto(Command[Blob]):
    name: str
    photo: Blob


@contract("album.photo", v=1)
class PhotoOf(Query[Blob | None]):
    name: str


def album(folder: Path) -> Module:
    made = Module("album", migrations=migrations(
        folder, "album",
        "create table photo (name text primary key, id text not null, size integer not null, sha256 text not null, media_type text not null) strict;",
    ))

    @made.handle(PutPhoto)
    async def put(cmd: PutPhoto, tx: Tx) -> Blob:
        if cmd.name == "crash":
            raise RuntimeError("boom")
        p = cmd.photo
        await tx.execute(
            "insert into photo values (:name, :id, :size, :sha, :kind)",
            name=cmd.name, id=p.id, size=p.size, sha=p.sha256, kind=p.media_type,
        )
        return cmd.photo

    @made.handle(PhotoOf)
    async def photo(query: PhotoOf, view: View) -> Blob | None:
        return await view.fetch_one(Blob, "select id, size, sha256, media_type from photo where name = :name", name=query.name)

    return made


class Site:
    def __init__(self, server: Server, node: Node, files: Path) -> None:
        self.server, self.node, self.files = server, node, files

    def stored(self) -> list[Path]:
        return [p for p in self.files.rglob("*") if p.is_file()]

    async def raw(self, data: bytes, *, ssl_context: Any = None, path: str | None = None) -> bytes:
        """Send bytes, return everything that comes back until the end."""
        if path is not None:
            reader, writer = await asyncio.open_unix_connection(path)
        else:
            reader, writer = await asyncio.open_connection(*self.server.address, ssl=ssl_context, server_hostname="localhost" if ssl_context else None)
        writer.write(data)
        try:
            return await asyncio.wait_for(reader.read(), 10)
        finally:
            writer.close()
            with contextlib.suppress(Exception):
                await writer.wait_closed()


@asynccontextmanager
async def serving(tmp_path: Path, **options: Any) -> AsyncIterator[Site]:
    made = parts(tmp_path)
    executor = ThreadExecutor()
    made.files = LocalFiles(tmp_path / "files", ids=SystemIds(), executor=executor)
    node = Node(App("house", modules=[album(tmp_path)]), made)
    await node.start()
    v1 = Api("v1", auth=public)
    v1.put("/photos/{name}", PutPhoto, upload="photo")
    v1.get("/photos/{name}", PhotoOf)
    router = Router([v1], node, upload_most=8 * 1024 * 1024)
    server = Server(router, clock=made.clock, points=made.points, **options)
    await server.start()
    try:
        yield Site(server, node, tmp_path / "files")
    finally:
        await server.stop(within=1)
        await node.stop(within=1)
        executor.close()


def request(line: str, *headers: str, body: bytes = b"") -> bytes:
    lines = [line + " HTTP/1.1", "Host: localhost", "Connection: close", *headers]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def certificate(folder: Path, name: str) -> tuple[Path, Path]:
    chain, key = folder / f"{name}.pem", folder / f"{name}.key"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj",
         f"/CN={name}", "-addext", "subjectAltName=DNS:localhost", "-keyout", str(key), "-out", str(chain)],
        check=True, capture_output=True,
    )
    return chain, key


# --- files in and out -----------------------------------------------------------------------------


async def test_a_file_goes_in_and_comes_out_the_same(tmp_path):
    """Also in parts, and conditionally; what strangers stored is never shown as a page."""
    content = os.urandom(3 * 1024 * 1024 + 17)
    async with serving(tmp_path) as site:
        answer = await site.raw(request("PUT /v1/photos/cat", "Content-Type: image/png", body=content))
        assert answer.startswith(b"HTTP/1.1 200")
        got = await site.raw(request("GET /v1/photos/cat"))
        head, _, body = got.partition(b"\r\n\r\n")
        assert body == content
        tag = hashlib.sha256(content).hexdigest()
        for line in (b"content-type: image/png", b"content-disposition: attachment", b"x-content-type-options: nosniff",
                     f'etag: "{tag}"'.encode(), b"content-length: %d" % len(content)):
            assert line in head
        part = await site.raw(request("GET /v1/photos/cat", "Range: bytes=10-19"))
        assert part.startswith(b"HTTP/1.1 206")
        assert part.endswith(b"\r\n\r\n" + content[10:20])
        assert b"content-range: bytes 10-19/%d" % len(content) in part
        assert (await site.raw(request("GET /v1/photos/cat", "Range: bytes=-5"))).endswith(content[-5:])
        assert (await site.raw(request("GET /v1/photos/cat", "Range: bytes=99999999-"))).startswith(b"HTTP/1.1 416")
        assert (await site.raw(request("GET /v1/photos/cat", f'If-None-Match: "{tag}"'))).startswith(b"HTTP/1.1 304")
        whole = await site.raw(request("GET /v1/photos/cat", "Range: bytes=0-4", 'If-Range: "other"'))
        assert whole.startswith(b"HTTP/1.1 200")
        assert (await site.raw(request("GET /v1/photos/dog"))).startswith(b"HTTP/1.1 404")
        head_only = await site.raw(request("HEAD /v1/photos/cat"))
        assert head_only.endswith(b"\r\n\r\n")
        assert b"content-length: %d" % len(content) in head_only


async def test_a_file_in_chunks_is_a_file(tmp_path):
    async with serving(tmp_path) as site:
        body = b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"
        answer = await site.raw(request("PUT /v1/photos/x", "Transfer-Encoding: chunked", "Content-Type: text/plain") + body)
        assert answer.startswith(b"HTTP/1.1 200")
        assert (await site.raw(request("GET /v1/photos/x"))).endswith(b"hello world")


async def test_a_file_that_is_too_long_is_refused_and_nothing_is_left(tmp_path):
    """Told: at once. Not told: at the limit."""
    async with serving(tmp_path) as site:
        told = await site.raw(request("PUT /v1/photos/x", "Content-Length: 999999999"))
        assert told.startswith(b"HTTP/1.1 413")
        chunk = b"100000\r\n" + b"x" * 0x100000 + b"\r\n"
        untold = await site.raw(request("PUT /v1/photos/x", "Transfer-Encoding: chunked") + chunk * 9 + b"0\r\n\r\n")
        assert untold.startswith(b"HTTP/1.1 413")
        assert not site.stored()


async def test_a_file_whose_command_did_not_run_is_removed(tmp_path):
    """A refused message leaves no file; an unknown outcome keeps it, because it may have been used."""
    async with serving(tmp_path) as site:
        assert (await site.raw(request("PUT /v1/photos/x?no=1", body=b"abc"))).startswith(b"HTTP/1.1 400")
        assert not site.stored()
        assert (await site.raw(request("PUT /v1/photos/crash", body=b"abc"))).startswith(b"HTTP/1.1 500")
        assert len(site.stored()) == 1


async def test_a_client_that_goes_away_in_the_middle_leaves_nothing(tmp_path):
    async with serving(tmp_path) as site:
        _, writer = await asyncio.open_connection(*site.server.address)
        writer.write(request("PUT /v1/photos/x", "Content-Length: 1000000") + b"x" * 500_000)
        for _ in range(100):
            await asyncio.sleep(0.02)
            if site.stored():
                break
        assert site.stored()
        writer.transport.abort()
        for _ in range(100):
            await asyncio.sleep(0.02)
            if not site.stored() and not site.node.in_flight:
                break
        assert not site.stored()
        assert site.node.in_flight == 0


async def test_a_reader_that_stops_does_not_fill_the_memory(tmp_path):
    """What a slow client has not read stays on disk; one that reads nothing for too long is let go."""
    content = b"z" * (8 * 1024 * 1024)
    async with serving(tmp_path, limits=Limits(write_seconds=1.0)) as site:
        await site.raw(request("PUT /v1/photos/big", body=content))
        reader, writer = await asyncio.open_connection(*site.server.address, limit=1024)
        writer.transport.pause_reading()
        writer.write(request("GET /v1/photos/big"))
        await asyncio.sleep(0.3)
        connection = next(iter(site.server._connections))
        assert connection._transport.get_write_buffer_size() < 1024 * 1024
        for _ in range(200):
            await asyncio.sleep(0.02)
            if not site.server.connected:
                break
        assert not site.server.connected
        writer.close()


# --- listening ------------------------------------------------------------------------------------


async def test_tls_serves_and_takes_up_a_new_certificate(tmp_path):
    """A pair that does not fit is not used; connections go on all the time."""
    first, second = certificate(tmp_path, "first"), certificate(tmp_path, "second")
    chain, key = tmp_path / "live.pem", tmp_path / "live.key"

    def install(pair: tuple[Path, Path]) -> None:
        for source, target in zip(pair, (chain, key), strict=True):
            (tmp_path / "new").write_bytes(source.read_bytes())
            (tmp_path / "new").rename(target)

    install(first)

    async def name() -> str:
        context = ssl.create_default_context(cafile=str(tmp_path / "all.pem"))
        _, writer = await asyncio.open_connection(*site.server.address, ssl=context, server_hostname="localhost")
        found = dict(x[0] for x in writer.get_extra_info("peercert")["subject"])["commonName"]
        writer.close()
        return found

    (tmp_path / "all.pem").write_bytes(first[0].read_bytes() + second[0].read_bytes())
    async with serving(tmp_path, certificates=Certificates(chain, key)) as site:
        context = ssl.create_default_context(cafile=str(first[0]))
        assert (await site.raw(request("GET /livez"), ssl_context=context)).startswith(b"HTTP/1.1 200")
        assert await name() == "first"
        install((second[0], first[1]))  # does not fit together
        await asyncio.sleep(1.2)
        assert await name() == "first"
        install(second)
        await asyncio.sleep(1.2)
        assert await name() == "second"
        plain = await site.raw(request("GET /livez"))
        assert not plain.startswith(b"HTTP/1.1 200")


async def test_a_certificate_that_cannot_be_used_is_told_at_start(tmp_path):
    with pytest.raises(ConfigurationError, match="cannot be used"):
        Certificates(tmp_path / "no.pem", tmp_path / "no.key")


async def test_a_unix_socket_is_the_owners_alone_and_a_stale_one_is_replaced(tmp_path):
    path = str(tmp_path / "edge.sock")
    async with serving(tmp_path / "a") as site:
        await site.server.start(path=path)
        assert os.stat(path).st_mode & 0o777 == 0o600
        assert (await site.raw(request("GET /livez"), path=path)).startswith(b"HTTP/1.1 200")
        with pytest.raises(ConfigurationError, match="somebody listens there"):
            await site.server.start(path=path)
    import socket

    if not os.path.exists(path):  # as a killed process leaves it
        with socket.socket(socket.AF_UNIX) as left:
            left.bind(path)
    async with serving(tmp_path / "b") as site:
        await site.server.start(path=path)
        assert (await site.raw(request("GET /livez"), path=path)).startswith(b"HTTP/1.1 200")


async def test_only_named_hosts_are_answered(tmp_path):
    """421 for others, whatever their port."""
    async with serving(tmp_path, names=frozenset({b"localhost", b"[::1]"})) as site:
        assert (await site.raw(request("GET /livez"))).startswith(b"HTTP/1.1 200")
        for host in (b"localhost:8000", b"LOCALHOST", b"[::1]:80"):
            assert (await site.raw(request("GET /livez").replace(b"localhost", host))).startswith(b"HTTP/1.1 200"), host
        assert (await site.raw(request("GET /livez").replace(b"localhost", b"evil.example"))).startswith(b"HTTP/1.1 421")


# --- who the client is ----------------------------------------------------------------------------


def told(trusted: list[str], peer: str, **headers: str) -> tuple[str, bool]:
    from headwater.edge.http import Request

    made = Request("GET", b"/", b"", {k.replace("_", "-").encode(): v.encode() for k, v in headers.items()}, b"", peer)
    Proxies(trusted).look_through(made)
    return made.peer, made.secure


@pytest.mark.parametrize(
    ("trusted", "peer", "header", "found"),
    [
        (["10.0.0.0/8"], "10.1.1.1", "203.0.113.9", "203.0.113.9"),
        (["10.0.0.0/8"], "192.0.2.1", "203.0.113.9", "192.0.2.1"),  # nobody we know says so
        (["10.0.0.0/8"], "10.1.1.1", "198.51.100.7, 203.0.113.9", "203.0.113.9"),  # the client wrote the first one
        (["10.0.0.0/8"], "10.1.1.1", "203.0.113.9, 10.2.2.2", "203.0.113.9"),  # two proxies of ours
        (["10.0.0.0/8"], "10.1.1.1", "unknown", "10.1.1.1"),
        (["10.0.0.0/8"], "10.1.1.1", "203.0.113.9, nonsense", "10.1.1.1"),
        (["10.0.0.0/8"], "::ffff:10.1.1.1", "2001:db8::1", "2001:db8::1"),
        (["unix"], "", "203.0.113.9", "203.0.113.9"),
        (["10.0.0.0/8"], "", "203.0.113.9", ""),
    ],
)
def test_forwarded_addresses_count_from_named_proxies_only(trusted, peer, header, found):
    assert told(trusted, peer, x_forwarded_for=header)[0] == found


def test_a_forwarded_scheme_counts_from_named_proxies_only():
    assert told(["10.0.0.0/8"], "10.1.1.1", x_forwarded_proto="https")[1] is True
    assert told(["10.0.0.0/8"], "192.0.2.1", x_forwarded_proto="https")[1] is False


V2 = b"\r\n\r\n\x00\r\nQUIT\n"


@pytest.mark.parametrize(
    ("line", "address"),
    [
        (b"PROXY TCP4 203.0.113.9 10.0.0.1 56324 443\r\n", "203.0.113.9"),
        (b"PROXY TCP6 2001:db8::1 ::1 56324 443\r\n", "2001:db8::1"),
        (b"PROXY UNKNOWN\r\n", None),
        (V2 + b"\x21\x11\x00\x0c" + bytes([203, 0, 113, 9, 10, 0, 0, 1]) + b"\x00\x50\x01\xbb", "203.0.113.9"),
        (V2 + b"\x20\x00\x00\x00", None),
        (V2 + b"\x21\x21\x00\x24" + bytes.fromhex("20010db8000000000000000000000001") * 2 + b"\x00\x50\x01\xbb", "2001:db8::1"),
    ],
)
def test_the_proxy_protocol_is_read_in_any_pieces(line, address):
    assert read_proxy_line(line + b"GET / HTTP/1.1") == (address, len(line))
    for cut in range(len(line)):
        assert read_proxy_line(line[:cut]) is None


@pytest.mark.parametrize(
    "line", [b"GET / HTTP/1.1\r\n", b"PROXY TCP4 1.2.3 4\r\n", b"PROXY TCP4 999.0.0.1 10.0.0.1 1 2\r\n", b"PROXY " + b"x" * 200,
             V2 + b"\x31\x11\x00\x0c" + b"x" * 12, V2 + b"\x21\x11\xff\xff", V2 + b"\x21\x11\x00\x02ab"],
)
def test_what_is_not_the_proxy_protocol_is_refused(line):
    with pytest.raises(Rejected):
        read_proxy_line(line)


async def test_a_named_proxy_tells_the_client_in_its_first_line(tmp_path):
    """Without that line nothing is answered; from others the line is no HTTP."""
    async with serving(tmp_path, proxies=Proxies(["127.0.0.1"], protocol=True)) as site:
        line = b"PROXY TCP4 203.0.113.9 10.0.0.1 56324 443\r\n"
        assert (await site.raw(line + request("GET /livez"))).startswith(b"HTTP/1.1 200")
        with contextlib.suppress(ConnectionResetError):
            assert await site.raw(request("GET /livez")) == b""
    async with serving(tmp_path / "b", proxies=Proxies(["10.0.0.0/8"], protocol=True)) as site:
        assert (await site.raw(line + request("GET /livez"))).startswith(b"HTTP/1.1 400")

"""The floor under every server on uvloop: one read, one write, nothing parsed, nothing decided."""

from __future__ import annotations

import asyncio
import sys

import uvloop

BODY = b'{"message":"Hello, World!"}'
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(BODY), BODY)


class Floor(asyncio.Protocol):
    def connection_made(self, transport):
        self.write = transport.write

    def data_received(self, data):
        self.write(ANSWER)


async def main() -> None:
    server = await asyncio.get_running_loop().create_server(Floor, "127.0.0.1", int(sys.argv[1]))
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main())

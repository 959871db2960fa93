"""Bare granian, RSGI: no framework, no features."""

from __future__ import annotations

import msgspec

from bench.contenders import shared

JSON = [("content-type", "application/json")]
HELLO = msgspec.json.Encoder().encode
DB = shared.database()


class App:
    async def __rsgi__(self, scope, proto):
        path = scope.path
        try:
            if path == "/v1/hello":
                proto.response_bytes(200, JSON, HELLO({"message": "Hello, World!"}))
            elif path == "/v1/orders":
                proto.response_bytes(200, JSON, shared.priced(await proto()))
            elif path == "/v1/stored":
                proto.response_bytes(200, JSON, shared.stored(DB, await proto()))
            elif path.startswith("/v1/items/"):
                proto.response_bytes(200, JSON, shared.item(path, scope.query_string))
            elif path.startswith("/v1/rows/"):
                proto.response_bytes(200, JSON, shared.row(DB, int(path[9:])) or b"")
            else:
                proto.response_empty(404, [])
        except (msgspec.MsgspecError, ValueError, KeyError):
            proto.response_empty(422, [])


app = App()

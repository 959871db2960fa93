"""Bare granian, RSGI: no framework, no features."""

from __future__ import annotations

import msgspec

from bench.contenders import shared

JSON = [("content-type", "application/json")]
DB = shared.database()


class App:
    async def __rsgi__(self, scope, proto):
        path = scope.path
        try:
            if path == "/v1/hello":
                proto.response_bytes(200, JSON, shared.encode({"message": "Hello, World!"}))
            elif path == "/v1/orders":
                proto.response_bytes(200, JSON, shared.priced(await proto()))
            elif path == "/v1/stored":
                proto.response_bytes(200, JSON, shared.stored(DB, await proto()))
            elif path.startswith("/v1/items/"):
                proto.response_bytes(200, JSON, shared.item(path, scope.query_string))
            elif path.startswith("/v1/rows/") and (found := shared.row(DB, int(path[9:]))) is not None:
                proto.response_bytes(200, JSON, found)
            else:
                proto.response_empty(404, [])
        except (msgspec.MsgspecError, ValueError, KeyError):
            proto.response_empty(422, [])


app = App()

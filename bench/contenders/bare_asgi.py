"""A bare ASGI application: no framework, no features. Served by uvicorn and by granian."""

from __future__ import annotations

import msgspec

from bench.contenders import shared

JSON = [(b"content-type", b"application/json")]
DB = shared.database()


async def _body(receive):
    message = await receive()
    body = message["body"]
    while message.get("more_body"):
        message = await receive()
        body += message["body"]
    return body


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return
    path, status, body = scope["path"], 200, b""
    try:
        if path == "/v1/hello":
            body = shared.encode({"message": "Hello, World!"})
        elif path == "/v1/orders":
            body = shared.priced(await _body(receive))
        elif path == "/v1/stored":
            body = shared.stored(DB, await _body(receive))
        elif path.startswith("/v1/items/"):
            body = shared.item(path, scope["query_string"].decode())
        elif path.startswith("/v1/rows/"):
            found = shared.row(DB, int(path[9:]))
            status, body = (404, b"") if found is None else (200, found)
        else:
            status = 404
    except (msgspec.MsgspecError, ValueError, KeyError):
        status = 422
    headers = [*JSON, (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})

"""Sanic, with msgspec for what it does not validate itself."""

from __future__ import annotations

import sys

import msgspec
from sanic import Request, Sanic
from sanic.response import HTTPResponse, empty, raw

from bench.contenders import shared

app = Sanic("bench")


def answer(body: bytes) -> HTTPResponse:
    return raw(body, content_type="application/json")


@app.get("/v1/hello")
async def hello(request: Request) -> HTTPResponse:
    return answer(shared.encode({"message": "Hello, World!"}))


@app.post("/v1/orders")
async def price(request: Request) -> HTTPResponse:
    try:
        return answer(shared.priced(request.body))
    except msgspec.MsgspecError:
        return empty(422)


@app.get("/v1/items/<item_id:int>")
async def item(request: Request, item_id: int) -> HTTPResponse:
    try:
        limit = int(request.args.get("limit", "10"))
    except ValueError:
        return empty(422)
    if not 1 <= limit <= 100:
        return empty(422)
    return answer(shared.encode({"item_id": item_id, "q": request.args["q"][0], "limit": limit}))


if __name__ == "__main__":
    app.run("127.0.0.1", int(sys.argv[1]), single_process=True, access_log=False, motd=False, debug=False)

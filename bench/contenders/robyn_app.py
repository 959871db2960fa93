"""Robyn; it has no validation that other contenders have, so msgspec does it."""

import sys

import msgspec
from robyn import Request, Response, Robyn

from bench.contenders import shared

app = Robyn(__file__)
JSON = {"content-type": "application/json"}


def answer(body: bytes) -> Response:
    return Response(status_code=200, headers=JSON, description=body)


def refused() -> Response:
    return Response(status_code=422, headers=JSON, description=b"{}")


@app.get("/v1/hello")
async def hello(request: Request) -> Response:
    return answer(shared.encode({"message": "Hello, World!"}))


@app.post("/v1/orders")
async def price(request: Request) -> Response:
    body = request.body
    try:
        return answer(shared.priced(body.encode() if isinstance(body, str) else bytes(body)))
    except msgspec.MsgspecError:
        return refused()


@app.get("/v1/items/:item_id")
async def item(request: Request) -> Response:
    query = request.query_params
    try:
        limit = int(query.get("limit", "10"))
        if not 1 <= limit <= 100:
            return refused()
        number = int(request.path_params["item_id"])
        return answer(shared.encode({"item_id": number, "q": query.get("q", ""), "limit": limit}))
    except ValueError:
        return refused()


app.start(host="127.0.0.1", port=int(sys.argv.pop()))

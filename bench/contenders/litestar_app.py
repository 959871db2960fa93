"""Litestar with msgspec types, as its documentation writes it."""

from __future__ import annotations

from typing import Annotated

from litestar import Litestar, get, post
from litestar.params import Parameter
from msgspec import Meta, Struct


class Hello(Struct):
    message: str


class Line(Struct, forbid_unknown_fields=True):
    product_id: str
    quantity: Annotated[int, Meta(ge=1, le=1_000)]
    price_cents: Annotated[int, Meta(ge=0)]


class Order(Struct, forbid_unknown_fields=True):
    order_id: str
    customer_id: str
    lines: list[Line]


class Total(Struct):
    order_id: str
    total_cents: int
    lines: int


class Item(Struct):
    item_id: int
    q: str
    limit: int


@get("/v1/hello")
async def hello() -> Hello:
    return Hello(message="Hello, World!")


@post("/v1/orders", status_code=200)
async def price(data: Order) -> Total:
    return Total(
        order_id=data.order_id, total_cents=sum(x.quantity * x.price_cents for x in data.lines), lines=len(data.lines)
    )


@get("/v1/items/{item_id:int}")
async def item(item_id: int, q: str, limit: Annotated[int, Parameter(ge=1, le=100)] = 10) -> Item:
    return Item(item_id=item_id, q=q, limit=limit)


app = Litestar([hello, price, item], openapi_config=None)

"""django-bolt: typed handlers with msgspec, served by its own runner in one process."""

from typing import Annotated

import msgspec
from django.conf import settings
from django_bolt import BoltAPI
from django_bolt.exceptions import HTTPException
from msgspec import Meta

if not settings.configured:
    settings.configure(
        DEBUG=False, SECRET_KEY="bench", ROOT_URLCONF="bench.contenders.bolt_app",
        INSTALLED_APPS=["django_bolt"],
        BOLT_API=["bench.contenders.bolt_app:api"], ALLOWED_HOSTS=["*"], USE_TZ=True,
    )

api = BoltAPI()
urlpatterns: list[object] = []


class Hello(msgspec.Struct):
    message: str


class Line(msgspec.Struct, forbid_unknown_fields=True):
    product_id: str
    quantity: Annotated[int, Meta(ge=1, le=1_000)]
    price_cents: Annotated[int, Meta(ge=0)]


class Order(msgspec.Struct, forbid_unknown_fields=True):
    order_id: str
    customer_id: str
    lines: list[Line]


class Total(msgspec.Struct):
    order_id: str
    total_cents: int
    lines: int


class Item(msgspec.Struct):
    item_id: int
    q: str
    limit: int


@api.get("/v1/hello")
async def hello() -> Hello:
    return Hello(message="Hello, World!")


@api.post("/v1/orders", status_code=200)
async def price(order: Order) -> Total:
    return Total(
        order_id=order.order_id, total_cents=sum(x.quantity * x.price_cents for x in order.lines),
        lines=len(order.lines),
    )


@api.get("/v1/items/{item_id}")
async def item(item_id: int, q: str, limit: int = 10) -> Item:
    if not 1 <= limit <= 100:
        raise HTTPException(422)
    return Item(item_id=item_id, q=q, limit=limit)

"""BlackSheep with pydantic types, as its documentation writes it."""

from blacksheep import Application, Content, FromJSON, FromQuery, FromRoute, Response, get, post
from pydantic import BaseModel, ConfigDict, Field

app = Application()


class Line(BaseModel):
    model_config = ConfigDict(extra="forbid")
    product_id: str
    quantity: int = Field(ge=1, le=1_000)
    price_cents: int = Field(ge=0)


class Order(BaseModel):
    model_config = ConfigDict(extra="forbid")
    order_id: str
    customer_id: str
    lines: list[Line]


class Hello(BaseModel):
    message: str


class Total(BaseModel):
    order_id: str
    total_cents: int
    lines: int


class Item(BaseModel):
    item_id: int
    q: str
    limit: int


def answer(value: BaseModel) -> Response:
    return Response(200, content=Content(b"application/json", value.model_dump_json().encode()))


@get("/v1/hello")
async def hello() -> Response:
    return answer(Hello(message="Hello, World!"))


@post("/v1/orders")
async def price(data: FromJSON[Order]) -> Response:
    order = data.value
    cents = sum(x.quantity * x.price_cents for x in order.lines)
    return answer(Total(order_id=order.order_id, total_cents=cents, lines=len(order.lines)))


@get("/v1/items/{item_id}")
async def item(item_id: FromRoute[int], q: FromQuery[str], limit: FromQuery[int]) -> Response:
    if not 1 <= limit.value <= 100:
        return Response(400)
    return answer(Item(item_id=item_id.value, q=q.value, limit=limit.value))

"""The contender's application in Headwater: all features on, nothing special."""

from __future__ import annotations

from typing import Annotated

from headwater import Api, App, Command, Event, Meta, Module, Query, Tx, Value, View, authenticated, contract


class Hello(Value):
    message: str


class Line(Value):
    product_id: str
    quantity: Annotated[int, Meta(ge=1, le=1_000)]
    price_cents: Annotated[int, Meta(ge=0)]


class Total(Value):
    order_id: str
    total_cents: int
    lines: int


class Item(Value):
    item_id: int
    q: str
    limit: int


class Row(Value):
    id: int
    name: str
    price_cents: int


class Stored(Value):
    order_id: str


@contract("demo.hello", v=1)
class SayHello(Query[Hello]): ...


@contract("demo.price", v=1)
class PriceOrder(Command[Total]):
    order_id: str
    customer_id: str
    lines: tuple[Line, ...]


@contract("demo.item", v=1)
class GetItem(Query[Item]):
    item_id: int
    q: str
    limit: Annotated[int, Meta(ge=1, le=100)] = 10


@contract("demo.row", v=1)
class GetRow(Query[Row | None]):
    id: int


@contract("demo.store", v=1)
class StoreOrder(Command[Stored]):
    order_id: str
    customer_id: str
    lines: tuple[Line, ...]


@contract("demo.stored", v=1, key="order_id")
class OrderStored(Event):
    order_id: str


demo = Module("demo", migrations="demo_sql")


@demo.handle(SayHello)
async def say_hello(query: SayHello) -> Hello:
    return Hello(message="Hello, World!")


@demo.handle(PriceOrder)
async def price(cmd: PriceOrder) -> Total:
    return Total(
        order_id=cmd.order_id, total_cents=sum(x.quantity * x.price_cents for x in cmd.lines), lines=len(cmd.lines)
    )


@demo.handle(GetItem)
async def item(query: GetItem) -> Item:
    return Item(item_id=query.item_id, q=query.q, limit=query.limit)


@demo.handle(GetRow)
async def row(query: GetRow, view: View) -> Row | None:
    return await view.fetch_one(Row, "select id, name, price_cents from item where id = :id", id=query.id)


@demo.handle(StoreOrder)
async def store(cmd: StoreOrder, tx: Tx) -> Stored:
    await tx.execute(
        "insert into orders (order_id, customer_id, total_cents) values (:id, :customer, :total)",
        id=cmd.order_id, customer=cmd.customer_id, total=sum(x.quantity * x.price_cents for x in cmd.lines),
    )
    await tx.emit(OrderStored(order_id=cmd.order_id))
    return Stored(order_id=cmd.order_id)


v1 = Api("v1", auth=authenticated)
v1.get("/hello", SayHello)
v1.post("/orders", PriceOrder)
v1.get("/items/{item_id}", GetItem)
v1.get("/rows/{id}", GetRow)
v1.post("/stored", StoreOrder)

app = App("demo", modules=[demo], apis=[v1])

"""A small shop of several tenants, with an edge before it, for tests of who may do what."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from headwater import (
    Api,
    App,
    Command,
    Cors,
    Ctx,
    Event,
    Failure,
    Identity,
    Limit,
    Module,
    Query,
    Tx,
    Value,
    View,
    authenticated,
    contract,
    public,
    role,
    scope,
)
from headwater.edge.auth import Schemes
from headwater.edge.problems import Unauthenticated
from headwater.edge.routes import Router
from headwater.model.identity import SYSTEM
from headwater.runtime.audit import Audit
from headwater.runtime.node import Node
from headwater.testing.http import Answer, HttpClient
from tests.flow.house import migrations, parts

SQL = """
create table orders (order_id text primary key, tenant text not null, owner text not null, note text not null);
create table seen (order_id text primary key, note text not null);
"""
ORIGIN = "https://shop.example"


class Order(Value):
    order_id: str
    tenant: str
    owner: str
    note: str


class NotedOrder(Order):
    words: int = 0


class Gone(Failure, status=410):
    pass


@contract("orders.place", v=1)
class Place(Command[Order]):
    order_id: str
    note: str = ""


@contract("orders.by_id", v=1)
class ById(Query[Order | None]):
    order_id: str


@contract("orders.noted", v=1)
class Noted(Query[NotedOrder | None]):
    order_id: str


@contract("orders.mine", v=1)
class Mine(Query[tuple[Order, ...]]):
    pass


@contract("orders.careless", v=1)
class Careless(Query[tuple[Order, ...]]):
    pass


@contract("orders.rename", v=1)
class Rename(Command[Order | None]):
    order_id: str
    note: str


@contract("orders.cancel", v=1, fails=(Gone,))
class Cancel(Command[None]):
    order_id: str


@contract("orders.later", v=1)
class Later(Command[None]):
    order_id: str


@contract("orders.renamed", v=1)
class Renamed(Event):
    order_id: str


@contract("desk.look", v=1)
class Look(Query[str | None]):
    order_id: str


@contract("desk.act", v=1)
class Act(Command[str]):
    order_id: str


@contract("desk.who", v=1)
class Who(Query[Identity]):
    pass


@contract("desk.crash", v=1)
class Crash(Command[None]):
    secret: str = ""


def house(folder: Path) -> tuple[Module, ...]:
    orders = Module("orders", migrations=migrations(folder, "orders", SQL))
    desk = Module("desk", uses=["orders"])

    @orders.rule(Order)
    def may(identity: Identity, order: Order) -> bool:
        return order.tenant == identity.tenant and (order.owner == identity.subject or "staff" in identity.roles)

    @orders.handle(Place)
    async def place(cmd: Place, ctx: Ctx, tx: Tx) -> Order:
        made = Order(
            order_id=cmd.order_id, tenant=ctx.identity.tenant or "", owner=ctx.identity.subject or "", note=cmd.note
        )
        await tx.execute(
            "insert into orders values (:order_id, :tenant, :owner, :note)", order_id=made.order_id, tenant=made.tenant,
            owner=made.owner, note=made.note,
        )
        return made

    @orders.handle(ById)
    async def by_id(query: ById, view: View) -> Order | None:
        return await view.fetch_one(Order, "select * from orders where order_id = :id", id=query.order_id)

    @orders.handle(Noted)
    async def noted(query: Noted, view: View) -> NotedOrder | None:
        return await view.fetch_one(
            NotedOrder, "select *, length(note) as words from orders where order_id = :id", id=query.order_id
        )

    @orders.handle(Mine)
    async def mine(query: Mine, ctx: Ctx, view: View) -> tuple[Order, ...]:
        sql = "select * from orders where tenant = :tenant and owner = :owner"
        return tuple(await view.fetch_all(Order, sql, tenant=ctx.identity.tenant, owner=ctx.identity.subject))

    @orders.handle(Careless)
    async def careless(query: Careless, view: View) -> tuple[Order, ...]:
        return tuple(await view.fetch_all(Order, "select * from orders"))

    @orders.handle(Rename)
    async def rename(cmd: Rename, tx: Tx) -> Order | None:
        await tx.execute("update orders set note = :note where order_id = :id", note=cmd.note, id=cmd.order_id)
        await tx.emit(Renamed(order_id=cmd.order_id))
        return await tx.fetch_one(Order, "select * from orders where order_id = :id", id=cmd.order_id)

    @orders.handle(Cancel)
    async def cancel(cmd: Cancel, tx: Tx) -> None:
        if not await tx.fetch_all(Order, "select * from orders where order_id = :id", id=cmd.order_id):
            raise Gone
        await tx.execute("delete from orders where order_id = :id", id=cmd.order_id)

    @orders.handle(Later)
    async def later(cmd: Later, tx: Tx) -> None:
        await tx.send(Cancel(order_id=cmd.order_id))

    @orders.on(Renamed)
    async def see(event: Renamed, tx: Tx) -> None:
        order = await tx.fetch_one(Order, "select * from orders where order_id = :id", id=event.order_id)
        if order is not None:
            await tx.execute("insert or replace into seen values (:id, :note)", id=order.order_id, note=order.note)

    @desk.handle(Look)
    async def look(query: Look, ctx: Ctx) -> str | None:
        order = await ctx.ask(ById(order_id=query.order_id))
        return None if order is None else order.note

    @desk.handle(Act)
    async def act(cmd: Act, ctx: Ctx) -> str:
        order = await ctx.call(Rename(order_id=cmd.order_id, note="by the desk"))
        return "" if order is None else order.note

    @desk.handle(Who)
    async def who(query: Who, ctx: Ctx) -> Identity:
        return ctx.identity

    @desk.handle(Crash)
    async def crash(cmd: Crash, ctx: Ctx) -> None:
        raise RuntimeError(f"internal detail {cmd.secret}")

    return orders, desk


def face(*, limit: Limit | tuple[Limit, ...] = (), cors: Cors | None = None) -> Api:
    v1 = Api("v1", auth=authenticated, limit=limit, cors=cors)
    v1.post("/orders", Place, status=201)
    v1.get("/orders", Mine)
    v1.get("/orders/{order_id}", ById)
    v1.get("/orders/{order_id}/noted", Noted)
    v1.put("/orders/{order_id}", Rename)
    v1.delete("/orders/{order_id}", Cancel)
    v1.post("/orders/{order_id}/later", Later)
    v1.get("/all", Careless)
    v1.get("/desk/{order_id}", Look)
    v1.post("/desk/{order_id}", Act)
    v1.get("/who", Who, auth=public)
    v1.get("/staff", Who, auth=role("staff"))
    v1.get("/scoped", Who, auth=scope("orders:read", "orders:write"))
    v1.get("/both", Who, auth=role("staff") & scope("orders:read"))
    v1.post("/crash", Crash)
    return v1


class Names:
    """Bearer tokens for tests: `subject;tenant;role,role;scope,scope`."""

    def verify(self, token: str) -> Identity:
        parts = token.split(";")
        if len(parts) != 4:
            raise Unauthenticated("the token is not believed")
        subject, tenant, roles, scopes = parts
        return Identity(
            subject=subject, tenant=tenant or None, roles=tuple(filter(None, roles.split(","))),
            scopes=tuple(filter(None, scopes.split(","))),
        )


class Shop:
    """The running shop and its edge."""

    def __init__(self, node: Node, router: Router, audit: Audit) -> None:
        self.node = node
        self.router = router
        self.audit = audit
        self._client = HttpClient(router)

    async def ask(self, method: str, target: str, *, who: str | None = None, headers: Any = None, json: Any = None) -> Answer:
        sent = dict(headers or {})
        if who is not None:
            sent["authorization"] = f"Bearer {who}"
        return await self._client.request(method, target, headers=sent, json=json)


@asynccontextmanager
async def shop(folder: Path, *, verifier: Any = None, **options: Any) -> AsyncIterator[Shop]:
    api = face(**options)
    node = Node(App("house", modules=house(folder), apis=[api]), parts(folder))
    await node.start()
    try:
        clock = node.parts.clock
        audit = Audit(clock)
        router = Router([api], node, verifier=verifier or Schemes(Names()), audit=audit)
        yield Shop(node, router, audit)
    finally:
        await node.stop()


__all__ = ["ORIGIN", "SYSTEM", "ById", "Mine", "Names", "Order", "Shop", "face", "house", "shop"]

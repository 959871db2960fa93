"""The public API as its users use it, in many shapes: no type checker may find fault with it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Annotated, assert_type

from headwater import (
    Api,
    App,
    Command,
    Ctx,
    Cursor,
    Event,
    Failure,
    HeadwaterError,
    Identity,
    Meta,
    Module,
    NotExecuted,
    OutcomeUnknown,
    Page,
    Query,
    Retry,
    Tx,
    Use,
    Value,
    View,
    authenticated,
    contract,
    page,
    public,
    recast,
    role,
    scope,
)
from tests.types.contracts import (
    CountOrders,
    ForgetOrder,
    Line,
    Order,
    OrderById,
    OrderPlaced,
    OrderPlaced2,
    OutOfPrint,
    PlaceOrder,
    PlaceOrder2,
    Unpayable,
    newer_command,
    older_answer,
)


class Gateway:
    async def charge(self, cents: int) -> str:
        return str(cents)


async def open_gateway() -> AsyncIterator[Gateway]:
    yield Gateway()


class Bare(Failure):
    pass


class Stock(Value):
    isbn: str
    shelf: str | None = None
    copies: Annotated[int, Meta(ge=0)] = 0


@contract("stock.take", v=2, fails=(OutOfPrint, Bare), within="2s", idempotent="isbn")
class Take(Command[Stock]):
    isbn: str


@contract("stock.drop", v=1, fails=(Bare,))
class Drop(Command[None]):
    isbn: str


@contract("stock.of", v=1, within="50ms")
class StockOf(Query[list[Stock]]):
    isbns: tuple[str, ...] = ()


@contract("stock.taken", v=1, key="isbn")
class Taken(Event):
    isbn: str


@contract("stock.counted", v=1)
class Counted(Event):
    pass


stock = Module("stock", uses=["orders"], migrations="migrations")
other = Module("other", uses=("stock", "orders"))
shelves = stock.projection("shelves", tables=["shelf"], retry=Retry(3, first=0.1))


@stock.handle(Take)
async def take(cmd: Take, ctx: Ctx, tx: Tx, gateway: Annotated[Gateway, Use(open_gateway)]) -> Stock:
    count = await ctx.ask(CountOrders())
    assert_type(count, int)
    order = await ctx.ask(OrderById(order_id="1"), within=0.1)
    assert_type(order, Order | None)
    if order is not None and order.note is not None:
        print(order.note.upper(), order.lines[0].copies, await gateway.charge(order.total_cents))
    try:
        placed = await ctx.call(PlaceOrder(request_id=ctx.new_id(), lines=(Line(isbn=cmd.isbn, copies=1),)))
    except OutOfPrint as failure:
        assert_type(failure.isbn, str)
        raise
    except NotExecuted as error:
        assert_type(error.retry_after, float | None)
        raise Bare from error
    except OutcomeUnknown:
        raise Bare from None
    assert_type(placed, Order)
    changed = await tx.execute("update stock set copies = copies - 1 where isbn = :isbn", isbn=cmd.isbn)
    assert_type(changed, int)
    found = await tx.fetch_one(Stock, "select * from stock where isbn = :isbn", isbn=cmd.isbn)
    assert_type(found, Stock | None)
    if found is None:
        raise OutOfPrint(isbn=cmd.isbn, since=1999)
    await tx.emit(Taken(isbn=cmd.isbn))
    await tx.send(ForgetOrder(order_id="1"), after=60)
    return found


@stock.handle(Drop)
async def drop(cmd: Drop, tx: Tx) -> None:
    await tx.execute("delete from stock where isbn = :isbn", isbn=cmd.isbn)


@stock.handle(StockOf)
async def stock_of(query: StockOf, view: View) -> list[Stock]:
    return await view.fetch_all(Stock, "select * from stock")


@other.on(Taken)
async def note(event: Taken, tx: Tx) -> None:
    assert_type(event.isbn, str)
    await tx.emit(Counted())


@other.on(OrderPlaced, name="placed", start="beginning", retry=Retry(10))
async def count(event: OrderPlaced, ctx: Ctx, tx: Tx) -> None:
    assert_type(ctx.now().tzinfo is None, bool)


@shelves.on(Taken)
async def fold(event: Taken, tx: Tx) -> None:
    pass


def who(ctx: Ctx) -> str:
    assert_type(ctx.identity, Identity)
    known = Identity(subject="ada", roles=("staff",))
    return ctx.identity.subject or known.subject or "nobody"


def errors_are_told_apart(error: HeadwaterError) -> str:
    match error:
        case NotExecuted(retry_after=seconds):
            return f"try again in {seconds}"
        case OutcomeUnknown():
            return "look first"
        case _:
            return error.code


def a_test_calls_a_handler_as_it_is(tx: Tx) -> Awaitable[None]:
    return drop(Drop(isbn="1"), tx)


def handlers_keep_their_types() -> None:
    folds: Callable[[Taken, Tx], Awaitable[None]] = fold
    asks: Callable[[StockOf, View], Awaitable[list[Stock]]] = stock_of
    print(folds, asks)


nothing = Module("nothing")


@contract("nothing.add", v=1)
class Add(Query[int]):
    left: int
    right: int


@nothing.handle(Add)
def add(query: Add) -> int:
    return query.left + query.right


@stock.rule(Stock)
def may(identity: Identity, thing: Stock) -> bool:
    return thing.shelf == identity.tenant


def a_test_asks_a_rule_as_it_is() -> None:
    assert_type(may(Identity(subject="ada"), Stock(isbn="1")), bool)


v1 = Api("v1", auth=authenticated)
v1.post("/stock", Take, status=201)
v1.put("/stock/{isbn}", Take)
v1.patch("/stock/{isbn}", Take)
v1.delete("/stock/{isbn}", Drop, auth=role("staff", "owner") & scope("stock:drop"))
v1.get("/stock", StockOf, auth=public)
app = App("shop", modules=[stock, other, nothing], apis=[v1])


orders = Module("orders")


def older_versions() -> None:
    unpaid = recast(Unpayable, OutOfPrint).by(lambda failure: OutOfPrint(isbn=failure.currency))
    orders.upcast(PlaceOrder, PlaceOrder2).by(up=newer_command, down=older_answer, fails=(unpaid,))
    orders.upcast(PlaceOrder, PlaceOrder2).by(
        up=lambda cmd: PlaceOrder2(request_id=cmd.request_id, lines=cmd.lines, currency="EUR"),
        down=lambda placed: Order(order_id=placed.order_id, lines=(), total_cents=0),
    )


@orders.upcast_event(OrderPlaced, OrderPlaced2)
def placed_in_euros(event: OrderPlaced) -> OrderPlaced2:
    return OrderPlaced2(order_id=event.order_id, currency="EUR")


@contract("stock.list", v=1)
class ListStock(Query[Page[Stock]]):
    after: Cursor | None = None
    limit: Annotated[int, Meta(ge=1, le=100)] = 20


@stock.handle(ListStock)
async def list_stock(query: ListStock, view: View) -> Page[Stock]:
    found = await page(
        view, Stock, "select * from stock where copies > :least", order=("-copies", "isbn"), after=query.after,
        limit=query.limit, least=0,
    )
    assert_type(found, Page[Stock])
    assert_type(found.next, str | None)
    return found


async def all_pages(ctx: Ctx) -> int:
    count, after = 0, None
    while True:
        found = await ctx.ask(ListStock(after=after))
        assert_type(found.items, tuple[Stock, ...])
        count, after = count + len(found.items), found.next
        if after is None:
            return count

"""Mistakes that a type checker must find before anything runs, one on each line that is marked.

Nothing here is imported or called: both checkers read the file, and `test_types` compares what they say
with the marks. Only contracts are known, never the code that handles them. A mark on a decorator stands
for the decorator and the name under it: checkers differ in where they complain.
"""

from __future__ import annotations

from headwater import (
    Api,
    App,
    Command,
    Ctx,
    Event,
    Failure,
    Identity,
    Module,
    Page,
    Query,
    Retry,
    Tx,
    Use,
    Value,
    View,
    contract,
    page,
    recast,
    role,
)
from tests.types.contracts import (
    CountOrders,
    ForgetOrder,
    Line,
    Order,
    OrderById,
    OrderForgotten,
    OrderPlaced,
    OrderPlaced2,
    OutOfPrint,
    Placed,
    PlaceOrder,
    PlaceOrder2,
    Unpayable,
    newer_command,
    older_answer,
)

shop = Module("shop", uses=["orders"])
orders = Module("orders")
v1 = Api("v1")


# --- making a message ---------------------------------------------------------------------------------


def unknown_field() -> None:
    OrderById(order="1")  # error: there is no such field


def missing_field() -> None:
    Line(isbn="1")  # error: copies is missing


def wrong_type_of_field() -> None:
    Line(isbn=1, copies=1)  # error: isbn is text


def positional_field() -> None:
    OrderById("1")  # error: fields have names


def wrong_nested_value() -> None:
    PlaceOrder(request_id="1", lines=(Order(order_id="1", lines=(), total_cents=0),))  # error: lines are Lines


def list_for_a_tuple() -> None:
    PlaceOrder(request_id="1", lines=[Line(isbn="1", copies=1)])  # error: a list is not frozen


def none_for_a_required_field() -> None:
    OrderById(order_id=None)  # error: order_id is text


def field_of_the_neighbour() -> None:
    OrderForgotten(order_id="1", total_cents=1)  # error: that is a field of OrderPlaced


def mutation_of_a_message(message: PlaceOrder) -> None:
    message.note = "later"  # error: messages are frozen


def mutation_of_a_value(order: Order) -> None:
    order.total_cents += 1  # error: values are frozen


def field_that_an_event_lacks(event: OrderPlaced) -> None:
    print(event.lines)  # error: an event of other fields


def default_of_the_wrong_type() -> None:
    class Parcel(Value):
        grams: int = "heavy"  # error: grams is a number

    Parcel()


# --- failures -----------------------------------------------------------------------------------------


def failure_with_an_unknown_field() -> None:
    raise OutOfPrint(isbn="1", title="Emma")  # error: no such fact


def failure_without_a_field() -> None:
    print(OutOfPrint())  # error: isbn is missing


def failure_with_a_wrong_field() -> None:
    raise OutOfPrint(isbn=1)  # error: isbn is text


def failure_with_a_sentence() -> None:
    raise OutOfPrint("sorry")  # error: facts, not sentences


def fact_that_a_failure_lacks() -> None:
    try:
        raise OutOfPrint(isbn="1")
    except OutOfPrint as failure:
        print(failure.title)  # error: no such fact


def mutation_of_a_failure(failure: OutOfPrint) -> None:
    failure.isbn = "2"  # error: failures are frozen


def status_that_is_text() -> None:
    class Lost(Failure, status="409"):  # error: a status is a number
        pass

    raise Lost


# --- calling ------------------------------------------------------------------------------------------


async def wrong_attribute_of_a_result(ctx: Ctx) -> None:
    order = await ctx.call(PlaceOrder(request_id="1", lines=()))
    print(order.total)  # error: it is total_cents


async def wrong_use_of_a_result(ctx: Ctx) -> str:
    return await ctx.ask(CountOrders())  # error: it is a number


async def result_of_nothing(ctx: Ctx) -> int:
    return await ctx.call(ForgetOrder(order_id="1"))  # error: it has no result


async def optional_result_taken_for_granted(ctx: Ctx) -> int:
    order = await ctx.ask(OrderById(order_id="1"))
    return order.total_cents  # error: there may be no such order


async def optional_field_taken_for_granted(ctx: Ctx) -> str:
    order = await ctx.call(PlaceOrder(request_id="1", lines=()))
    return order.note.upper()  # error: there may be no note


async def call_of_a_query(ctx: Ctx) -> None:
    await ctx.call(CountOrders())  # error: queries are asked


async def ask_of_a_command(ctx: Ctx) -> None:
    await ctx.ask(ForgetOrder(order_id="1"))  # error: commands are called


async def call_of_an_event(ctx: Ctx) -> None:
    await ctx.call(OrderForgotten(order_id="1"))  # error: events are emitted


async def ask_of_an_event(ctx: Ctx) -> None:
    await ctx.ask(OrderForgotten(order_id="1"))  # error: events are emitted


async def call_of_a_class(ctx: Ctx) -> None:
    await ctx.call(ForgetOrder)  # error: a message, not its class


async def call_of_a_value(ctx: Ctx) -> None:
    await ctx.call(Line(isbn="1", copies=1))  # error: a value asks for nothing


async def forgotten_await(ctx: Ctx) -> None:
    ctx.call(ForgetOrder(order_id="1"))  # error: nobody waits


async def forgotten_await_of_a_result(ctx: Ctx) -> int:
    order = ctx.call(PlaceOrder(request_id="1", lines=()))
    return order.total_cents  # error: it is not there yet


async def budget_as_text(ctx: Ctx) -> None:
    await ctx.call(ForgetOrder(order_id="1"), within="1s")  # error: seconds, as a number


async def emit_outside_a_transaction(ctx: Ctx) -> None:
    await ctx.emit(OrderForgotten(order_id="1"))  # error: only a Tx emits


async def sql_without_a_transaction(ctx: Ctx) -> None:
    await ctx.execute("delete from orders")  # error: only a Tx writes


async def identity_taken_for_granted(ctx: Ctx) -> str:
    return ctx.identity.subject  # error: perhaps nobody has signed in


# --- transactions and views ---------------------------------------------------------------------------


async def call_inside_a_transaction(tx: Tx) -> None:
    await tx.call(ForgetOrder(order_id="1"))  # error: no waiting for others in a transaction


async def ask_inside_a_transaction(tx: Tx) -> None:
    await tx.ask(CountOrders())  # error: no waiting for others in a transaction


async def sleep_inside_a_transaction(tx: Tx) -> None:
    await tx.sleep(1)  # error: no waiting in a transaction


async def emit_of_a_command(tx: Tx) -> None:
    await tx.emit(ForgetOrder(order_id="1"))  # error: only events are emitted


async def emit_of_a_class(tx: Tx) -> None:
    await tx.emit(OrderForgotten)  # error: a message, not its class


async def forgotten_await_of_emit(tx: Tx) -> None:
    tx.emit(OrderForgotten(order_id="1"))  # error: nothing is emitted


async def send_of_a_query(tx: Tx) -> None:
    await tx.send(CountOrders())  # error: only commands are sent


async def send_of_an_event(tx: Tx) -> None:
    await tx.send(OrderForgotten(order_id="1"))  # error: only commands are sent


async def result_of_a_send(tx: Tx) -> int:
    return (await tx.send(PlaceOrder(request_id="1", lines=()))).total_cents  # error: a send has no result


async def delay_as_text(tx: Tx) -> None:
    await tx.send(ForgetOrder(order_id="1"), after="5m")  # error: seconds, as a number


async def commit_by_hand(tx: Tx) -> None:
    await tx.commit()  # error: a transaction commits when its handler returns


async def write_through_a_view(view: View) -> None:
    await view.execute("delete from orders")  # error: a view only reads


async def emit_through_a_view(view: View) -> None:
    await view.emit(OrderForgotten(order_id="1"))  # error: a view only reads


async def row_taken_for_granted(view: View) -> int:
    order = await view.fetch_one(Order, "select * from orders")
    return order.total_cents  # error: there may be no row


async def row_of_another_kind(view: View) -> list[Line]:
    return await view.fetch_all(Order, "select * from orders")  # error: Orders are no Lines


async def scalar_of_another_kind(tx: Tx) -> str | None:
    return await tx.fetch_one(int, "select count(*) from orders")  # error: a number is no text


async def parameters_in_a_mapping(tx: Tx) -> None:
    await tx.execute("delete from orders where id = :id", {"id": "1"})  # error: parameters have names


# --- handlers -----------------------------------------------------------------------------------------


@orders.handle(PlaceOrder)  # error: wrong result
async def wrong_result(cmd: PlaceOrder, tx: Tx) -> Line:
    raise NotImplementedError


@orders.handle(PlaceOrder)  # error: wrong message
async def wrong_message(cmd: ForgetOrder, tx: Tx) -> Order:
    raise NotImplementedError


@orders.handle(PlaceOrder)  # error: perhaps no result
async def perhaps_no_result(cmd: PlaceOrder, tx: Tx) -> Order | None:
    raise NotImplementedError


@orders.handle(ForgetOrder)  # error: a result where there is none
async def unwanted_result(cmd: ForgetOrder, tx: Tx) -> bool:
    raise NotImplementedError


@orders.handle(CountOrders)  # error: wrong result of a plain function
def wrong_plain_result(query: CountOrders) -> str:
    raise NotImplementedError


@orders.handle(CountOrders)  # error: takes no message
async def takes_nothing() -> int:
    raise NotImplementedError


@orders.handle(CountOrders)  # error: the message comes first
async def message_second(view: View, query: CountOrders) -> int:
    raise NotImplementedError


@orders.handle(OrderPlaced)  # error: events are subscribed to
async def handled_event(event: OrderPlaced, tx: Tx) -> None:
    raise NotImplementedError


@orders.handle(Line)  # error: a value asks for nothing
async def handled_value(value: Line) -> None:
    raise NotImplementedError


@orders.handle("orders.place")  # error: a class, not its name
async def handled_name(cmd: PlaceOrder, tx: Tx) -> Order:
    raise NotImplementedError


@orders.handle(CountOrders)
async def returns_the_wrong_thing(query: CountOrders, view: View) -> int:
    return "many"  # error: it is a number


# --- subscriptions ------------------------------------------------------------------------------------


@shop.on(OrderPlaced)  # error: wrong event
async def wrong_event(event: OrderForgotten, tx: Tx) -> None:
    raise NotImplementedError


@shop.on(OrderPlaced)  # error: nobody takes a result
async def returns_something(event: OrderPlaced, tx: Tx) -> int:
    raise NotImplementedError


@shop.on(PlaceOrder)  # error: commands are handled
async def subscribed_command(cmd: PlaceOrder, tx: Tx) -> None:
    raise NotImplementedError


@shop.on(OrderPlaced)  # error: a subscription is async
def not_async(event: OrderPlaced, tx: Tx) -> None:
    raise NotImplementedError


@shop.on(OrderPlaced, start="yesterday")  # error: now or beginning
async def starts_when(event: OrderPlaced, tx: Tx) -> None:
    raise NotImplementedError


@shop.on(OrderPlaced, retry=3)  # error: a Retry
async def retry_as_a_number(event: OrderPlaced, tx: Tx) -> None:
    raise NotImplementedError


@shop.projection("totals", tables=["total"]).on(OrderPlaced)  # error: wrong event
async def folds_the_wrong_event(event: OrderForgotten, tx: Tx) -> None:
    raise NotImplementedError


def tables_as_text() -> None:
    shop.projection("totals", tables="total")  # error: a list of tables


# --- declaring ----------------------------------------------------------------------------------------


@contract("shop.within", v=1, within=5)  # error: a duration is text
class WithinNumber(Command[None]):
    pass


@contract("shop.version", v="1")  # error: a version is a number
class VersionText(Command[None]):
    pass


@contract("shop.unversioned")  # error: a contract has a version
class Unversioned(Command[None]):
    pass


@contract("shop.keyed", v=1, key="shelf")  # error: only events have a key
class KeyedCommand(Command[None]):
    shelf: str


@contract("shop.failing", v=1, fails=(OutOfPrint,))  # error: an event is a fact
class FailingEvent(Event):
    isbn: str


@contract("shop.repeatable", v=1, idempotent="isbn")  # error: only commands are idempotent by a key
class RepeatableQuery(Query[int]):
    isbn: str


@contract("shop.raising", v=1, fails=(ValueError,))  # error: a ValueError is not declared
class Raising(Command[None]):
    pass


@contract("shop.list", v=1, fails=[OutOfPrint])  # error: a tuple
class ListOfFailures(Command[None]):
    pass


@contract("shop.value", v=1)  # error: a value needs no contract
class ContractedValue(Value):
    isbn: str


def text_for_a_retry() -> None:
    Retry("5")  # error: a number of attempts


def number_for_a_provider() -> None:
    Use(3)  # error: a function that makes the value


def uses_as_text() -> None:
    Module("shop", uses="orders")  # error: a list of modules


def one_module_for_many() -> None:
    App("shop", modules=shop)  # error: a list of modules


def module_by_name() -> None:
    App("shop", modules=["shop"])  # error: modules, not names


# --- routes -------------------------------------------------------------------------------------------


def route_to_an_event() -> None:
    v1.post("/placed", OrderPlaced)  # error: nobody calls an event


def get_of_a_command() -> None:
    v1.get("/orders", PlaceOrder)  # error: GET asks


def post_of_a_query() -> None:
    v1.post("/orders/count", CountOrders)  # error: POST calls


def delete_of_a_query() -> None:
    v1.delete("/orders/{order_id}", OrderById)  # error: DELETE calls


def route_to_a_message() -> None:
    v1.get("/orders/count", CountOrders())  # error: a class, not a message


def status_as_text() -> None:
    v1.post("/orders", PlaceOrder, status="201")  # error: a status is a number


def role_as_a_number() -> None:
    v1.get("/orders/count", CountOrders, auth=role(1))  # error: a role is text


def auth_and_a_name() -> None:
    Api("v2", auth=role("staff") & "orders:write")  # error: both sides are role(...) or scope(...)


# --- rules --------------------------------------------------------------------------------------------


@orders.rule(Order)  # error: the rule is about an Order
def rule_about_another_value(identity: Identity, thing: Line) -> bool:
    return thing.copies == 1


@orders.rule(Order)  # error: the identity comes first
def rule_the_wrong_way_round(thing: Order, identity: Identity) -> bool:
    return True


@orders.rule(Order)  # error: a rule answers yes or no
def rule_without_an_answer(identity: Identity, thing: Order) -> None:
    return None


@orders.rule(Order)  # error: a rule does not wait
async def rule_that_waits(identity: Identity, thing: Order) -> bool:
    return True


def rule_about_text() -> None:
    orders.rule(str)  # error: rules are about Values


def auth_as_text() -> None:
    Api("v2", auth="public")  # error: public, authenticated or role(...)


# --- older versions -----------------------------------------------------------------------------------


def upcast_of_the_newer_one() -> None:
    orders.upcast(PlaceOrder2, PlaceOrder).by(
        up=newer_command,  # error: the older one comes first
        down=lambda order: Placed(order_id=order.order_id, currency="EUR"),
    )


def upcast_to_another_command() -> None:
    orders.upcast(PlaceOrder, PlaceOrder2).by(
        up=lambda cmd: ForgetOrder(order_id=cmd.request_id),  # error: that is no PlaceOrder2
        down=older_answer,
    )


def upcast_that_reads_a_newer_field() -> None:
    orders.upcast(PlaceOrder, PlaceOrder2).by(
        up=lambda cmd: PlaceOrder2(request_id="1", lines=(), currency=cmd.currency),  # error: PlaceOrder has none
        down=older_answer,
    )


def downcast_that_answers_as_the_newer_one() -> None:
    orders.upcast(PlaceOrder, PlaceOrder2).by(
        up=newer_command,
        down=lambda placed: placed,  # error: callers of the older version get an Order
    )


def downcast_that_may_have_no_answer() -> None:
    orders.upcast(PlaceOrder, PlaceOrder2).by(
        up=newer_command,
        down=lambda placed: None,  # error: PlaceOrder always answers with an Order
    )


def upcast_one_way() -> None:
    orders.upcast(PlaceOrder, PlaceOrder2).by(up=newer_command)  # error: down is missing


def upcast_of_an_event_as_a_command() -> None:
    orders.upcast(OrderPlaced, OrderPlaced2)  # error: upcast_event


def recast_as_something_else() -> None:
    recast(Unpayable, OutOfPrint).by(lambda failure: failure)  # error: by makes an OutOfPrint


def recast_that_reads_what_is_not_there() -> None:
    recast(Unpayable, OutOfPrint).by(lambda failure: OutOfPrint(isbn=failure.isbn))  # error: Unpayable has no isbn


def recast_of_an_error() -> None:
    recast(ValueError, OutOfPrint).by(lambda failure: OutOfPrint(isbn="1"))  # error: refusals are Failures


def recast_that_says_nothing() -> None:
    orders.upcast(PlaceOrder, PlaceOrder2).by(
        up=newer_command, down=older_answer, fails=(recast(Unpayable, OutOfPrint),)  # error: by(...) is missing
    )


@orders.upcast_event(OrderPlaced, OrderPlaced2)  # error: it makes an OrderPlaced2
def event_upcast_to_another(event: OrderPlaced) -> OrderForgotten:
    return OrderForgotten(order_id=event.order_id)


@orders.upcast_event(OrderPlaced, OrderPlaced2)  # error: it takes an OrderPlaced
def event_upcast_of_another(event: OrderForgotten) -> OrderPlaced2:
    return OrderPlaced2(order_id=event.order_id, currency="EUR")


@orders.upcast_event(OrderPlaced, OrderPlaced2)  # error: an upcast does not wait
async def event_upcast_that_waits(event: OrderPlaced) -> OrderPlaced2:
    return OrderPlaced2(order_id=event.order_id, currency="EUR")


def event_upcast_of_a_command() -> None:
    orders.upcast_event(PlaceOrder, PlaceOrder2)  # error: upcast


# --- pages --------------------------------------------------------------------------------------------


async def page_without_an_order(view: View) -> None:
    await page(view, Order, "select * from orders", after=None, limit=1)  # error: order= is missing


async def page_ordered_by_text(view: View) -> None:
    await page(view, Order, "select * from orders", order="order_id", after=None, limit=1)  # error: a tuple of fields


async def page_of_something_else(view: View) -> Page[Order]:
    return await page(view, Line, "select 1", order=("isbn",), after=None, limit=1)  # error: these are Lines


async def page_that_nobody_awaits(view: View) -> None:
    found = page(view, Order, "select * from orders", order=("order_id",), after=None, limit=1)
    print(found.next)  # error: await is missing

"""The contracts of a small bookshop: all that a caller, and these tests, need of it."""

from __future__ import annotations

from typing import Annotated

from headwater import Command, Event, Failure, Meta, Query, Value, contract


class Line(Value):
    isbn: str
    copies: Annotated[int, Meta(ge=1)]


class Order(Value):
    order_id: str
    lines: tuple[Line, ...]
    total_cents: int
    note: str | None = None


class OutOfPrint(Failure, status=409):
    isbn: str
    since: int = 0


@contract("orders.place", v=1, fails=(OutOfPrint,), within="800ms", idempotent="request_id")
class PlaceOrder(Command[Order]):
    request_id: str
    lines: tuple[Line, ...]
    note: str | None = None


@contract("orders.forget", v=1)
class ForgetOrder(Command[None]):
    order_id: str


@contract("orders.by_id", v=1, fails=(OutOfPrint,), within="200ms")
class OrderById(Query[Order | None]):
    order_id: str


@contract("orders.count", v=1)
class CountOrders(Query[int]):
    pass


@contract("orders.placed", v=1, key="order_id")
class OrderPlaced(Event):
    order_id: str
    total_cents: int


@contract("orders.forgotten", v=1)
class OrderForgotten(Event):
    order_id: str


class Placed(Value):
    order_id: str
    currency: str


class Unpayable(Failure, status=402):
    currency: str


@contract("orders.place", v=2, fails=(OutOfPrint, Unpayable), idempotent="request_id")
class PlaceOrder2(Command[Placed]):
    request_id: str
    lines: tuple[Line, ...]
    currency: str


@contract("orders.placed", v=2, key="order_id")
class OrderPlaced2(Event):
    order_id: str
    currency: str


def newer_command(cmd: PlaceOrder) -> PlaceOrder2:
    return PlaceOrder2(request_id=cmd.request_id, lines=cmd.lines, currency="EUR")


def older_answer(placed: Placed) -> Order:
    return Order(order_id=placed.order_id, lines=(), total_cents=0)

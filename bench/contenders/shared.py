"""What the bare contenders share: the same types, validated by hand with msgspec, and the same SQLite statements."""

from __future__ import annotations

import os
import sqlite3
from typing import Annotated
from urllib.parse import parse_qsl

import msgspec
from msgspec import Meta, Struct

ROW = "select id, name, price_cents from item where id = ?"


class Line(Struct, forbid_unknown_fields=True):
    product_id: str
    quantity: Annotated[int, Meta(ge=1, le=1_000)]
    price_cents: Annotated[int, Meta(ge=0)]


class Order(Struct, forbid_unknown_fields=True):
    order_id: str
    customer_id: str
    lines: list[Line]


decode = msgspec.json.Decoder(Order).decode
encode = msgspec.json.Encoder().encode


def total(order: Order) -> int:
    return sum(x.quantity * x.price_cents for x in order.lines)


def priced(body: bytes) -> bytes:
    order = decode(body)
    return encode({"order_id": order.order_id, "total_cents": total(order), "lines": len(order.lines)})


def item(path: str, query: str) -> bytes:
    """Read `/v1/items/42` and `q=shoes&limit=20` by hand, as somebody in a hurry would."""
    pairs = dict(parse_qsl(query))
    limit = int(pairs.get("limit", "10"))
    if not 1 <= limit <= 100:
        raise ValueError(limit)
    return encode({"item_id": int(path.rpartition("/")[2]), "q": pairs["q"], "limit": limit})


def database() -> sqlite3.Connection:
    """Open the prepared database; the file is the runner's."""
    connection = sqlite3.connect(os.environ["BENCH_DATABASE"], isolation_level=None, check_same_thread=False)
    connection.execute("pragma journal_mode=wal")
    connection.execute(f"pragma synchronous={os.environ.get('BENCH_SYNC', 'full')}")
    connection.execute("pragma busy_timeout=5000")
    return connection


def row(connection: sqlite3.Connection, number: int) -> bytes | None:
    """Return the row as JSON; None when there is none."""
    found = connection.execute(ROW, (number,)).fetchone()
    return None if found is None else encode({"id": found[0], "name": found[1], "price_cents": found[2]})


def stored(connection: sqlite3.Connection, body: bytes) -> bytes:
    """Keep an order and its outbox row in one transaction, and commit it: one commit for each request."""
    order = decode(body)
    connection.execute("begin immediate")
    connection.execute(
        "insert into orders (order_id, customer_id, total_cents) values (?, ?, ?)",
        (order.order_id, order.customer_id, total(order)),
    )
    connection.execute("insert into outbox (order_id, body) values (?, ?)", (order.order_id, b"placed"))
    connection.execute("commit")
    return encode({"order_id": order.order_id})

"""Pages of results: complete, in order, stable while rows come and go, and cursors that fit or are refused."""

from __future__ import annotations

import base64
import random
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import msgspec
import pytest

from headwater import Api, Command, Cursor, Meta, Module, Page, Query, Tx, Value, View, contract, page, public
from headwater.edge.routes import Router
from headwater.errors import InvalidMessage, QueryError
from headwater.model.page import CURSOR_MOST
from headwater.runtime.shapes import shareable
from headwater.testing.http import HttpClient
from tests.flow.house import call, migrations, running

SCHEMA = "create table product (id integer primary key, name text not null, price integer not null, note text);"
ALL = "select id, name, price from product"


class Product(Value):
    id: int
    name: str
    price: int = 0
    note: str | None = None


@contract("catalog.put", v=1)
class Put(Command[None]):
    products: tuple[Product, ...] = ()
    gone: tuple[int, ...] = ()


@contract("catalog.find", v=1)
class Find(Query[Page[Product]]):
    """Products in order."""

    order: tuple[str, ...] = ("name", "id")
    least: int = 0
    after: Cursor | None = None
    limit: Annotated[int, Meta(ge=1, le=100)] = 20


@contract("catalog.search", v=1)
class Search(Query[Page[Product]]):
    text: str = ""
    after: Cursor | None = None
    limit: Annotated[int, Meta(ge=1, le=100)] = 20


def catalog(folder: Path) -> Module:
    module = Module("catalog", migrations=migrations(folder, "catalog", SCHEMA))

    @module.handle(Put)
    async def put(cmd: Put, tx: Tx) -> None:
        for number in cmd.gone:
            await tx.execute("delete from product where id = :id", id=number)
        for one in cmd.products:
            await tx.execute(
                "insert or replace into product (id, name, price) values (:id, :name, :price)", id=one.id, name=one.name,
                price=one.price,
            )

    @module.handle(Find)
    async def find(query: Find, view: View) -> Page[Product]:
        return await page(
            view, Product, f"{ALL} where price >= :least", order=query.order, after=query.after, limit=query.limit,
            least=query.least,
        )

    @module.handle(Search)
    async def search(query: Search, view: View) -> Page[Product]:
        return await page(
            view, Product, f"{ALL} where name like :like", order=("-price", "id"), after=query.after,
            limit=query.limit, like=f"%{query.text}%",
        )

    return module


async def through(node: Any, query: Find) -> list[list[Product]]:
    found = []
    while True:
        got = await call(node, query)
        found.append(list(got.items))
        if got.next is None:
            return found
        query = msgspec.structs.replace(query, after=got.next)


ORDERS = [("id",), ("-id",), ("name", "id"), ("-name", "-id"), ("name", "-id"), ("-price", "name", "id"), ("price", "-name", "id")]


def sorted_by(products: list[Product], order: tuple[str, ...]) -> list[Product]:
    for field in reversed(order):
        products = sorted(products, key=lambda p, f=field: getattr(p, f.removeprefix("-")), reverse=field[0] == "-")
    return products


@pytest.mark.parametrize("order", ORDERS)
async def test_pages_together_are_the_whole_list_in_order(tmp_path: Path, order: tuple[str, ...]) -> None:
    products = [Product(id=n, name="abc"[n % 3], price=n % 5) for n in range(57)]
    async with running(tmp_path, catalog(tmp_path)) as node:
        await call(node, Put(products=tuple(products)))
        for limit in (1, 7, 19, 56, 57, 58):
            pages = await through(node, Find(order=order, limit=limit))
            assert [one for part in pages for one in part] == sorted_by(products, order)
            assert all(len(part) == limit for part in pages[:-1])
            assert len(pages) == -(-57 // limit)
        assert await through(node, Find(order=order, least=99)) == [[]]


NAMES = ("", "a", "b", "B", "~", "é", "ÿ", "€", " '", '"%', "aa")


async def one_walk(node: Any, seed: int) -> None:
    """Walk through the pages while rows come and go, beside a list."""
    draw = random.Random(seed)
    order, limit = draw.choice(ORDERS), draw.randint(1, 4)

    def product(n: int) -> Product:
        return Product(id=n, name=draw.choice(NAMES), price=draw.randint(-2, 2))

    model = {n: product(n) for n in draw.sample(range(13), draw.randint(0, 13))}
    await call(node, Put(gone=tuple(range(13)), products=tuple(model.values())))
    query, last = Find(order=order, limit=limit, least=-9), None
    while True:
        rows = sorted_by(list(model.values()), order)
        if last is not None:
            rows = rows if last in rows else sorted_by([*rows, last], order)
            rows = rows[rows.index(last) + 1:]
        got = await call(node, query)
        assert list(got.items) == rows[:limit], f"seed {seed}"
        assert (got.next is None) == (len(rows) <= limit), f"seed {seed}"
        if got.next is None:
            return
        query, last = msgspec.structs.replace(query, after=got.next), got.items[-1]
        for n in draw.sample([n for n in range(13) if n != last.id or draw.random() < 0.5], draw.randint(0, 3)):
            if model.pop(n, None) is None:
                model[n] = product(n)
            await call(node, Put(gone=(n,), products=(model[n],) if n in model else ()))


async def test_inserts_and_deletes_between_pages_disturb_nothing_else(tmp_path: Path) -> None:
    """Each page is what a list holds behind the last row that was seen, at that moment."""
    async with running(tmp_path, catalog(tmp_path)) as node:
        for seed in range(150):
            await one_walk(node, seed)


async def test_a_cursor_fits_its_own_list_only(tmp_path: Path) -> None:
    """Damaged, forged, or of another order, statement or parameter: refused, naming the field."""
    async with running(tmp_path, catalog(tmp_path)) as node:
        await call(node, Put(products=tuple(Product(id=n, name=f"n{n}") for n in range(9))))
        good = (await call(node, Find(limit=2))).next
        raw = base64.urlsafe_b64decode(good + "=" * (-len(good) % 4))
        bad = [
            "", "x", "=", "a" * CURSOR_MOST, good + "=", good + "A", good[:-1], "é", " " + good, good.swapcase(),
            base64.urlsafe_b64encode(raw[:9] + msgspec.msgpack.encode(("n7", 7))).decode().rstrip("="),
            base64.urlsafe_b64encode(raw[:9]).decode(),
            (await call(node, Find(limit=2, order=("name", "-id")))).next,
            (await call(node, Find(limit=2, order=("id",)))).next,
            (await call(node, Find(limit=2, least=-1))).next,
            (await call(node, Search(limit=2))).next,
            *(good[:at] + ("A" if good[at] != "A" else "B") + good[at + 1:] for at in range(len(good))),
        ]
        for cursor in bad:
            with pytest.raises(InvalidMessage) as refused:
                await call(node, Find(limit=2, after=cursor))
            assert [error.path for error in refused.value.fields] == ["/after"]
        assert [p.id for p in (await call(node, Find(limit=3, after=good))).items] == [2, 3, 4]


async def test_a_number_that_no_database_holds_is_no_key(tmp_path: Path) -> None:
    """Whoever computes the check as well still gets no further than the typed key."""
    from headwater.model.page import _digest, _plan

    plan = _plan(Product, f"{ALL} where price >= :least", ("id",))
    check = plan.check({"least": 0})
    async with running(tmp_path, catalog(tmp_path)) as node:
        await call(node, Put(products=tuple(Product(id=n, name="n") for n in range(9))))
        for key in ((2**63,), (-(2**63) - 1,), ("1",), (1, 2), (), (None,), (1.5,), 1):
            try:
                body = msgspec.msgpack.encode(key)
            except OverflowError:
                continue
            forged = base64.urlsafe_b64encode(_digest(check, body) + body).decode().rstrip("=")
            with pytest.raises(InvalidMessage):
                await call(node, Find(order=("id",), after=forged))
        body = msgspec.msgpack.encode((6,))
        honest = base64.urlsafe_b64encode(_digest(check, body) + body).decode().rstrip("=")
        assert [p.id for p in (await call(node, Find(order=("id",), after=honest))).items] == [7, 8]


class Moment(Value):
    at: datetime
    day: date
    key: UUID
    weight: float


async def test_keys_of_every_kind(tmp_path: Path) -> None:
    @contract("log.add", v=1)
    class Add(Command[None]):
        moments: tuple[Moment, ...]

    @contract("log.of", v=1)
    class Of(Query[Page[Moment]]):
        order: tuple[str, ...]
        after: Cursor | None = None

    module = Module("log", migrations=migrations(tmp_path, "log", "create table m (at text, day text, key text, weight real);"))

    @module.handle(Add)
    async def add(cmd: Add, tx: Tx) -> None:
        for m in cmd.moments:
            await tx.execute("insert into m values (:a, :d, :k, :w)", a=m.at, d=m.day, k=m.key, w=m.weight)

    @module.handle(Of)
    async def of(query: Of, view: View) -> Page[Moment]:
        return await page(view, Moment, "select * from m;", order=query.order, after=query.after, limit=3)

    made = [
        Moment(at=datetime(2026, 1, 1 + n, 12, tzinfo=UTC), day=date(2026, 2, 1 + n), key=UUID(int=n), weight=n / 7)
        for n in range(8)
    ]
    async with running(tmp_path, module) as node:
        await call(node, Add(moments=tuple(made)))
        for order in (("at",), ("day",), ("key",), ("weight",), ("at", "-key"), ("weight", "day")):
            query, found = Of(order=order), []
            while True:
                got = await call(node, query)
                found += got.items
                if got.next is None:
                    break
                query = Of(order=order, after=got.next)
            assert found == made


@pytest.mark.parametrize(
    ("order", "limit", "said"),
    [
        ((), 5, "at least one field"), (("nme",), 5, "not one of its fields"), (("id; drop",), 5, "not one of its fields"),
        (("note",), 5, "never null"), (("name",), 5, "two rows have the key 'same'"), (("id",), 0, "use 1 to 1000"),
        (("id",), 1001, "use 1 to 1000"),
    ],
)
async def test_an_order_that_cannot_be_relied_on_is_refused(tmp_path: Path, order: Any, limit: int, said: str) -> None:
    class Reading:
        async def fetch_all(self, kind: Any, sql: str, /, **params: object) -> list[Any]:
            return [Product(id=n, name="same") for n in range(3)]

    with pytest.raises(QueryError, match=said):
        await page(Reading(), Product, ALL, order=order, after=None, limit=limit)


async def test_a_key_too_long_for_an_address_is_refused(tmp_path: Path) -> None:
    async with running(tmp_path, catalog(tmp_path)) as node:
        await call(node, Put(products=(Product(id=1, name="x" * 2_000), Product(id=2, name="y"))))
        with pytest.raises(Exception, match="too long"):
            await call(node, Find(limit=1))


async def test_an_index_is_used_where_all_fields_go_one_way(tmp_path: Path) -> None:
    from headwater.model.page import _plan

    module = catalog(tmp_path)
    async with running(tmp_path, module) as node:
        snapshot = node.stores["catalog"].read()
        try:
            for order in (("id",), ("-id",)):
                sql = _plan(Product, ALL, order).rest
                told = await snapshot.fetch(f"explain query plan {sql}", {"page_key_0": 1, "page_limit": 5})
                assert [row[-1] for row in told] == [f"SEARCH product USING INTEGER PRIMARY KEY (rowid{'<' if order[0][0] == '-' else '>'}?)"]
        finally:
            snapshot.close()


async def test_pages_over_http(tmp_path: Path) -> None:
    """The cursor is a query parameter; the answer's Link leads on; what is wrong is a problem that names it."""
    v1 = Api("v1", auth=public)
    v1.get("/products", Search)
    async with running(tmp_path, catalog(tmp_path)) as node:
        await call(node, Put(products=tuple(Product(id=n, name=f"pen {n}", price=n % 3) for n in range(7))))
        client = HttpClient(Router([v1], node))
        target, seen, links = "/v1/products?text=pen%20&limit=3", [], 0
        while True:
            got = await client.get(target)
            assert got.status == 200
            seen += [item["id"] for item in got.json()["items"]]
            if "link" not in got.headers:
                assert got.json()["next"] is None
                break
            target, _, said = got.headers["link"].removeprefix("<").partition(">")
            assert said == '; rel="next"'
            assert target == f"/v1/products?text=pen%20&limit=3&after={got.json()['next']}"
            links += 1
        assert (links, seen) == (2, [2, 5, 1, 4, 0, 3, 6])
        for wrong, pointer in (("after=abc", "/after"), ("limit=0", "/limit"), ("limit=101", "/limit"), ("after=" + "a" * 1025, "/after")):
            refused = await client.get(f"/v1/products?{wrong}")
            assert (refused.status, [e["pointer"] for e in refused.json()["errors"]]) == (422, [pointer])
        other = await client.get(target.replace("pen%20", "ink"))
        assert (other.status, other.json()["code"]) == (422, "invalid-message")


def test_a_page_is_handed_over_without_a_copy() -> None:
    assert shareable(Page[Product])
    assert not shareable(Page[list[int]])  # type: ignore[type-var]

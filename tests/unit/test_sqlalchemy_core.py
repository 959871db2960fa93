"""SQLAlchemy Core statements: compiled once, run on our own driver."""

from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy as sa

from headwater import Command, Module, Query, Tx, Value, View, contract
from headwater.adapters.sqlalchemy_core import Compiler
from headwater.errors import HandlerCrashed, QueryError
from tests.flow.house import call, migrations, running

meta = sa.MetaData()
item = sa.Table("item", meta, sa.Column("id", sa.Text, primary_key=True), sa.Column("n", sa.Integer))


class Item(Value):
    id: str
    n: int


@contract("things.put", v=1)
class Put(Command[int]):
    id: str
    n: int


@contract("things.some", v=1)
class Some(Query[tuple[Item, ...]]):
    ids: tuple[str, ...]


BY_ID = sa.select(item).where(item.c.id == sa.bindparam("wanted"))


def test_a_shape_is_compiled_once_and_takes_its_values_from_each_statement() -> None:
    """Two statements of one shape share the SQL and differ in their values."""
    compiler = Compiler()
    one = compiler.compile(sa.select(item).where(item.c.n > 1))
    two = compiler.compile(sa.select(item).where(item.c.n > 2))
    assert one[0] == two[0]
    assert list(one[1].values()) == [1]
    assert list(two[1].values()) == [2]
    assert len(compiler._compiled) == 1


def test_in_lists_grow_and_open_parameters_stay_open() -> None:
    """IN takes as many values as there are; a bindparam without a value is the caller's."""
    compiler = Compiler()
    for ids in (["a"], ["a", "b", "c"]):
        sql, values = compiler.compile(sa.select(item).where(item.c.id.in_(ids)))
        assert sorted(values.values()) == ids
        assert all(f":{name}" in sql for name in values)
    sql, values = compiler.compile(BY_ID)
    assert ":wanted" in sql
    assert values == {}


def test_what_is_no_statement_is_refused() -> None:
    """A number is neither text nor a statement."""
    with pytest.raises(QueryError, match="not int"):
        Compiler().compile(3)


async def test_statements_run_in_handlers(tmp_path: Path) -> None:
    """Insert, update and select through Tx and View, into typed values; foreign tables stay refused."""
    module = Module("things", migrations=migrations(tmp_path, "things", "create table item (id text primary key, n integer);"))

    @module.handle(Put)
    async def put(cmd: Put, tx: Tx) -> int:
        if cmd.id == "meta":
            await tx.execute(sa.text("delete from hw_meta"))
        await tx.execute(sa.insert(item).values(id=cmd.id, n=cmd.n))
        changed = await tx.execute(sa.update(item).where(item.c.id == cmd.id).values(n=item.c.n + 1))
        found = await tx.fetch_one(Item, BY_ID, wanted=cmd.id)
        assert found is not None
        assert changed == 1
        return found.n

    @module.handle(Some)
    async def some(query: Some, view: View) -> tuple[Item, ...]:
        return tuple(await view.fetch_all(Item, sa.select(item).where(item.c.id.in_(query.ids)).order_by(item.c.id)))

    async with running(tmp_path, module, statements=Compiler().compile) as node:
        assert await call(node, Put(id="a", n=1)) == 2
        assert await call(node, Put(id="b", n=5)) == 6
        assert await call(node, Some(ids=("a", "b", "z"))) == (Item(id="a", n=2), Item(id="b", n=6))
        with pytest.raises(HandlerCrashed, match="hw_meta"):
            await call(node, Put(id="meta", n=1))

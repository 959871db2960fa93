"""Each rule of the walls between modules is found where it is broken, and only there."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from headwater import App
from headwater.errors import BoundaryError
from headwater.topology.check import check_app, require_boundaries

CONTRACTS = """from headwater import Command, Query, contract

@contract("a.do", v=1)
class DoA(Command[None]):
    x: str

@contract("b.get", v=1)
class GetB(Query[int]):
    pass
"""
B = """from headwater import Module
from {p}.contracts import GetB

b = Module("b")

def helper() -> int:
    return 1

@b.handle(GetB)
async def get(query: GetB) -> int:
    return 1
"""
A = """from headwater import Ctx, Module, Tx
from {p}.contracts import DoA, GetB
{imports}

a = Module("a", uses={uses})

@a.handle(DoA)
async def do(cmd: DoA, ctx: Ctx, tx: Tx) -> None:
    {body}
"""
APP = """from headwater import App
from {p}.a import a
from {p}.b import b
app = App("x", modules=[a, b])
"""
_numbers = iter(range(1000))


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Path]:
    """A folder on the import path."""
    sys.path.insert(0, str(tmp_path))
    yield tmp_path
    sys.path.remove(str(tmp_path))


def build(
    folder: Path, body: str, *, imports: str = "", uses: str = '["b"]', contracts: str = CONTRACTS
) -> App:
    """Write an application of two modules and import it."""
    name = f"walls{next(_numbers)}"
    texts = {
        "__init__": "", "contracts": contracts, "b": B, "a": A.replace("{imports}", imports)
        .replace("{uses}", uses).replace("{body}", body), "app": APP,
    }
    (folder / name).mkdir()
    for file, text in texts.items():
        (folder / name / f"{file}.py").write_text(text.replace("{p}", name))
    app = importlib.import_module(f"{name}.app").app
    assert isinstance(app, App)
    return app


@pytest.mark.parametrize(
    "body",
    [
        "await ctx.ask(GetB())", "query = GetB()\n    await ctx.ask(query)",
        'await tx.execute("delete from t where id = :id", id=cmd.x)',
        'limit = "1"\n    await tx.execute(f"delete from t limit {limit}")',
    ],
)
def test_clean_code_is_clean(project: Path, body: str) -> None:
    """Declared calls and parameters raise no alarm."""
    assert check_app(build(project, body)) == []


@pytest.mark.parametrize(
    ("body", "imports", "uses", "code", "line"),
    [
        ("pass", "from {p}.b import helper", '["b"]', "foreign-import", 3),
        ("pass", "from . import b", '["b"]', "foreign-import", 3),
        ("await ctx.ask(GetB())", "", "[]", "undeclared-use", 9),
        ("query = GetB()\n    await ctx.ask(query)", "", "[]", "undeclared-use", 10),
        ("await ctx.ask(c.GetB())", "from {p} import contracts as c", "[]", "undeclared-use", 9),
        ("pass", "", '["c"]', "unknown-module", 5),
        ('await tx.execute(f"delete from t where id = {cmd.x}")', "", "[]", "built-sql", 9),
        ('await tx.fetch_one(int, "select 1 where 1 = " + cmd.x)', "", "[]", "built-sql", 9),
        ('await tx.execute("delete from {}".format(cmd.x))', "", "[]", "built-sql", 9),
        (
            'await page(tx, int, f"select {cmd.x}", order=("x",), after=None, limit=1)', "from headwater import page", "[]",
            "built-sql", 9,
        ),
        ('sql = "delete from %s" % cmd.x\n    await tx.execute(sql)', "", "[]", "built-sql", 10),
        ("time.time()", "import time", "[]", "not-replayable", 9),
        ("datetime.now()", "from datetime import datetime", "[]", "not-replayable", 9),
        ("uuid4()", "from uuid import uuid4", "[]", "not-replayable", 9),
        ("random()", "from random import random", "[]", "not-replayable", 9),
        ("await sleep(1)", "from asyncio import sleep", "[]", "not-replayable", 9),
    ],
)
def test_a_broken_rule_is_found(project: Path, body: str, imports: str, uses: str, code: str, line: int) -> None:
    """The finding has the rule and the line."""
    (found,) = check_app(build(project, body, imports=imports, uses=uses))
    assert found.code == code
    assert found.where.endswith(f"a.py:{line}")


def test_contracts_import_no_library(project: Path) -> None:
    """A contracts file that needs a library would make every caller need it."""
    (found,) = check_app(build(project, "pass", contracts="import click\n" + CONTRACTS))
    assert found.code == "contract-import"


def test_a_start_is_refused_with_every_error(project: Path) -> None:
    """Errors stop a start and are listed together; warnings do not."""
    app = build(project, 'await ctx.ask(GetB())\n    await tx.execute("x" + cmd.x)', uses="[]")
    with pytest.raises(BoundaryError, match=r"breaks 2 rule\(s\)"):
        require_boundaries(app)
    require_boundaries(build(project, "time.time()", imports="import time"))

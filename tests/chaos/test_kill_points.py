"""The process is killed with -9 at every named point, and comes back: nothing lost, nothing doubled."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from headwater.ports.points import POINTS
from headwater.testing.process import RunningApp, running_app

APP = """
from headwater import Api, App, Command, Ctx, Event, Module, Query, Tx, View, contract, public

@contract("till.pay", v=1, idempotent="request_id")
class Pay(Command[int]):
    request_id: str
    cents: int

@contract("till.paid", v=1, key="request_id")
class Paid(Event):
    request_id: str
    cents: int

@contract("till.count", v=1)
class Count(Query[int]):
    pass

@contract("book.note", v=1)
class Note(Command[None]):
    cents: int

@contract("book.sums", v=1)
class Sums(Query[list[int]]):
    pass

till = Module("till", uses=["book"], migrations="till_sql")
book = Module("book", migrations="book_sql")

@till.handle(Pay)
async def pay(cmd: Pay, tx: Tx) -> int:
    await tx.execute("insert into payment values (:id, :cents)", id=cmd.request_id, cents=cmd.cents)
    await tx.emit(Paid(request_id=cmd.request_id, cents=cmd.cents))
    await tx.send(Note(cents=cmd.cents))
    return cmd.cents

@till.handle(Count)
async def count(query: Count, view: View) -> int:
    return await view.fetch_one(int, "select coalesce(sum(cents), 0) from payment") or 0

@book.handle(Note)
async def note(cmd: Note, tx: Tx) -> None:
    await tx.execute("update sums set cents = cents + :c where name = 'sent'", c=cmd.cents)

@book.on(Paid)
async def alone(event: Paid, ctx: Ctx, tx: Tx) -> None:
    await tx.execute("update sums set cents = cents + :c where name = 'alone'", c=event.cents)

@book.on(Paid, name="batched")
async def batched(event: Paid, tx: Tx) -> None:
    await tx.execute("update sums set cents = cents + :c where name = 'batched'", c=event.cents)

model = book.projection("model", tables=["model"])

@model.on(Paid)
async def fold(event: Paid, tx: Tx) -> None:
    await tx.execute("update model set cents = cents + :c", c=event.cents)

@book.handle(Sums)
async def sums(query: Sums, view: View) -> list[int]:
    return await view.fetch_all(
        int, "select cents from sums union all select cents from model")

v1 = Api("v1", auth=public)
v1.post("/pay", Pay)
v1.get("/count", Count)
v1.get("/sums", Sums)
app = App("till", modules=[till, book], apis=[v1])
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The application, on disk."""
    folder = tmp_path_factory.mktemp("till")
    (folder / "app.py").write_text(APP)
    (folder / "pyproject.toml").write_text('[tool.headwater]\napp = "app:app"\n')
    for name, sql in (
        ("till", "create table payment (id text primary key, cents integer not null);"),
        (
            "book",
            "create table sums (name text primary key, cents integer not null);"
            "insert into sums values ('sent', 0), ('alone', 0), ('batched', 0);"
            "create table model (cents integer not null); insert into model values (0);",
        ),
    ):
        (folder / f"{name}_sql").mkdir()
        (folder / f"{name}_sql" / "0001_tables.sql").write_text(sql)
    return folder


def ask(app: RunningApp, path: str, body: object = None) -> object:
    """One request."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(app.address + path, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.loads(answer.read())


def work(app: RunningApp, project: Path, data: Path) -> set[int]:
    """Pay five times and ask for a rebuild; return what was acknowledged. Ends early when the process dies."""
    acknowledged: set[int] = set()
    for n in range(5):
        try:
            ask(app, "/v1/pay", {"request_id": f"r{n}", "cents": 10**n})
        except (OSError, urllib.error.HTTPError):
            break
        acknowledged.add(n)
    if not app.ended:
        subprocess.run(
            [sys.executable, "-m", "headwater.cli", "projections", "rebuild", "book.model", "--data", str(data)],
            cwd=project, capture_output=True, check=False, timeout=30,
        )
    return acknowledged


def eventually(app: RunningApp, expected: list[int]) -> None:
    """Every sum comes to what was paid, and stays there."""
    got: object = None
    for _ in range(150):
        got = ask(app, "/v1/sums")
        if got == expected:
            time.sleep(0.3)
            assert ask(app, "/v1/sums") == expected
            return
        time.sleep(0.1)
    raise AssertionError(f"{got} instead of {expected}\n{app.log.read_text()[-3000:]}")


@pytest.mark.real
@pytest.mark.parametrize("nth", [1, 3])
@pytest.mark.parametrize("point", list(POINTS))
def test_killed_at_a_point_nothing_is_lost_or_doubled(project: Path, tmp_path: Path, point: str, nth: int) -> None:
    """Killed at the n-th passing of the point, restarted, asked again with the same ids: all sums are exact."""
    data = tmp_path / "data"
    if nth > 1 and point == "projection.before_swap":
        nth = 1
    with running_app(project, data, environment={"HEADWATER_CRASH_AT": f"{point}:{nth}"}) as app:
        acknowledged = set() if app.ended else work(app, project, data)
        for _ in range(100):
            if app.ended:
                break
            time.sleep(0.1)
        assert app.exit_code == -9, f"{point} did not kill the process"
        app.start()
        assert sum(10**n for n in acknowledged) <= int(str(ask(app, "/v1/count")))
        for n in range(5):
            assert ask(app, "/v1/pay", {"request_id": f"r{n}", "cents": 10**n}) == 10**n
        assert ask(app, "/v1/count") == 11111
        eventually(app, [11111, 11111, 11111, 11111])

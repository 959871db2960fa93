"""Generated clients: types of every sort, laid out as a formatter would, the same every time, and checked strictly."""

from __future__ import annotations

import asyncio
import importlib
import itertools
import json
import re
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal, NewType
from uuid import UUID

import httpx
import msgspec
import pytest

from headwater import Api, App, Blob, Command, Cursor, Failure, Meta, Module, Page, Query, Value, contract, public
from headwater.clientgen.package import left_out, sources, write_client
from headwater.edge.http import Request, fold
from headwater.edge.routes import Router
from headwater.errors import ConfigurationError
from headwater.model.secret import Secret
from shop.app import app as shop
from tests.flow.house import running

numbers = itertools.count()
Isbn = NewType("Isbn", str)


class Model:
    @classmethod
    def model_validate(cls, data: Any) -> Any: ...


class Colour(Enum):
    """A colour of "paint"."""

    RED = "red"
    DARK = "dark\\blue"


class Circle(Value, tag="circle", tag_field="shape"):
    radius: float


class Square(Value, tag="square", tag_field="shape"):
    """A thing whose documentation ends with a quote: "square\""""

    side: int = 1


class Node(Value):
    """A tree."""

    name: str
    below: tuple[Node, ...] = ()


class Everything(Value):
    """Every sort of field.

    In several paragraphs, one of which is long enough that it certainly does not fit on a single line of eighty-eight.
    """

    text: str
    day: date
    at: datetime
    lasts: timedelta
    money: Decimal
    key: UUID
    colour: Colour
    kind: Literal["one", "two"]
    long: Literal["a rather long literal value", "another rather long literal value", "and one more of them"]
    figure: Circle | Square
    tree: Node
    pair: tuple[int, str]
    many: list[Annotated[int, Meta(ge=0)]]
    table: dict[str, Node | None]
    some: frozenset[str]
    anything: Any
    isbn: Isbn
    camel: int = msgspec.field(name="camelCase")
    maybe: str | None = None
    listed: list[int] = msgspec.field(default_factory=list)
    odd: str = 'both " and \' and \\ and \n'
    given: Node = Node(name="given")


class Refused(Failure, status=422, name="refused.because"):
    """It was refused."""

    why: str
    left: int = 0


class Plain(Failure, status=402):
    pass


@contract("zoo.echo", v=1, fails=(Refused, Plain), idempotent="request_id")
class Echo(Command[Everything]):
    request_id: str
    what: Everything
    fail: str = ""
    secret: Secret[str] | None = None


@contract("zoo.count", v=1)
class Count(Command[int]):
    step: int = 1


@contract("zoo.clear", v=1)
class Clear(Command[None]):
    place: str


@contract("zoo.find", v=1)
class Find(Query[Page[Circle]]):
    names: tuple[str, ...] = ()
    exact: bool = False
    factor: float = 1.0
    since: date | None = None
    colour: Colour | None = None
    after: Cursor | None = None


@contract("zoo.one", v=1, within="1s")
class One(Query[Circle | None]):
    place: str


@contract("zoo.picture", v=1)
class Picture(Query[Blob | None]):
    name: str


@contract("zoo.other", v=1)
class Other(Query[int]):
    pass


def zoo() -> App:
    module = Module("zoo")
    counted: list[int] = []

    @module.handle(Echo)
    async def echo(cmd: Echo) -> Everything:
        if cmd.fail == "refused":
            raise Refused(why="because", left=3)
        if cmd.fail == "plain":
            raise Plain
        if cmd.fail:
            raise ValueError("crash")
        return cmd.what

    @module.handle(Count)
    async def count(cmd: Count) -> int:
        counted.append(cmd.step)
        return sum(counted)

    @module.handle(Clear)
    async def clear(cmd: Clear) -> None:
        counted.clear()

    @module.handle(Find)
    async def find(query: Find) -> Page[Circle]:
        found = tuple(Circle(radius=query.factor * len(name)) for name in query.names)
        return Page(items=found, next=f"{query.exact}/{query.since}/{query.colour and query.colour.name}/{query.after}")

    @module.handle(One)
    async def one(query: One) -> Circle | None:
        return None if query.place == "none" else Circle(radius=float(len(query.place)))

    @module.handle(Other)
    async def other(query: Other) -> int:
        return 1

    @module.handle(Picture)
    async def picture(query: Picture) -> Blob | None:
        return None

    v1 = Api("v1", auth=public)
    v1.post("/echo", Echo)
    v1.post("/count", Count, status=201)
    v1.delete("/places/{place}", Clear)
    v1.get("/circles", Find)
    v1.get("/circles/{place}", One)
    v1.get("/round/{place}", One)
    inner = Api("inner-2026", auth=public)
    inner.get("/other", Other)
    inner.get("/pictures/{name}", Picture)
    return App("zoo", modules=[module], apis=[v1, inner])


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Write a client and import one of its modules."""

    def make(app: App, module: str, **options: Any) -> Any:
        name = f"made_{next(numbers)}_client"
        write_client(app, tmp_path, name=name, **options)
        monkeypatch.syspath_prepend(str(tmp_path))
        return importlib.import_module(f"{name}.{module}")

    return make


def near(router: Router) -> httpx.AsyncClient:
    """Return an HTTP client whose requests go to a router in this process."""

    async def answer(request: httpx.Request) -> httpx.Response:
        path, _, query = request.url.raw_path.partition(b"?")
        headers = fold(request.headers.raw)
        given = await router.respond(Request(request.method, path, query, headers, await request.aread()))
        return httpx.Response(given.status, headers=given.pairs(), content=given.body)

    return httpx.AsyncClient(transport=httpx.MockTransport(answer))


async def test_every_sort_of_type_goes_there_and_back(tmp_path: Path, made: Callable[..., Any]) -> None:
    app = zoo()
    api = made(app, "v1")
    async with running(tmp_path, *app.modules) as node, near(Router(app.apis[:1], node)) as http:
        client = api.V1("http://near", http=http)
        what = api.Everything(
            text="é", day=date(2026, 1, 2), at=datetime(2026, 1, 2, 3, tzinfo=UTC), lasts=timedelta(seconds=90),
            money=Decimal("1.10"), key=UUID(int=7), colour=api.Colour.DARK, kind="two", long="and one more of them",
            figure=api.Square(side=3), tree=api.Node(name="a", below=(api.Node(name="b"),)), pair=(1, "x"), many=[1, 2],
            table={"t": None}, some=frozenset({"s"}), anything={"k": [1]}, isbn="1", camel=5,
        )
        got = await client.echo(api.Echo(what=what))
        assert got == msgspec.structs.replace(what, given=api.Node(name="given"))
        assert got.odd == 'both " and \' and \\ and \n'
        assert b'"camelCase":5' in msgspec.json.encode(what)
        assert await client.count(api.Count(step=2)) == 2
        assert await client.count(api.Count(step=3)) == 5
        assert await client.clear(api.Clear(place="a b?c")) is None
        found = await client.find(
            api.Find(names=("a", "b&c", "ü"), exact=True, factor=1.5, since=date(2026, 1, 1), colour=api.Colour.RED, after="x y")
        )
        assert found.items == (api.Circle(radius=1.5), api.Circle(radius=4.5), api.Circle(radius=1.5))
        assert found.next == "True/2026-01-01/RED/x y"
        assert await client.one(api.One(place="none")) is None
        assert await client.one_2(api.One(place="50% & more")) == api.Circle(radius=10.0)


async def test_refusals_and_mistakes_are_told_apart(tmp_path: Path, made: Callable[..., Any]) -> None:
    app = zoo()
    api = made(app, "v1")
    async with running(tmp_path, *app.modules) as node, near(Router(app.apis[:1], node)) as http:
        client = api.V1("http://near", http=http)
        tree = {"name": "t"}
        what = msgspec.convert(
            {"text": "", "day": "2026-01-01", "at": "2026-01-01T00:00:00Z", "lasts": "P1D", "money": "1", "key": str(UUID(int=1)),
             "colour": "red", "kind": "one", "long": "and one more of them", "figure": {"shape": "circle", "radius": 1.0},
             "tree": tree, "pair": [1, ""], "many": [], "table": {}, "some": [], "anything": 1, "isbn": "", "camelCase": 1},
            api.Everything,
        )
        with pytest.raises(api.Refused) as refused:
            await client.echo(api.Echo(what=what, fail="refused"))
        assert (refused.value.why, refused.value.left) == ("because", 3)
        assert refused.value == api.Refused(why="because", left=3) != api.Refused(why="because")
        with pytest.raises(api.Plain):
            await client.echo(api.Echo(what=what, fail="plain"))
        transport = sys.modules[api.Plain.__mro__[1].__module__]
        with pytest.raises(transport.OutcomeUnknown) as unknown:
            await client.echo(api.Echo(what=what, fail="crash"))
        assert (unknown.value.status, unknown.value.code) == (500, "handler-crashed")
        with pytest.raises(transport.NotExecuted) as wrong:
            await client.echo(api.Echo(what=msgspec.structs.replace(what, many=[-1])))
        assert (wrong.value.status, wrong.value.code) == (422, "invalid-message")
        assert [error.pointer for error in wrong.value.errors] == ["/what/many/0"]
        for place in ("", ".", ".."):  # would be another route, once an HTTP library has tidied it up
            with pytest.raises(transport.NotExecuted, match="no path can hold"):
                await client.clear(api.Clear(place=place))
        lost = api.V1("http://near/elsewhere", http=http)
        with pytest.raises(transport.NotExecuted, match="404"):  # not the None of a query that found nothing
            await lost.one(api.One(place="none"))


async def test_one_message_sent_twice_happens_once(tmp_path: Path, made: Callable[..., Any]) -> None:
    app = zoo()
    api = made(app, "v1")
    assert api.Echo.__struct_fields__[0] == "request_id"
    async with running(tmp_path, *app.modules) as node, near(Router(app.apis[:1], node)) as http:
        client = api.V1("http://near", http=http)
        assert await client.count(api.Count(step=1), key="k") == 1
        assert await client.count(api.Count(step=1), key="k") == 1
        assert await client.count(api.Count(step=1)) == 2


# --- what is written ----------------------------------------------------------------------------------


def test_the_same_application_gives_the_same_files() -> None:
    code = (
        "from headwater.clientgen.package import sources; from shop.app import app; import hashlib;"
        "print(hashlib.sha256(repr(sources(app, 'x')).encode()).hexdigest())"
    )
    told = {
        subprocess.run([sys.executable, "-c", code], env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)}, check=True,
                       capture_output=True, text=True).stdout
        for seed in ("1", "2")
    }
    assert len(told) == 1


def test_apis_are_chosen_and_files_in_and_out_are_left_out() -> None:
    app = zoo()
    assert set(sources(app, "z")) == {"__init__.py", "py.typed", "outcomes.py", "routes.py", "transport.py", "v1.py", "inner_2026.py"}
    assert set(sources(app, "z", ["v1"])) == {"__init__.py", "py.typed", "outcomes.py", "routes.py", "transport.py", "v1.py"}
    assert "class Inner2026(ApiClient):" in sources(app, "z")["inner_2026.py"]
    assert [route.path for route in left_out(app)] == ["/inner-2026/pictures/{name}"]
    assert left_out(app, ["v1"]) == []
    with pytest.raises(ConfigurationError, match="there is no API 'v9'; known: v1, inner-2026"):
        sources(app, "z", ["v9"])
    odd = App("zoo", modules=app.modules, apis=[Api("routes", auth=public), Api("a-b", auth=public), Api("a_b", auth=public)])
    assert "routes_api.py" in sources(odd, "z", ["routes"])
    with pytest.raises(ConfigurationError, match="give one module name"):
        sources(odd, "z")
    with pytest.raises(ConfigurationError, match="has no API"):
        sources(App("bare", modules=app.modules), "z")


def test_a_type_that_cannot_be_written_down_is_named() -> None:
    @contract("zoo.model", v=1)
    class Ask(Query[int]):
        model: Model

    api = Api("v1", auth=public)
    api.post("/ask", Count)
    api.routes[0].contract = Ask.__contract__
    with pytest.raises(ConfigurationError, match="Ask model: a client cannot be written for .*Model"):
        sources(App("zoo", modules=zoo().modules, apis=[api]), "z")


def test_only_clients_are_written_over(tmp_path: Path) -> None:
    first = write_client(zoo(), tmp_path)
    assert {path.name for path in first} == {"__init__.py", "py.typed", "outcomes.py", "routes.py", "transport.py", "v1.py", "inner_2026.py"}
    write_client(zoo(), tmp_path, apis=["v1"])
    assert not (tmp_path / "zoo_client" / "inner_2026.py").exists()
    (tmp_path / "zoo_client" / "mine.py").write_text("x = 1\n")
    with pytest.raises(ConfigurationError, match=r"mine\.py, which is no client"):
        write_client(zoo(), tmp_path)
    with pytest.raises(ConfigurationError, match="package name"):
        write_client(zoo(), tmp_path, name="Zoo-Client")


@pytest.mark.real
@pytest.mark.parametrize("app", [shop, zoo()], ids=["shop", "zoo"])
def test_formatter_linter_and_both_checkers_are_content(tmp_path: Path, app: App) -> None:
    """The files are formatted, and strict checkers find nothing in them, with no configuration of ours."""
    write_client(app, tmp_path, name="made_client")
    (tmp_path / "use.py").write_text(
        "from made_client import V1, NotExecuted\n\n\nasync def use(client: V1) -> str:\n    try:\n"
        "        return str(client.session_token)\n    except NotExecuted as error:\n        return error.code\n"
    )
    (tmp_path / "pyrightconfig.json").write_text('{"typeCheckingMode": "strict", "pythonVersion": "3.11"}')
    for command in (
        ("ruff", "format", "--isolated", "--check", "--diff", "."),
        ("ruff", "check", "--isolated", "--select", "E4,E7,E9,F,I,UP,B,RUF100", "--target-version", "py311", "."),
        ("mypy", "--strict", "--config-file=", "--python-version=3.11", "made_client", "use.py"),
        ("pyright", "-p", ".", "--pythonpath", sys.executable),
    ):
        done = subprocess.run([sys.executable, "-m", *command], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"


WRONG = """
from made_client.v1 import V1, OrderById, OutOfStock, PlaceOrder, PutProduct, Wanted


async def use(client: V1) -> None:
    await client.place_order(OrderById(order_id="1"))  # error
    PlaceOrder(lines=(Wanted(product_id="1"),))  # error
    PlaceOrder(lines=[])  # error
    order = await client.order_by_id(OrderById(order_id="1"))
    print(order.status)  # error
    placed = client.place_order(PlaceOrder(lines=()))
    print(placed.order_id)  # error
    await client.put_product(PutProduct(product_id="1", description="", price_cents="1"))  # error
    await client.order_by_id(OrderById(order_id="1"), key="k")  # error
    try:
        await client.order_by_id(OrderById(order_id="1"), within=1)
    except OutOfStock as refusal:
        print(refusal.on_hnd)  # error
"""


@pytest.mark.real
@pytest.mark.parametrize("checker", ["mypy", "pyright"])
def test_mistakes_in_using_a_client_are_found(tmp_path: Path, checker: str) -> None:
    write_client(shop, tmp_path, name="made_client")
    (tmp_path / "wrong.py").write_text(WRONG)
    (tmp_path / "pyrightconfig.json").write_text('{"typeCheckingMode": "strict", "pythonVersion": "3.11"}')
    words = ("mypy", "--strict", "--config-file=") if checker == "mypy" else ("pyright", "--pythonpath", sys.executable)
    done = subprocess.run([sys.executable, "-m", *words, "wrong.py"], cwd=tmp_path, capture_output=True, text=True, check=False)
    found = {int(number) for number in re.findall(r"wrong\.py:(\d+):(?:\d+ -)? error", done.stdout)}
    assert found == {number for number, line in enumerate(WRONG.splitlines(), 1) if line.endswith("# error")}, done.stdout


def test_a_client_needs_nothing_of_headwater(tmp_path: Path) -> None:
    write_client(shop, tmp_path)
    code = "import sys, json, shop_client; print(json.dumps([m for m in sys.modules if m.partition('.')[0] in ('headwater', 'shop', 'apsw')]))"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == []


def test_credentials_are_one_kind(made: Callable[..., Any]) -> None:
    api = made(zoo(), "v1")
    with pytest.raises(ValueError, match="not both"):
        api.V1("http://near", token="a", api_key="b")


async def test_a_session_keeps_the_furthest_position_of_each_part(made: Callable[..., Any]) -> None:
    """Answers that overtake one another do not take a session back."""
    api = made(zoo(), "v1")
    seen: list[httpx.Headers] = []

    def pack(positions: dict[str, int]) -> str:
        import base64
        return base64.urlsafe_b64encode(msgspec.json.encode(positions)).decode().rstrip("=")

    tokens = [pack({"a": 5}), pack({"a": 3, "b": 2}), None]

    async def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers)
        told = tokens[len(seen) - 1]
        return httpx.Response(200, content=b"1", headers={} if told is None else {"session-token": told})

    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as http:
        made_token = asyncio.get_running_loop().create_future()
        made_token.set_result("fresh")
        client = api.V1("http://near/", http=http, token=lambda: made_token)
        for _ in range(3):
            await client.count(api.Count())
    assert "session-token" not in seen[0]
    assert seen[1]["session-token"] == pack({"a": 5})
    assert seen[2]["session-token"] == pack({"a": 5, "b": 2}) == client.session_token
    assert seen[2]["authorization"] == "Bearer fresh"
    assert len({headers["idempotency-key"] for headers in seen}) == 3
    assert 4.0 < float(seen[0]["request-timeout"]) <= 5.0

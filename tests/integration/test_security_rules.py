"""Rules of the house that need no particular feature, each broken on purpose (S6, S7, S11, S13, S25)."""

from __future__ import annotations

import ast
import asyncio
import time
from pathlib import Path
from typing import Annotated, Any

import pytest

from headwater import App, Command, Meta, Module, Query, Tx, Value, View, contract, public
from headwater.errors import ContractError
from headwater.model.api import Api
from headwater.testing import TestApp

SRC = Path(__file__).resolve().parents[2] / "src"
PAYLOADS = (
    "'; drop table word; --", '" or 1=1 --', "x' union select name from sqlite_schema --", "\\'; delete from word", "%' --",
    "1); attach database '/tmp/x' as x; --", ":text", "?1", "${jndi:ldap://x}", "{{7*7}}", "<script>alert(1)</script>",
    "a' || (select 1) || '", "\u202edrop", "0x27", "char(39)",
)
FORBIDDEN_CALLS = {"eval", "exec", "compile", "__import__"}
FORBIDDEN_MODULES = {"pickle", "marshal", "shelve", "yaml", "dill", "cloudpickle", "telnetlib"}


@contract("words.say", v=1)
class Say(Command[int]):
    text: Annotated[str, Meta(max_length=200)]


@contract("words.find", v=1)
class Find(Query[list[str]]):
    text: str


class Word(Value):
    text: str


@contract("words.slug", v=1)
class Slug(Command[None]):
    slug: Annotated[str, Meta(pattern="^(a+)+$", max_length=24)]


@contract("words.bad_slug", v=1)
class BadSlug(Command[None]):
    inside: tuple[dict[str, Annotated[str, Meta(pattern="^(a+)+$")]], ...]


def words(folder: Path) -> App:
    (folder / "sql").mkdir()
    (folder / "sql" / "0001_word.sql").write_text("create table word (text text not null) strict;")
    module = Module("words", migrations=str(folder / "sql"))

    @module.handle(Say)
    async def say(cmd: Say, tx: Tx) -> int:
        return await tx.execute("insert into word (text) values (:text)", text=cmd.text)

    @module.handle(Find)
    async def find(query: Find, view: View) -> list[str]:
        rows = await view.fetch_all(Word, "select text from word where text = :text", text=query.text)
        return [row.text for row in rows]

    @module.handle(Slug)
    async def slug(cmd: Slug) -> None:
        return None

    v1 = Api("v1", auth=public)
    v1.post("/words", Say)
    v1.get("/words/{text}", Find)
    v1.post("/slugs", Slug)
    return App("words", modules=[module], apis=[v1])


async def test_s6_what_a_field_says_is_never_sql(tmp_path: Path) -> None:
    """Every payload is stored and found as the text that it is, and the table is still there."""
    async with TestApp(words(tmp_path)) as running:
        for payload in PAYLOADS:
            assert (await running.http.post("/v1/words", json={"text": payload})).status == 200
        for payload in PAYLOADS:
            assert await running.ask(Find(text=payload)) == [payload]


def test_s7_nothing_is_evaluated_or_unpickled() -> None:
    """No module of Headwater calls what turns data into code, or imports what unpacks objects."""
    found = []
    for path in SRC.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names: list[str] = []
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                names = [node.func.id] if node.func.id in FORBIDDEN_CALLS else []
            elif isinstance(node, ast.Import):
                names = [alias.name for alias in node.names if alias.name.partition(".")[0] in FORBIDDEN_MODULES]
            elif isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] in FORBIDDEN_MODULES:
                names = [node.module or ""]
            found += [f"{path.relative_to(SRC)}:{node.lineno} {name}" for name in names]  # type: ignore[attr-defined]
    assert found == []


async def test_s11_a_route_answers_its_own_methods_and_no_other(tmp_path: Path) -> None:
    """Whatever else is asked is 405 with what is possible, or 501; TRACE echoes nothing."""
    async with TestApp(words(tmp_path)) as running:
        for path, own in (("/v1/words", {"POST", "OPTIONS"}), ("/v1/words/x", {"GET", "HEAD", "OPTIONS"})):
            for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"):
                answer = await running.http.request(method, path, json={"text": "x"} if method == "POST" else None)
                assert answer.headers["x-content-type-options"] == "nosniff"
                if method not in own:
                    assert answer.status in (405, 501), (method, path)


async def test_s13_a_pattern_is_tried_on_short_texts_only(tmp_path: Path) -> None:
    """The length is looked at first, so what would take for ever is refused at once."""
    async with TestApp(words(tmp_path)) as running:
        started = time.monotonic()
        for length in (100, 10_000, 500_000):
            assert (await running.http.post("/v1/slugs", json={"slug": "a" * length + "!"})).status == 422
        assert time.monotonic() - started < 5  # tried, even the shortest would take longer than the world stands


def test_s13_a_pattern_without_a_length_does_not_start(tmp_path: Path) -> None:
    from headwater.edge.reading import Reading

    v1 = Api("v1", auth=public)
    route = v1.post("/bad", BadSlug)
    with pytest.raises(ContractError, match="BadSlug.inside: pattern=.* without max_length"):
        Reading(route if route is not None else v1.routes[0])


async def test_s25_an_exception_in_a_callback_of_the_loop_ends_nothing(tmp_path: Path) -> None:
    """A task, a timer and a callback that fail beside the requests: the next request is answered."""
    seen: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: seen.append(context))

    def fail() -> None:
        raise RuntimeError("beside")

    async def fail_too() -> None:
        fail()

    async with TestApp(words(tmp_path)) as running:
        loop = asyncio.get_running_loop()
        loop.call_soon(fail)
        loop.call_later(0.001, fail)
        task = loop.create_task(fail_too())
        await asyncio.sleep(0.05)
        assert (await running.http.post("/v1/words", json={"text": "on"})).status == 200
        assert isinstance(task.exception(), RuntimeError)
    assert len(seen) == 2

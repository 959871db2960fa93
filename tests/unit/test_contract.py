"""Contracts: what is declared at import holds, and what cannot hold is refused there, naming the class and the fix."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from headwater import Command, Event, Failure, Module, Query, Retry, Use, Value, contract
from headwater.errors import ConfigurationError, ContractError
from headwater.model.contract import contract_of
from headwater.model.duration import seconds
from headwater.model.message import result_of
from headwater.model.schema import contract_schema, schema_hash

declare: Any = contract  # these tests write what a type checker would refuse


class Full(Failure):
    shelf: str


class AlsoFull(Failure, name="Full"):
    pass


class Box(Command[None]):
    box_id: str
    weight: float = 0.0
    label: str | None = None


class Opened(Event):
    box_id: UUID
    weight: float = 0.0


class Boxes(Query[int]):
    shelf: str


class Plain(Value):
    text: str


class Nameless(Command):  # type: ignore[type-arg]
    pass


class Derived(Boxes):
    more: int = 0


BROKEN = {
    "no dot": (Box, ("box", {}), "module.verb"),
    "capitals": (Box, ("Store.box", {}), "lower case"),
    "blank": (Box, ("store.box it", {}), "module.verb"),
    "empty": (Box, ("", {}), "module.verb"),
    "trailing dot": (Box, ("store.", {}), "module.verb"),
    "version 0": (Box, ("store.box", {"v": 0}), "use 1, 2, 3"),
    "version true": (Box, ("store.box", {"v": True}), "use 1, 2, 3"),
    "version text": (Box, ("store.box", {"v": "1"}), "use 1, 2, 3"),
    "within without unit": (Box, ("store.box", {"within": "5"}), "800ms"),
    "within nothing": (Box, ("store.box", {"within": "0s"}), "longer than nothing"),
    "within negative": (Box, ("store.box", {"within": "-1s"}), "800ms"),
    "within a number": (Box, ("store.box", {"within": 5}), "800ms"),
    "fails of an event": (Opened, ("store.opened", {"fails": (Full,)}), "remove fails="),
    "fails with an error": (Box, ("store.box", {"fails": (ValueError,)}), "lists Failure classes"),
    "fails with a failure": (Box, ("store.box", {"fails": (Full(shelf="a"),)}), "lists Failure classes"),
    "fails without a tuple": (Box, ("store.box", {"fails": Full}), "lists Failure classes"),
    "two failures of one name": (Box, ("store.box", {"fails": (Full, AlsoFull)}), "give one of them name="),
    "idempotent query": (Boxes, ("store.boxes", {"idempotent": "shelf"}), "belongs on a command"),
    "key of a command": (Box, ("store.box", {"key": "box_id"}), "belongs on a event"),
    "unknown key": (Opened, ("store.opened", {"key": "id"}), "box_id, weight"),
    "key that is a float": (Opened, ("store.opened", {"key": "weight"}), "str, int or UUID"),
    "idempotent that may be absent": (Box, ("store.box", {"idempotent": "label"}), "str, int or UUID"),
    "value": (Plain, ("store.plain", {}), "needs none"),
    "failure": (Full, ("store.full", {}), "needs none"),
    "no result": (Nameless, ("store.nameless", {}), "Command[None]"),
}


@pytest.mark.parametrize(("cls", "call", "fix"), BROKEN.values(), ids=BROKEN)
def test_a_broken_contract_is_refused_at_import(cls, call, fix):
    """The error names the class and says what to write instead; nothing is declared."""
    name, options = call
    with pytest.raises(ContractError) as caught:
        declare(name, **{"v": 1, **options})(cls)
    assert cls.__name__ in str(caught.value)
    assert fix in str(caught.value)
    assert "__contract__" not in cls.__dict__


def test_a_contract_says_what_both_sides_agree_on():
    """Names, kind, result, limits and keys can be read off the class."""

    @contract("store.take", v=3, fails=(Full,), within="800ms", idempotent="box_id")
    class Take(Command[list[Plain]]):
        box_id: int

    made = contract_of(Take)
    assert (made.name, made.module, made.version, made.wire_name) == ("store.take", "store", 3, "store.take/3")
    assert (made.kind, made.result, made.within, made.idempotent) == ("command", list[Plain], 0.8, "box_id")
    assert (made.fails, made.key, made.message) == ((Full,), None, Take)
    assert repr(made) == "<contract store.take/3 command Take>"
    with pytest.raises(ContractError, match=r"already declared as store.take/3"):
        contract("store.take", v=4)(Take)


@pytest.mark.parametrize("thing", [Box, Plain, Full, int, 3, None, Derived])
def test_what_was_not_declared_has_no_contract(thing):
    """Also a subclass of a declared message must be declared itself."""
    with pytest.raises(ContractError, match="decorate it with @contract"):
        contract_of(thing)


def test_the_result_is_found_wherever_it_is_named():
    """Through subclasses and generic bases; None is a result, and a TypeVar is not."""
    assert result_of(Box) is type(None)
    assert result_of(Derived) is int

    class Optional(Query[Plain | None]):
        pass

    assert result_of(Optional) == Plain | None
    with pytest.raises(ContractError, match=r"Nameless: a Command names its result"):
        result_of(Nameless)


@pytest.mark.parametrize(
    ("text", "value"), [("800ms", 0.8), ("5s", 5), ("1.5m", 90), ("2h", 7200), ("7d", 604_800)]
)
def test_durations_are_written_as_people_write_them(text, value):
    """Each unit has its length."""
    assert seconds(text) == pytest.approx(value)


def test_the_hash_follows_the_shape_andnothing_else():
    """A new field changes it, another docstring does not."""

    def made(doc: str, **fields: Any) -> str:
        cls = type(Event)("Same", (Event,), {"__annotations__": {"a": int, **fields}, "__doc__": doc})
        return schema_hash(contract_of(declare("store.same", v=1)(cls)))

    assert made("one") == made("two")
    assert made("one") != made("one", b=int)
    assert contract_schema(contract_of(Counted))["result"]["type"] == "integer"


MODULES: dict[str, tuple[Any, str]] = {
    "name in capitals": (lambda: Module("Store"), "such as 'orders'"),
    "uses as text": (lambda: Module("store", uses="orders"), "uses=['orders']"),  # type: ignore[arg-type]
    "uses itself": (lambda: Module("store", uses=["store"]), "need not list itself"),
    "no attempt": (lambda: Retry(0), "at least once"),
    "waits the wrong way round": (lambda: Retry(first=5, most=1), "first <= most"),
    "tables as text": (lambda: Module("store").projection("a", tables="t"), "lists the tables"),  # type: ignore[arg-type]
    "no tables": (lambda: Module("store").projection("a", tables=[]), "lists the tables"),
    "strange start": (lambda: _on(start="yesterday"), "'now' or 'beginning'"),
    "strange name": (lambda: _on(name="A b"), "lower-case"),
    "two of one name": (lambda: [_on(module=one) for one in [Module("store")] for _ in "ab"], "give one of them name="),
    "handler of an event": (lambda: Module("store").handle(Moved)(nothing), "subscribe with @store.on"),  # type: ignore[arg-type]
    "contract of another module": (lambda: Module("shop").handle(Move)(nothing), "handle it in module store"),
    "two handlers": (lambda: [h(nothing) for h in [Module("store").handle(Move)] for _ in "ab"], "a handler already"),
    "undeclared": (lambda: Module("store").handle(Box)(nothing), "decorate it with @contract"),
}


@contract("store.move", v=1)
class Move(Command[None]):
    pass


@contract("store.counted", v=1)
class Counted(Query[int]):
    pass


@contract("store.moved", v=1)
class Moved(Event):
    pass


async def nothing(message: Any) -> None:
    pass


def _on(module: Module | None = None, **options: Any) -> None:
    (module or Module("store")).on(Moved, **options)(nothing)


@pytest.mark.parametrize(("make", "fix"), MODULES.values(), ids=MODULES)
def test_a_mistake_on_a_module_is_found_at_import(make, fix):
    """Each error says what to write instead, and where the mistake stands if that is known."""
    with pytest.raises(ConfigurationError) as caught:
        make()
    assert fix in str(caught.value)
    assert caught.value.where is None or ":" in caught.value.where


def test_use_takes_a_function():
    """A provider that cannot be called is refused where it is written."""
    with pytest.raises(TypeError, match="function that makes the value"):
        Use(3)  # type: ignore[arg-type]

"""Messages: frozen, named, tolerant when read, exact when compared; and failures as facts that can be raised."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

import pytest

from headwater import Command, Failure, Meta, Value
from headwater.errors import ContractError, DecodeError
from headwater.model.codec import Codec, from_json, to_json
from headwater.model.schema import json_schema


class Line(Value):
    isbn: Annotated[str, Meta(min_length=3)]
    copies: Annotated[int, Meta(ge=1, le=10)] = 1


class Order(Command[None]):
    order_id: str
    lines: tuple[Line, ...] = ()
    note: str | None = None


class OutOfPrint(Failure, status=410):
    label: ClassVar[str] = "a class's own"
    isbn: str
    since: int = 1999
    copies: tuple[int, ...] = ()


ORDER = Order(order_id="1", lines=(Line(isbn="abc", copies=2),))
CODEC = Codec(Order, "orders.place/1")


def test_messages_are_frozen_named_and_equal_by_value():
    """Nothing can be set, fields have names, and two of the same content are one, also as keys."""
    for target, field in ((ORDER, "note"), (ORDER.lines[0], "copies")):
        with pytest.raises(AttributeError, match="immutable"):
            setattr(target, field, 1)
    with pytest.raises(TypeError, match="positional"):
        Order("1")  # type: ignore[misc]
    assert Order(order_id="1") == Order(order_id="1") != Order(order_id="2")
    assert len({Order(order_id="1"), Order(order_id="1")}) == 1


@pytest.mark.parametrize("option", ["frozen", "kw_only"])
def test_a_message_cannot_be_made_loose(option):
    """The class that tries is named."""
    with pytest.raises(ContractError, match=f"Loose: messages are always {option}"):
        type(Value)("Loose", (Value,), {}, **{option: False})


@pytest.mark.parametrize("write", ["json", "packed"])
def test_a_message_comes_back_as_it_was(write):
    """JSON and MessagePack carry nested values and defaults."""
    read = {"json": lambda: CODEC.from_json(CODEC.to_json(ORDER)), "packed": lambda: CODEC.unpack(CODEC.pack(ORDER))}
    assert read[write]() == ORDER


def test_reading_is_tolerant_over_time():
    """Unknown fields are ignored and new fields have defaults, nested ones too: versions of a contract may meet."""
    assert CODEC.from_json(b'{"order_id":"1","new":{"a":1},"lines":[{"isbn":"abc","copies":2,"new":1}]}') == ORDER


@pytest.mark.parametrize(
    ("data", "place"),
    [
        (b'{"order_id":1}', "$.order_id"), (b"{}", "order_id"), (b'{"order_id":"1","lines":[{"isbn":"ab"}]}', "isbn"),
        (b'{"order_id":"1","lines":[{"isbn":"abc","copies":11}]}', "copies"), (b'{"order_id":null}', "$.order_id"),
        (b'{"order_id":"1","lines":[{"isbn":"abc","copies":"1"}]}', "copies"), (b"[]", "object"), (b"{", "truncated"),
    ],
)
def test_reading_is_strict_about_kinds_and_limits(data, place):
    """Nothing is coerced, limits hold at any depth, and the error names the contract and the place."""
    with pytest.raises(DecodeError, match=r"orders\.place/1: ") as caught:
        CODEC.from_json(data)
    assert place in str(caught.value)


def test_limits_are_part_of_the_schema():
    """What the reader enforces is what the schema promises."""
    line = json_schema(Order)["$defs"]["Line"]
    assert line["properties"]["isbn"]["minLength"] == 3
    assert line["properties"]["copies"] == {"type": "integer", "minimum": 1, "maximum": 10, "default": 1}


# --- failures -----------------------------------------------------------------------------------------


def test_a_failure_holds_facts_and_defaults():
    """Fields are attributes; what was left out has its default; the sentence shows them all."""
    failure = OutOfPrint(isbn="abc")
    assert (failure.isbn, failure.since, failure.copies) == ("abc", 1999, ())
    assert str(failure) == "OutOfPrint(isbn='abc', since=1999, copies=())"
    assert (OutOfPrint.__failure_name__, OutOfPrint.__failure_status__) == ("OutOfPrint", 410)
    assert OutOfPrint.label == "a class's own"


def test_failures_are_equal_by_value_and_cannot_be_changed():
    """Two of the same facts are one; another class with the same facts is another failure."""

    class Other(Failure):
        isbn: str
        since: int = 1999
        copies: tuple[int, ...] = ()

    assert OutOfPrint(isbn="a") == OutOfPrint(isbn="a", since=1999) != OutOfPrint(isbn="b")
    assert OutOfPrint(isbn="a") != Other(isbn="a")
    assert len({OutOfPrint(isbn="a"), OutOfPrint(isbn="a")}) == 1
    with pytest.raises(AttributeError, match="OutOfPrint.isbn: failures are immutable"):
        OutOfPrint(isbn="a").isbn = "b"  # type: ignore[misc]


def test_a_failure_can_be_raised_chained_and_noted():
    """It is an exception like others, with traceback, cause and notes."""
    with pytest.raises(OutOfPrint) as caught:
        try:
            raise KeyError("abc")
        except KeyError as error:
            failure = OutOfPrint(isbn="abc")
            failure.add_note("looked twice")
            raise failure from error
    assert isinstance(caught.value.__cause__, KeyError)
    assert caught.value.__notes__ == ["looked twice"]


MISUSED: dict[str, tuple[Any, type[Exception], str]] = {
    "missing fact": (lambda: OutOfPrint(), TypeError, "OutOfPrint: .*isbn"),  # type: ignore[call-arg]
    "unknown fact": (lambda: OutOfPrint(isbn="a", title="b"), TypeError, "OutOfPrint: .*title"),  # type: ignore[call-arg]
    "a sentence": (lambda: OutOfPrint("sorry"), TypeError, "positional"),  # type: ignore[misc]
    "the base itself": (lambda: Failure(), TypeError, "declare a subclass"),
    "status of a success": (lambda: type("Bad", (Failure,), {}, status=200), ContractError, "Bad: .*400 to 499"),
    "status of a crash": (lambda: type("Bad", (Failure,), {}, status=500), ContractError, "Bad: .*400 to 499"),
}


@pytest.mark.parametrize(("make", "kind", "said"), MISUSED.values(), ids=MISUSED)
def test_a_misused_failure_says_how(make, kind, said):
    """Each mistake names the class and the rule."""
    with pytest.raises(kind, match=said):
        make()


def test_a_failure_may_extend_another():
    """Facts are inherited, and `except` of the base catches it."""

    class Banned(OutOfPrint, status=451, name="Forbidden"):
        country: str

    failure = Banned(isbn="a", country="x")
    assert isinstance(failure, OutOfPrint)
    assert (failure.since, failure.country, Banned.__failure_name__) == (1999, "x", "Forbidden")


def test_values_of_every_standard_kind_travel():
    """What `to_json` writes, `from_json` reads."""
    assert from_json(list[Line], to_json(list(ORDER.lines))) == list(ORDER.lines)
    with pytest.raises(DecodeError, match="Line"):
        from_json(Line, b"1")

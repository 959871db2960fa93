"""Pydantic models inside messages and as results: both formats, the strict reader and the schema take them."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel, Field

from headwater import Command, contract
from headwater.errors import DecodeError, InvalidMessage
from headwater.model.codec import Codec
from headwater.model.contract import contract_of
from headwater.model.schema import contract_schema, json_schema
from headwater.model.strict import NotJson, StrictReader


class City(BaseModel):
    name: str
    zip: str = Field(pattern=r"^\d{5}$")


class Address(BaseModel):
    street: str
    city: City


@contract("post.move", v=1)
class Move(Command[Address]):
    person: str
    to: Address
    before: tuple[Address, ...] = ()
    spare: Address | None = None


HOME = Address(street="Long Lane 1", city=City(name="York", zip="12345"))
MOVE = Move(person="ada", to=HOME, before=(HOME,))


@pytest.mark.parametrize("kind", ["message", "result"])
def test_models_travel_in_both_formats(kind):
    """As a field, in a tuple, and as the whole answer."""
    codec, value = (Codec(Move, "post.move/1"), MOVE) if kind == "message" else (Codec(Address, "post.move/1"), HOME)
    assert codec.from_json(codec.to_json(value)) == value
    assert codec.unpack(codec.pack(value)) == value


def test_a_model_that_breaks_its_rules_is_a_decode_error():
    """The model's own rules hold, and the error is ours."""
    codec = Codec(Move, "post.move/1")
    with pytest.raises(DecodeError, match=r"post\.move/1"):
        codec.from_json(b'{"person":"ada","to":{"street":"s","city":{"name":"York","zip":"x"}}}')


def read(text: str) -> Any:
    return StrictReader(Move).read(text.encode())


GOOD = '{"street":"s","city":{"name":"York","zip":"12345"}}'


def body(to: str, more: str = "") -> str:
    return f'{{"person":"ada","to":{to}{more}}}'


def test_the_strict_reader_takes_models():
    """A good body is read, whatever its optional parts."""
    assert read(body(GOOD, f',"before":[{GOOD}],"spare":null')).to.city.name == "York"
    assert read(body(GOOD, f',"spare":{GOOD}')).spare.street == "s"


@pytest.mark.parametrize(
    ("text", "place"),
    [
        (body(GOOD.replace("12345", "1")), "/to"),
        (body(GOOD, f',"to":{GOOD}'), "/to"),
        (body(GOOD.replace('{"name"', '{"zip":"12345","name"')), "/to/city/zip"),
        (body(GOOD.replace("York", "Yo\\u0000rk")), "/to/city/name"),
        (body(GOOD, ',"other":1'), "/other"),
        (body('"here"'), "/to"),
        (body(GOOD, f',"before":[{GOOD},{{}}]'), "/before/1"),
    ],
)
def test_the_strict_reader_finds_what_is_wrong_with_a_model(text, place):
    """Faults inside a model are told with the place of the field that holds it, never as a crash."""
    with pytest.raises(InvalidMessage) as caught:
        read(text)
    assert not isinstance(caught.value, NotJson)
    assert any(field.path.startswith(place) for field in caught.value.fields), caught.value.fields


def test_the_schema_of_a_model_is_its_own_and_resolves():
    """Every reference in the document leads to something in the document."""
    for schema in (json_schema(Move), json_schema(Address), contract_schema(contract_of(Move))["message"]):
        for reference in references(schema):
            found: Any = schema
            for step in reference.removeprefix("#/").split("/"):
                assert step in found, reference
                found = found[step]
    assert "12345" not in str(json_schema(Move))


def references(value: Any) -> list[str]:
    if isinstance(value, dict):
        own = [value["$ref"]] if "$ref" in value else []
        return [*own, *(found for item in value.values() for found in references(item))]
    return [found for item in value for found in references(item)] if isinstance(value, list) else []

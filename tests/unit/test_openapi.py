"""The OpenAPI document: valid, the same every time, and of one mind with what reads requests."""

from __future__ import annotations

import json
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Literal
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from headwater import (
    Api,
    App,
    Blob,
    Command,
    Failure,
    Limit,
    Meta,
    Module,
    Private,
    Query,
    Tx,
    Value,
    View,
    authenticated,
    contract,
    public,
    role,
    scope,
)
from headwater.edge.openapi.document import OpenApi
from headwater.edge.openapi.samples import MISSING, sample
from headwater.errors import ConfigurationError, InvalidMessage
from headwater.model.codec import to_json
from headwater.model.strict import StrictReader


class Size(Enum):
    SMALL = "s"
    LARGE = "l"


class Cat(Value, tag="cat"):
    """A cat."""

    lives: Annotated[int, Meta(ge=0, le=9)]


class Dog(Value, tag="dog"):
    name: str


class Inner(Value):
    number: int
    label: Annotated[str, Meta(min_length=1, max_length=5)] | None = None


class Rich(Value):
    pet: Cat | Dog
    inner: Inner
    many: Annotated[tuple[Inner, ...], Meta(max_length=3)] = ()
    pair: tuple[int, str] = (1, "a")


class Refused(Failure, status=422):
    """It is refused."""

    inner: Inner


class Strange(Failure, status=499):
    pass


@contract("all.rich", v=1, fails=(Refused, Strange), idempotent="key")
class PutRich(Command[Rich]):
    """Put it.

    With `care`.
    """

    key: str
    shelf: str
    pet: Cat | Dog
    inner: Inner
    many: Annotated[tuple[Inner, ...], Meta(max_length=3)] = ()
    table: dict[str, int] = {}
    size: Size = Size.SMALL
    choice: Literal["a", 1] | None = None
    ratio: Annotated[float, Meta(gt=0, le=1)] = 0.5
    code: Annotated[str, Meta(pattern="^[A-Z]{2}$", examples=["AB"])] = "XY"
    flag: bool = False
    wide: int = 0


@contract("all.find", v=1)
class Find(Query[Rich | None]):
    shelf: str
    sizes: tuple[Size, ...]
    at: datetime | None = None
    day: date | None = None
    who: UUID | None = None
    price: Decimal | None = None
    flag: bool = False
    deep: Annotated[int, Meta(ge=1)] = 1


@contract("all.drop", v=1)
class Drop(Command[None]):
    shelf: str


@contract("files.put", v=1)
class PutFile(Command[int]):
    name: str
    content: Blob


@contract("files.get", v=1)
class GetFile(Query[Blob | None]):
    name: str


every, stored = Module("all"), Module("files")


@every.handle(PutRich)
async def put_rich(cmd: PutRich, tx: Tx) -> Rich:
    raise NotImplementedError


@every.handle(Find)
async def find(query: Find, view: View) -> Rich | None:
    return None


@every.handle(Drop)
async def drop(cmd: Drop, tx: Tx) -> None:
    return None


def document(**options: Any) -> dict[str, Any]:
    api = Api(
        "v1", auth=public, deprecated=date(2026, 1, 1), sunset=date(2027, 1, 1), successor="v2", limit=Limit("10/s"),
    )
    api.put("/shelves/{shelf}", PutRich, status=201, auth=role("staff", "boss") & scope("write", "all"))
    api.get("/shelves/{shelf}", Find, http_cache=Private("5s"), summary="Look.")
    api.delete("/shelves/{shelf}", Drop, auth=authenticated)
    api.post("/files/{name}", PutFile, upload="content")
    api.get("/files/{name}", GetFile)
    made = OpenApi(App("all", modules=[every, stored], apis=[api]), **options)
    assert made.document("v1") == made.document("v1")
    return json.loads(made.document("v1"))


DOCUMENT = document()
PUT = DOCUMENT["paths"]["/v1/shelves/{shelf}"]["put"]
GET = DOCUMENT["paths"]["/v1/shelves/{shelf}"]["get"]


def test_it_is_valid():
    OpenAPIV31SpecValidator(DOCUMENT).validate()
    OpenAPIV31SpecValidator(document(server="https://shop.example", api_keys=True)).validate()


def test_every_schema_is_a_schema_and_every_reference_leads_somewhere():
    for schema in DOCUMENT["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)
    text = json.dumps(DOCUMENT)
    for place in {part.split('"')[0] for part in text.split('"$ref": "#/')[1:]}:
        found: Any = DOCUMENT
        for step in place.split("/"):
            found = found[step]


def test_what_is_sent_is_closed_and_what_is_answered_is_open():
    schemas = DOCUMENT["components"]["schemas"]
    assert schemas["InnerInput"]["additionalProperties"] is False and "additionalProperties" not in schemas["Inner"]
    assert schemas["CatInput"]["properties"]["type"] == {"enum": ["cat"]}
    assert schemas["PutRichBody"]["additionalProperties"] is False
    assert set(schemas["PutRichBody"]["required"]) == {"key", "pet", "inner"}


def test_who_may_ask_is_one_of_several_roles_with_all_scopes():
    assert PUT["security"] == [{"bearer": ["staff", "write", "all"]}, {"bearer": ["boss", "write", "all"]}]
    assert GET["security"] == [{}, {"bearer": []}]
    keyed = document(api_keys=True)["paths"]["/v1/shelves/{shelf}"]
    assert keyed["delete"]["security"] == [{"bearer": []}, {"apiKey": []}]


def test_each_answer_stands_there():
    assert set(PUT["responses"]) == {
        "201", "400", "401", "403", "406", "409", "410", "413", "414", "415", "422", "429", "431", "499", "500", "503", "504", "507",
    }
    assert set(GET["responses"]) == {
        "200", "304", "400", "401", "404", "406", "410", "414", "422", "429", "431", "500", "503", "504",
    }
    dropped = DOCUMENT["paths"]["/v1/shelves/{shelf}"]["delete"]
    assert "204" in dropped["responses"] and "200" not in dropped["responses"] and "requestBody" not in dropped
    assert {"$ref": "#/components/parameters/Idempotency-Key"} in dropped["parameters"]
    assert {"$ref": "#/components/parameters/Idempotency-Key"} not in PUT["parameters"]  # its field is required
    assert set(PUT["responses"]["201"]["headers"]) >= {"Deprecation", "Sunset", "Link", "RateLimit", "Session-Token"}
    refused = PUT["responses"]["422"]["content"]["application/problem+json"]["schema"]["anyOf"]
    assert refused[0] == {"$ref": "#/components/schemas/RefusedProblem"}
    assert refused[1]["allOf"][1]["properties"]["code"]["enum"] == ["invalid-message"]


def test_words_come_from_docstrings_and_declarations():
    assert (PUT["summary"], GET["summary"], PUT["deprecated"]) == ("Put it.", "Look.", True)
    for said in ("With `care`.", "`key`", "2027-01-01", "/v2", "`staff` or `boss`", "`write` and `all`", "10/s"):
        assert said in PUT["description"]


def test_parameters_are_text():
    told = {p["name"]: p for p in GET["parameters"]}
    assert told["shelf"]["in"] == "path" and told["sizes"]["required"] and told["sizes"]["schema"]["minItems"] == 1
    assert told["at"]["schema"] == {"type": "string", "format": "date-time"} and "null" not in json.dumps(GET["parameters"])
    assert told["deep"]["schema"]["minimum"] == 1


def test_files_go_in_and_out_as_they_are():
    files = DOCUMENT["paths"]["/v1/files/{name}"]
    assert set(files["post"]["requestBody"]["content"]) == {"application/octet-stream", "*/*"}
    assert [p.get("name", p.get("$ref")) for p in files["post"]["parameters"]] == ["name", "#/components/parameters/Idempotency-Key"]
    assert set(files["get"]["responses"]) >= {"200", "206", "304", "404", "416"}
    assert files["get"]["responses"]["200"]["content"] == {"*/*": {}}
    assert "Range" in files["get"]["x-headwater"]["headers"]


def test_an_unknown_api_is_named_with_those_that_are_there():
    with pytest.raises(ConfigurationError, match=r"no API 'v9'; it has: v1"):
        OpenApi(App("all", modules=[every], apis=[Api("v1")])).document("v9")


# --- of one mind with the reader ----------------------------------------------------------------------

BODY = DOCUMENT["components"]["schemas"]["PutRichBody"]
VALIDATOR = Draft202012Validator({"$ref": "#/components/schemas/PutRichBody", "components": DOCUMENT["components"]})
GOOD: dict[str, Any] = {"key": "k", "pet": {"type": "cat", "lives": 3}, "inner": {"number": 1}}

odd = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(-(2**53), 2**53),
    st.sampled_from(["", "a", "s", "AB", "a\0b", "abcdef", 0, 1, 9, 10, 0.5, 1.0, 5.0, 2**63 - 1, 2**63, {}, []]),
    st.lists(st.integers(0, 3), max_size=4), st.dictionaries(st.sampled_from(["a", "b\0", "number"]), st.integers(0, 3), max_size=2),
)
pets = st.one_of(
    odd, st.fixed_dictionaries({}, optional={"type": st.sampled_from(["cat", "dog", "cow", 1]), "lives": odd, "name": odd, "more": odd}),
)
inners = st.one_of(odd, st.fixed_dictionaries({}, optional={"number": odd, "label": odd, "more": odd}))
bodies = st.fixed_dictionaries(
    {},
    optional={
        "key": odd, "pet": pets, "inner": inners, "many": st.lists(inners, max_size=4) | odd, "table": odd, "size": odd,
        "choice": odd, "code": odd, "flag": odd, "wide": odd, "more": odd, "shelf": odd,
    },
)
fractions = st.floats(0, 1.5).map(lambda value: {"ratio": value})
# Floats above 2**53 are left out: the schema takes 9007199254740994.0 for an integer, the reader cannot be sure of it.


@settings(max_examples=1500, deadline=None)
@given(st.one_of(bodies.map(lambda changed: {**GOOD, **changed}), bodies, fractions.map(lambda changed: {**GOOD, **changed})))
def test_the_schema_and_the_reader_agree(body: dict[str, Any]):
    """What the one accepts the other does, whatever is sent."""
    text = json.dumps(body).encode()
    reader = StrictReader(PutRich)
    try:
        fields, errors = reader.parse(text)
        reader.convert({**fields, **({} if "shelf" in fields else {"shelf": "x"})}, errors)
        read = "shelf" not in fields  # the edge refuses what stands in the path and again in the body
    except InvalidMessage:
        read = False
    assert read == VALIDATOR.is_valid(json.loads(text)), [e.message for e in VALIDATOR.iter_errors(body)]


def test_examples_are_good_by_schema_and_reader():
    example = PUT["requestBody"]["content"]["application/json"]["example"]
    VALIDATOR.validate(example)
    StrictReader(PutRich).convert({**example, "shelf": "x"})
    assert example["code"] == "AB"


@pytest.mark.parametrize(
    ("schema", "made"),
    [
        ({"type": "string", "pattern": "^x+$"}, MISSING), ({"type": "array", "items": {"type": "integer"}, "minItems": 2}, MISSING),
        ({"type": "integer", "exclusiveMinimum": 4}, 5), ({"type": "integer", "maximum": -3}, MISSING),
        ({"type": "string", "minLength": 10, "maxLength": 12}, "textxxxxxx"), ({"type": "integer", "multipleOf": 5}, MISSING),
        ({"type": "integer", "multipleOf": 5, "maximum": 9}, 5), ({"anyOf": [{"type": "null"}, {"type": "boolean"}]}, True),
    ],
)
def test_an_example_is_right_or_there_is_none(schema: dict[str, Any], made: Any):
    assert sample(schema, {}) == made


def test_answers_of_every_kind_are_what_the_schema_says():
    rich = Rich(pet=Cat(lives=1), inner=Inner(number=2), many=(Inner(number=3, label="x"),))
    validator = Draft202012Validator({"$ref": "#/components/schemas/Rich", "components": DOCUMENT["components"]})
    answered = json.loads(to_json(rich))
    validator.validate(answered)
    assert not validator.is_valid({**answered, "pet": {"type": "cow"}})



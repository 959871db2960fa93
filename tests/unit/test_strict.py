"""The strict reader: doubtful JSON is refused, all of it at once, and the fast way never disagrees with the exact one."""

from __future__ import annotations

import json
from enum import Enum
from typing import Annotated, Any, Literal

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headwater import Command, Meta, Value, contract
from headwater.errors import FieldError, InvalidMessage
from headwater.model.codec import to_json
from headwater.model.strict import COLLECTION_MOST, DEPTH_MOST, NotJson, StrictReader


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Point(Value):
    x: int
    y: int


class Shape(Value):
    name: str
    points: tuple[Point, ...]
    centre: Point


class Loose(Value):
    label: str | None = None
    weight: float = 0.0
    inner: Point | None = None


@contract("strict.plain", v=1)
class Plain(Command[None]):
    """Every field is required and countable: the fast way is taken."""

    text: str
    whole: int
    real: float
    yes: bool
    colour: Colour
    shapes: tuple[Shape, ...]


@contract("strict.mixed", v=1)
class Mixed(Command[None]):
    """Optional fields, unions and mappings: the exact way is taken."""

    text: Annotated[str, Meta(min_length=1, max_length=20)]
    kind: Literal["a", "b"]
    loose: Loose
    many: tuple[Loose, ...] = ()
    table: dict[str, int] = {}
    pair: tuple[int, str] = (0, "")
    maybe: int | None = None


@contract("strict.deep", v=1)
class Deep(Command[None]):
    any: Any


@contract("strict.small", v=1)
class Small(Command[None]):
    a: int
    b: str = ""


@contract("strict.items", v=1)
class Items(Command[None]):
    items: tuple[int, ...]


PLAIN, MIXED, DEEP, SMALL, ITEMS = (StrictReader(kind) for kind in (Plain, Mixed, Deep, Small, Items))

texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)
wholes = st.integers(-(2**63), 2**63 - 1)
reals = st.floats(allow_nan=False, allow_infinity=False)
points = st.builds(Point, x=wholes, y=wholes)
shapes = st.builds(Shape, name=texts, points=st.lists(points, max_size=3).map(tuple), centre=points)
loose = st.builds(Loose, label=st.none() | texts, weight=reals, inner=st.none() | points)
plains = st.builds(
    Plain, text=texts, whole=wholes, real=reals, yes=st.booleans(), colour=st.sampled_from(Colour),
    shapes=st.lists(shapes, max_size=3).map(tuple),
)
mixeds = st.builds(
    Mixed, text=texts.filter(bool), kind=st.sampled_from(["a", "b"]), loose=loose,
    many=st.lists(loose, max_size=3).map(tuple), table=st.dictionaries(texts, wholes, max_size=3),
    pair=st.tuples(wholes, texts), maybe=st.none() | wholes,
)
rendering = st.sampled_from([
    {}, {"indent": 1}, {"ensure_ascii": False}, {"separators": (",", ":")}, {"separators": (" , ", " : ")},
])


def outcome(function: Any, data: bytes) -> Any:
    """Return the message, or the places of what is wrong."""
    try:
        return function(data)
    except InvalidMessage as error:
        return type(error), [field.path for field in error.fields]


def places(reader: StrictReader, data: bytes | str) -> list[str]:
    """Return the places where the reader found faults."""
    with pytest.raises(InvalidMessage) as caught:
        reader.read(data if isinstance(data, bytes) else data.encode())
    assert all(isinstance(field, FieldError) and field.message for field in caught.value.fields)
    return [field.path for field in caught.value.fields]


# --- properties ---------------------------------------------------------------------------------------


@settings(max_examples=150, deadline=None)
@given(st.one_of(plains, mixeds), rendering)
def test_a_valid_message_is_read_as_it_was_written(message, style):
    """No valid message is refused, however it is spaced and escaped, and both ways read the same one."""
    reader = PLAIN if isinstance(message, Plain) else MIXED
    data = json.dumps(json.loads(to_json(message)), **style).encode()
    assert reader.read(data) == message
    assert reader._exact(data) == message


def objects_in(value: Any) -> list[dict[str, Any]]:
    """Return all objects of a message that stand for a Value or a message, the outermost first."""
    if isinstance(value, list):
        return [found for item in value for found in objects_in(item)]
    if not isinstance(value, dict):
        return []
    inner = [found for name, item in value.items() if name != "table" for found in objects_in(item)]
    return [value, *inner]


@settings(max_examples=150, deadline=None)
@given(st.one_of(plains, mixeds), st.data())
def test_an_unknown_key_is_refused_wherever_it_hides(message, data):
    """A key that the type does not have is found at any depth, also when its value or texts contain colons."""
    reader = PLAIN if isinstance(message, Plain) else MIXED
    tree = json.loads(to_json(message))
    place = data.draw(st.sampled_from(objects_in(tree)))
    place[data.draw(st.sampled_from(["zz", "", "a:b", "X", "text ", "~/"]))] = data.draw(st.sampled_from([1, None, ":", [], {}, {"x": 1}]))
    assert any(path for path in places(reader, json.dumps(tree)))


@settings(max_examples=150, deadline=None)
@given(st.one_of(plains, mixeds), st.data())
def test_a_doubled_key_is_refused_wherever_it_hides(message, data):
    """A key that stands twice in one object is found at any depth, also when it is spelled in two ways."""
    reader = PLAIN if isinstance(message, Plain) else MIXED
    tree = json.loads(to_json(message))
    place = data.draw(st.sampled_from(objects_in(tree)))
    name = data.draw(st.sampled_from(sorted(place)))
    place["@@twice@@"] = place[name]
    spelled = data.draw(st.sampled_from([name, f"\\u{ord(name[0]):04x}{name[1:]}"]))
    text = json.dumps(tree).replace("@@twice@@", spelled)
    assert places(reader, text)


keys = st.sampled_from(["text", "whole", "real", "yes", "colour", "shapes", "name", "points", "centre", "x", "y", "zz"])
anything = st.recursive(
    st.none() | st.booleans() | wholes | reals | texts | st.just(":") | st.just("red"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=6),
    max_leaves=12,
)


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(keys, anything, max_size=8), plains, st.data())
def test_the_fast_way_and_the_exact_way_agree(noise, message, data):
    """Whatever a message is mixed with, both ways take it or both refuse it."""
    tree = {**json.loads(to_json(message)), **noise}
    for name in data.draw(st.lists(st.sampled_from(sorted(tree)), max_size=2, unique=True)):
        del tree[name]
    text = json.dumps(tree).encode()
    assert outcome(PLAIN.read, text) == outcome(PLAIN._exact, text)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=40) | st.text(max_size=40).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_noise_is_refused_and_never_crashes_the_reader(data):
    """Arbitrary bytes lead to a refusal, never to another exception."""
    for reader in (PLAIN, MIXED, SMALL):
        result = outcome(reader.read, data)
        assert isinstance(result, (tuple, msgspec.Struct))


# --- the catalogue ------------------------------------------------------------------------------------

NOT_JSON = {
    "empty": b"",
    "blank": b"  \n",
    "byte order mark": b'\xef\xbb\xbf{"a":1}',
    "utf-16": '{"a":1}'.encode("utf-16"),
    "utf-16 without a mark": '{"a":1}'.encode("utf-16-le"),
    "latin-1": b'{"a":1,"b":"\xe9"}',
    "overlong utf-8": b'{"a":1,"b":"\xc0\xaf"}',
    "surrogate in utf-8": b'{"a":1,"b":"\xed\xa0\x80"}',
    "lone surrogate": b'{"a":1,"b":"\\ud800"}',
    "surrogates the wrong way round": b'{"a":1,"b":"\\udc00\\ud800"}',
    "control character": b'{"a":1,"b":"\x01"}',
    "line end in a text": b'{"a":1,"b":"x\ny"}',
    "NaN": b'{"a":NaN}',
    "Infinity": b'{"a":Infinity}',
    "-Infinity": b'{"a":-Infinity}',
    "trailing comma": b'{"a":1,}',
    "trailing data": b'{"a":1} {}',
    "trailing bracket": b'{"a":1}}',
    "comment": b'{"a":1 /* one */}',
    "single quotes": b"{'a':1}",
    "bare key": b"{a:1}",
    "leading zero": b'{"a":01}',
    "plus sign": b'{"a":+1}',
    "hexadecimal": b'{"a":0x1}',
    "half an object": b'{"a":1',
    "array": b"[1]",
    "text": b'"a"',
    "number": b"1",
    "null": b"null",
    "5,000,000 open brackets": b"[" * 5_000_000,
    "100,000 deep": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
}


@pytest.mark.parametrize("data", NOT_JSON.values(), ids=NOT_JSON)
def test_what_is_not_one_json_object_in_utf_8_is_not_json(data):
    """Each is refused as malformed, before any field is looked at."""
    with pytest.raises(NotJson):
        SMALL.read(data)


WRONG = {
    "text for a number": (b'{"a":"1"}', ["/a"]),
    "fraction for a whole number": (b'{"a":1.5}', ["/a"]),
    "true for a number": (b'{"a":true}', ["/a"]),
    "null for a number": (b'{"a":null}', ["/a"]),
    "number for a text": (b'{"a":1,"b":2}', ["/b"]),
    "64 bits and one": (b'{"a":9223372036854775808}', ["/a"]),
    "30 digits": (b'{"a":' + b"9" * 30 + b"}", ["/a"]),
    "-30 digits": (b'{"a":-' + b"9" * 30 + b"}", ["/a"]),
    "NUL": (b'{"a":1,"b":"x\\u0000y"}', ["/b"]),
    "unknown": (b'{"a":1,"c":1}', ["/c"]),
    "unknown and NUL": (b'{"a":1,"\\u0000":1}', ["/\0"]),
    "doubled": (b'{"a":1,"a":1}', ["/a"]),
    "doubled default": (b'{"a":1,"b":"","b":""}', ["/b"]),
    "missing": (b"{}", ["/a"]),
    "all at once": (b'{"b":1,"c":2,"d":3}', ["/c", "/d", "/a", "/b"]),
}


@pytest.mark.parametrize(("data", "paths"), WRONG.values(), ids=WRONG)
def test_a_wrong_field_is_named_with_its_place(data, paths):
    """Each fault is told with its JSON pointer, and none of them hides another."""
    assert places(SMALL, data) == paths


@pytest.mark.parametrize("text", ["1" * 5_000, "-" + "9" * 5_000, "1e400", "-1e400"])
def test_a_number_beyond_everything_is_refused(text):
    """Thousands of digits and huge exponents are refused for any type, without computing them."""
    assert places(SMALL, f'{{"a":{text}}}')
    assert places(DEEP, f'{{"any":{text}}}')
    assert places(PLAIN, f'{{"text":"","whole":1,"real":{text},"yes":true,"colour":"red","shapes":[]}}')


def test_numbers_at_the_edge_of_64_bits_keep_every_digit():
    """2**53+1 and both ends of 64 bits come through exactly."""
    for number in (2**53 + 1, 2**63 - 1, -(2**63)):
        assert SMALL.read(b'{"a":%d}' % number).a == number


def test_nesting_is_limited():
    """As deep as the limit is accepted where a type takes anything; one deeper is refused."""
    inner = DEPTH_MOST - 1
    assert DEEP.read(b'{"any":' + b"[" * inner + b"]" * inner + b"}")
    with pytest.raises(NotJson):
        DEEP.read(b'{"any":' + b"[" * DEPTH_MOST + b"]" * DEPTH_MOST + b"}")
    brackets = '"' + "[{" * 200 + '"'
    assert DEEP.read(f'{{"any":{brackets}}}'.encode()).any == "[{" * 200


def test_collections_are_limited():
    """One item too many is refused, in arrays and in objects."""
    full = ",".join(["1"] * COLLECTION_MOST)
    assert len(ITEMS.read(f'{{"items":[{full}]}}'.encode()).items) == COLLECTION_MOST
    assert places(ITEMS, f'{{"items":[{full},1]}}') == ["/items"]
    table = ",".join(f'"k{n}":1' for n in range(COLLECTION_MOST + 1))
    assert places(DEEP, f'{{"any":{{{table}}}}}') == ["/any"]


def test_doubles_and_nul_are_found_inside_untyped_data():
    """A field that takes anything still takes nothing that is ambiguous, or that a database cannot hold."""
    assert places(DEEP, '{"any":{"b":[{"c":1,"c":2}]}}') == ["/any/b/0/c"]
    assert places(DEEP, '{"any":{"b":["\\u0000"]}}') == ["/any/b/0"]
    assert places(DEEP, '{"any":{"\\u0000":1}}') == ["/any/\0"]
    assert places(DEEP, '{"any":[[1' + "0" * 30 + "]]}") == ["/any/0/0"]
    assert places(MIXED, '{"text":"t","kind":"a","loose":{},"table":{"k":1,"k":2}}') == ["/table/k"]


def test_every_fault_of_a_nested_message_is_told_with_its_place():
    """A form with many mistakes needs one round trip, not one for each."""
    found = places(
        MIXED,
        '{"text":"","kind":"c","loose":{"label":1,"other":2},"many":[{},{"inner":{"x":"1"}}],"maybe":"no","pair":[1]}',
    )
    assert sorted(found) == [
        "/kind", "/loose/label", "/loose/other", "/many/1/inner/x", "/many/1/inner/y", "/maybe", "/pair", "/text",
    ]


def test_the_number_of_faults_told_is_limited():
    """A hostile body cannot make the answer longer than a hundred faults."""
    body = "{" + ",".join(f'"z{n}":1' for n in range(5_000)) + "}"
    assert len(places(SMALL, body)) == 100


class Ring(Value, tag="ring", tag_field="shape"):
    radius: int


class Bar(Value, tag="bar", tag_field="shape"):
    length: int


@contract("shapes.draw", v=1)
class Draw(Command[None]):
    figure: Ring | Bar
    alone: Ring | None = None


def test_values_that_are_told_apart_by_a_tag_are_read_and_judged():
    """The tag is no unknown field, picks the kind that is meant, and must be one of them."""
    reader = StrictReader(Draw)
    assert reader.read(b'{"figure":{"shape":"bar","length":2}}').figure == Bar(length=2)
    assert reader.read(b'{"figure":{"length":2,"shape":"bar"},"alone":{"shape":"ring","radius":1}}').alone == Ring(radius=1)
    for body, places in (
        (b'{"figure":{"shape":"bar","radius":2}}', ["/figure/radius", "/figure/length"]),
        (b'{"figure":{"shape":"cube","length":2}}', ["/figure"]),
        (b'{"figure":{"length":2}}', ["/figure"]),
        (b'{"figure":{"shape":"bar","length":"2"}}', ["/figure/length"]),
        (b'{"figure":{"shape":"bar","length":2},"alone":{"shape":"bar","length":2}}', ["/alone"]),
    ):
        with pytest.raises(InvalidMessage) as refused:
            reader.read(body)
        assert [error.path.removesuffix("/shape") for error in refused.value.fields] == places


# --- one number, however it is written --------------------------------------------------------


@contract("numbers.put", v=1)
class PutNumbers(Command[int]):
    whole: int
    real: float = 0.0
    many: tuple[int, ...] = ()


@pytest.mark.parametrize(("text", "whole"), [("5", 5), ("5.0", 5), ("0.0", 0), ("-3.00", -3), ("1e3", 1000)])
def test_a_number_without_a_fraction_is_whole_however_it_is_written(text: str, whole: int) -> None:
    read = StrictReader(PutNumbers).read(f'{{"whole": {text}, "real": {text}, "many": [{text}]}}'.encode())
    assert (read.whole, read.real, read.many) == (whole, float(whole), (whole,))
    assert (type(read.whole), type(read.real), type(read.many[0])) == (int, float, int)


@pytest.mark.parametrize("text", ["5.5", "1e-3", "1e300", "9007199254740994.0", '"5"', "true"])
def test_what_is_not_surely_whole_is_refused(text: str) -> None:
    assert places(StrictReader(PutNumbers), f'{{"whole": {text}}}') == ["/whole"]


def test_the_sign_of_nothing_stays_with_a_float() -> None:
    assert str(StrictReader(PutNumbers).read(b'{"whole": 1.0, "real": -0.0}').real) == "-0.0"

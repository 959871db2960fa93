"""Fields from the path and the query string: text becomes the JSON value of the field's type, or stays text and fails."""

from __future__ import annotations

from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater import Meta, Value
from headwater.edge.params import Param, decode_text, parse_query
from headwater.edge.problems import Rejected


class Colour(Enum):
    RED = "red"


class Point(Value):
    x: int


READ: list[tuple[Any, str, Any]] = [
    (int, "12", 12), (int, "-12", -12), (int, "0", 0), (int, "+1", "+1"), (int, "01", "01"), (int, "-", "-"), (int, "", ""),
    (int, "1_0", "1_0"), (int, " 1", " 1"), (int, "1.0", "1.0"), (int, "\u0661", "\u0661"), (int, "\u00b2", "\u00b2"),
    (int, "9" * 30, "9" * 30), (int | None, "1", 1), (Annotated[int, Meta(ge=1)], "5", 5),
    (float, "1.5", 1.5), (float, "1e3", 1000.0), (float, "nan", "nan"), (float, "NaN", "NaN"), (float, "inf", "inf"),
    (float, "1e400", "1e400"), (bool, "true", True), (bool, "false", False), (bool, "1", "1"), (bool, "True", "True"),
    (str, "1", "1"), (str | None, "", ""), (Colour, "red", "red"), (Literal["a", "b"], "a", "a"), (Literal[1, 2], "2", 2),
    (Decimal, "1.10", "1.10"),
]


@pytest.mark.parametrize(("kind", "text", "value"), READ)
def test_text_is_read_as_its_type_or_left_for_the_type_to_refuse(kind, text, value):
    """No blank, sign, zero or foreign digit slips through as a number."""
    read = Param("p", kind).read(text)
    assert (read, type(read)) == (value, type(value))


@pytest.mark.parametrize("kind", [tuple[str, ...], list[int], frozenset[str], set[int]])
def test_a_collection_takes_its_key_several_times(kind):
    """Each occurrence is one item."""
    assert Param("p", kind).many


@pytest.mark.parametrize("kind", [Point, dict[str, int], tuple[Point, ...], list[list[int]], Point | None])
def test_what_has_no_spelling_in_a_query_is_refused_at_start(kind):
    """A nested value belongs in a body, and the route says so before it serves."""
    with pytest.raises(TypeError, match="cannot be written"):
        Param("p", kind)


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20))
def test_percent_encoding_is_undone_once(text):
    """Whatever is encoded comes back, and only one layer is removed."""
    encoded = b"".join(b"%%%02x" % byte for byte in text.encode())
    assert decode_text(encoded, "it") == text
    assert decode_text(encoded.replace(b"%", b"%25"), "it") == encoded.decode()


@given(st.binary(max_size=30))
def test_any_bytes_are_text_or_a_refusal(raw):
    """Nothing else can come of a path or a query string."""
    for read in (lambda: decode_text(raw, "it"), lambda: parse_query(raw)):
        try:
            read()
        except Rejected as error:
            assert error.status == 400


def test_a_query_string_is_cut_before_it_is_decoded():
    """Encoded separators are text; empty parts are nothing; a key without a value is empty; too many are refused."""
    assert parse_query(b"a=1%262&&b%3D=c=d&e&=f&a=2") == [("a", "1&2"), ("b=", "c=d"), ("e", ""), ("", "f"), ("a", "2")]
    assert parse_query(b"") == []
    assert len(parse_query(b"a&" * 1_000)) == 1_000
    with pytest.raises(Rejected, match="more than 1000"):
        parse_query(b"a&" * 1_001)

"""Preparing modules for the compiler, and whether the tests run over what they are meant to run over."""

from __future__ import annotations

import importlib
import os
import tomllib
from pathlib import Path

import pytest
from tools.compiled import rewritten

from headwater.errors import HeadwaterError, caused

MODULES = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["tool"]["compiled"]["modules"]
TEXT = '''
from __future__ import annotations
from msgspec import Struct, field

class Parcel(Struct, kw_only=True):
    """What is sent."""

    to: str
    weight: float = 0.0
    parts: dict[str, int] = field(default_factory=dict)

    def heavy(self) -> bool:
        return self.weight > 10

class Held:
    __slots__ = (
        "one", "two",
    )

    def __init__(self) -> None:
        self.one = self.two = 1

def fail(text: str) -> None:
    try:
        int(text)
    except ValueError as error:
        raise LookupError(
            f"no {text}"
        ) from error
    try:
        float(text)
    except ValueError:
        raise LookupError("never") from None
LAST = 1
'''


@pytest.mark.parametrize("module", MODULES)
def test_what_runs_is_what_the_run_is_about(module: str) -> None:
    """With HEADWATER_COMPILED=1 the modules are native, without it they are Python."""
    found = importlib.import_module(f"headwater.{module.replace('/', '.')}").__file__
    assert found is not None
    assert found.endswith(".so") is (os.environ.get("HEADWATER_COMPILED") == "1")


def test_a_struct_is_spelled_out_and_slots_are_gone() -> None:
    """The names, defaults and order stay; every line stays where it was."""
    made = rewritten(TEXT)
    space: dict[str, object] = {}
    exec(made, space)
    parcel = space["Parcel"]
    one, two = parcel(to="x"), parcel(to="y", weight=11.0)  # type: ignore[operator]
    assert (one.to, one.weight, one.parts, one.heavy(), two.heavy()) == ("x", 0.0, {}, False, True)
    assert one.parts is not two.parts
    with pytest.raises(TypeError):
        parcel("x")  # type: ignore[operator]
    assert "__slots__" not in made
    assert made.split("\n").index("LAST = 1") == TEXT.split("\n").index("LAST = 1")


def test_a_cause_is_kept() -> None:
    space: dict[str, object] = {}
    exec(rewritten(TEXT), space)
    with pytest.raises(LookupError, match="no x") as caught:
        space["fail"]("x")  # type: ignore[operator]
    assert isinstance(caught.value.__cause__, ValueError)


def test_no_cause_hides_what_came_before() -> None:
    error = caused(HeadwaterError("x"), None)
    assert error.__cause__ is None
    assert error.__suppress_context__


def test_a_struct_with_children_or_options_stays_what_it_is() -> None:
    text = "class A(Struct):\n    x: int\nclass B(A):\n    y: int\nclass C(Struct, frozen=True):\n    z: int\n"
    assert rewritten(text) == text

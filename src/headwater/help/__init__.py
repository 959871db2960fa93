"""What each error code means, why it comes and what to do: read by `headwater help` and by the documentation."""

from __future__ import annotations

import tomllib
from importlib.resources import files
from typing import Literal

import msgspec
from msgspec import Struct

__all__ = ["GROUPS", "Code", "codes"]

Group = Literal["outcome", "handler", "start", "edge", "topology", "check", "cli", "background"]
GROUPS: dict[Group, str] = {
    "outcome": "Outcomes of a call",
    "handler": "Mistakes inside a handler",
    "start": "Mistakes found before the first request",
    "edge": "Refused at the HTTP edge",
    "topology": "Topology file",
    "check": "Findings of `headwater check`",
    "background": "In the background, told in the log",
    "cli": "The command line",
}


class Code(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One code.

    status: the HTTP status that callers see with it. example: what brings it about, in language `lang`. see: pages.
    """

    code: str
    group: Group
    title: str
    cause: str
    fix: str
    example: str = ""
    lang: str = "text"
    status: int | None = None
    see: tuple[str, ...] = ()


def codes() -> dict[str, Code]:
    """Return every code that is known, by name."""
    tables = tomllib.loads(files("headwater.help").joinpath("codes.toml").read_text(encoding="utf-8"))
    return {name: msgspec.convert({"code": name, **table}, Code) for name, table in tables.items()}

"""One route as its caller sees it: which fields come from where."""

from __future__ import annotations

from types import NoneType
from typing import Any, get_args

import msgspec

from headwater.edge.blobs import is_blob
from headwater.edge.paging import NextLink
from headwater.edge.params import Param
from headwater.edge.reading import BODIES, names_in
from headwater.model.api import Route

__all__ = ["Shape"]


class Shape:
    """What a route reads and answers, decided as the edge decides it.

    path, query, body: names of fields, and where they are read. cursor: the one that says where a page begins.
    fields: all of them. ruled: the module may refuse single things. value: the result without None, NoneType when
    there is none.
    """

    def __init__(self, route: Route, *, ruled: bool) -> None:
        contract = route.contract
        self.route = route
        self.ruled = ruled
        self.fields: dict[str, Any] = {f.encode_name: f for f in msgspec.structs.fields(contract.message)}
        self.path = names_in(route.path)
        self.has_body = route.method in BODIES and route.upload is None
        rest = tuple(name for name in self.fields if name not in self.path and name != route.upload)
        self.query = () if self.has_body else rest
        self.body = rest if self.has_body else ()
        paged = NextLink.of(contract)
        self.cursor = None if paged is None else paged.name
        self.download = is_blob(contract.result)
        self.value, self.may_be_nothing = _without_none(contract.result)
        self.may_be_missing = self.may_be_nothing and contract.kind == "query"

    def param(self, name: str) -> Param:
        """Return how a field is read from text."""
        return Param(name, self.fields[name].type)


def _without_none(kind: Any) -> tuple[Any, bool]:
    """Return a result's type without None, and whether it may be None."""
    if kind is NoneType or NoneType not in get_args(kind):
        return kind, kind is NoneType
    rest = [option for option in get_args(kind) if option is not NoneType]
    made = rest[0]
    for option in rest[1:]:
        made = made | option
    return made, True

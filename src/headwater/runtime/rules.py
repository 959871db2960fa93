"""Who may have to do with one thing: the rules of a module, asked about rows as they are fetched."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from headwater.errors import Denied, Hidden
from headwater.model.identity import SYSTEM, Identity
from headwater.model.module import Module, Rule

__all__ = ["Judge", "Rules"]


class Rules:
    """The rules of one module, found by the type of the rows."""

    __slots__ = ("_by_kind", "_declared")

    def __init__(self, module: Module) -> None:
        self._declared = dict(module.rules)
        self._by_kind: dict[type[Any], tuple[Rule[Any], ...]] = {}

    @classmethod
    def of(cls, module: Module) -> Rules | None:
        """Return a module's rules, None when it has none."""
        return cls(module) if module.rules else None

    def judge(self, identity: Identity, *, hides: bool) -> Judge | None:
        """Return who asks the rules for one handler. None for the application's own work."""
        return None if identity == SYSTEM else Judge(self, identity, hides=hides)

    def about(self, kind: type[Any]) -> tuple[Rule[Any], ...]:
        """Return the rules about a type: its own, and those of the types that it is one of."""
        found = self._by_kind.get(kind)
        if found is None:
            rules = tuple(self._declared[base] for base in kind.__mro__ if base in self._declared)
            found = self._by_kind[kind] = rules
        return found


class Judge:
    """Asks the rules on behalf of one caller. hides: in a query, where even that a thing exists is not told."""

    __slots__ = ("_hides", "_identity", "_rules")

    def __init__(self, rules: Rules, identity: Identity, *, hides: bool) -> None:
        self._rules = rules
        self._identity = identity
        self._hides = hides

    def one(self, thing: Any) -> None:
        """Raise Hidden or Denied unless every rule lets the thing through."""
        if not self._may(thing):
            raise (Hidden if self._hides else Denied)(_told(thing))

    def all(self, things: Sequence[Any]) -> None:
        """Raise Denied unless every rule lets every thing through."""
        for thing in things:
            if not self._may(thing):
                raise Denied(_told(thing))

    def _may(self, thing: Any) -> bool:
        return all(rule(self._identity, thing) is True for rule in self._rules.about(type(thing)))


def _told(thing: Any) -> str:
    return f"this {type(thing).__name__} is not for the caller"

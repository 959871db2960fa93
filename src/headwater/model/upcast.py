"""An older version of a contract beside the newest: how one becomes the other.

A module handles the newest version only. Whoever still speaks an older one is served by the same handler: what
comes in is turned into the newer message, what goes out into the older answer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

from headwater.errors import ConfigurationError
from headwater.model.contract import Contract
from headwater.model.message import Failure

__all__ = ["EventUpcast", "Recast", "Recasts", "Upcast", "Upcasts", "recast"]

F = TypeVar("F", bound=Failure)
O = TypeVar("O", bound=Failure)  # noqa: E741 - the old one
M1 = TypeVar("M1")
R1 = TypeVar("R1")
M2 = TypeVar("M2")
R2 = TypeVar("R2")


class Recast:
    """Tells callers of the older version of a refusal `new` as the refusal `old`. Made by `recast(...).by(...)`."""

    __slots__ = ("by", "new", "old")

    def __init__(self, new: type[Failure], old: type[Failure], by: Callable[[Any], Failure]) -> None:
        self.new = new
        self.old = old
        self.by = by


class Recasts(Generic[F, O]):
    """Waits to be told how one refusal becomes the other."""

    __slots__ = ("_new", "_old")

    def __init__(self, new: type[F], old: type[O]) -> None:
        self._new = new
        self._old = old

    def by(self, function: Callable[[F], O]) -> Recast:
        """Say how."""
        return Recast(self._new, self._old, function)


def recast(new: type[F], old: type[O]) -> Recasts[F, O]:
    """Tell callers of an older version, which does not declare the refusal `new`, of `old`, which it does."""
    return Recasts(new, old)


class Upcast:
    """One older version of a command or query. `up` and `down` are None until `by` was said."""

    __slots__ = ("down", "fails", "new", "old", "up", "where")

    def __init__(self, old: Contract, new: Contract, where: str) -> None:
        _check_pair(old, new, where)
        if old.kind == "event":
            raise ConfigurationError(f"{old.wire_name} is an event: write @....upcast_event(...)", where=where)
        if old.idempotent is not None and new.idempotent is None:
            raise ConfigurationError(
                f"{old.wire_name} promises to be idempotent and {new.wire_name}, which would serve it, does not: "
                "declare idempotent= there too", where=where,
            )
        self.old = old
        self.new = new
        self.where = where
        self.up: Callable[[Any], Any] | None = None
        self.down: Callable[[Any], Any] | None = None
        self.fails: dict[type[Failure], Callable[[Any], Failure]] = {}

    def translate(
        self, up: Callable[[Any], Any], down: Callable[[Any], Any], fails: tuple[Recast, ...]
    ) -> None:
        """Say how. Raises ConfigurationError for a refusal that a caller of the older version could not read."""
        for one in fails:
            self._check_recast(one)
            self.fails[one.new] = one.by
        for failure in self.new.fails:
            if failure not in self.old.fails and failure not in self.fails:
                raise ConfigurationError(
                    f"{self.new.wire_name} may refuse with {failure.__name__}, which {self.old.wire_name} does not "
                    f"declare: say what its callers are told, fails=(recast({failure.__name__}, ...).by(...),)",
                    where=self.where,
                )
        self.up = up
        self.down = down

    def _check_recast(self, one: Recast) -> None:
        for contract, failure in ((self.new, one.new), (self.old, one.old)):
            if failure not in contract.fails:
                raise ConfigurationError(
                    f"recast({one.new.__name__}, {one.old.__name__}): {contract.wire_name} does not declare "
                    f"{failure.__name__}; add it to its fails=, or leave this out", where=self.where,
                )
        if one.new in self.fails:
            raise ConfigurationError(
                f"upcast of {self.old.wire_name}: {one.new.__name__} is recast twice; keep one", where=self.where
            )


class EventUpcast:
    """One older version of an event: subscribers of `new` receive it too, through `up`."""

    __slots__ = ("new", "old", "up", "where")

    def __init__(self, old: Contract, new: Contract, up: Callable[[Any], Any], where: str) -> None:
        _check_pair(old, new, where)
        if old.key != new.key and None in (old.key, new.key):
            raise ConfigurationError(
                f"{old.wire_name} is ordered by {old.key} and {new.wire_name} by {new.key}: events of one name are "
                "ordered together; give both a key or none", where=where,
            )
        self.old = old
        self.new = new
        self.up = up
        self.where = where


class Upcasts(Generic[M1, R1, M2, R2]):
    """Waits to be told how the two versions become each other."""

    __slots__ = ("_upcast",)

    def __init__(self, upcast: Upcast) -> None:
        self._upcast = upcast

    def by(
        self, *, up: Callable[[M1], M2], down: Callable[[R2], R1], fails: tuple[Recast, ...] = ()
    ) -> None:
        """Say how.

        up: the newer message for an older one. down: the older answer for a newer one. fails: refusals that the
        older version does not declare, as refusals that it does; all others reach its callers as they are.
        """
        self._upcast.translate(up, down, fails)


def _check_pair(old: Contract, new: Contract, where: str) -> None:
    if old.kind != new.kind or old.name != new.name or old.version >= new.version:
        raise ConfigurationError(
            f"upcast of {old.wire_name} ({old.kind}) to {new.wire_name} ({new.kind}): both are versions of one "
            "contract, the older one first", where=where,
        )

"""Stand-ins for other modules' contracts, that notice when the contract changes.

A fake is as good as what it was written against. With a lock file, the shape of each faked contract is
recorded beside the tests, and a test that fakes a contract whose shape has changed since fails.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Protocol, TypeVar

from headwater.model.contract import Contract, contract_of
from headwater.model.message import Failure, Message
from headwater.model.schema import schema_hash

__all__ = ["Fakes", "Spec", "StaleFake"]

M = TypeVar("M")
R = TypeVar("R")
M_co = TypeVar("M_co", covariant=True)
R_co = TypeVar("R_co", covariant=True)


class Spec(Protocol[M_co, R_co]):
    """A Command or Query class."""

    def __signature_of__(self) -> tuple[M_co, R_co]:
        """Never called."""
        ...


class StaleFake(AssertionError):
    """A faked contract has changed since its fake was written."""


class Fakes:
    """The fakes of one test application."""

    def __init__(self, lock: Path | None = None) -> None:
        self.answers: dict[type[Message], Callable[[Any], Any]] = {}
        self._lock = lock

    def add(self, message: Any, answer: Callable[[Any], Any | Awaitable[Any]]) -> None:
        """Answer a contract with a function. Raises StaleFake."""
        contract = contract_of(message)
        if contract.kind == "event":
            raise TypeError(f"{contract.wire_name} is an event: emit it, or call the handler; events are not answered")
        self._check(contract)
        self.answers[contract.message] = answer

    def _check(self, contract: Contract) -> None:
        if self._lock is None:
            return
        known: dict[str, str] = json.loads(self._lock.read_text(encoding="utf-8")) if self._lock.exists() else {}
        shape = schema_hash(contract)
        recorded = known.setdefault(contract.wire_name, shape)
        if recorded != shape:
            raise StaleFake(
                f"{contract.wire_name} has changed since its fake was written (shape {recorded} became {shape}): "
                f"look at the fake again, then remove the line from {self._lock}"
            )
        self._lock.write_text(json.dumps(known, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def failing(failure: Failure) -> Callable[[Any], Any]:
    """Return an answer that refuses."""

    def answer(_message: Any) -> Any:
        raise failure

    return answer

"""Events to bytes and back: those of today, and older ones read as such."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from headwater.errors import DecodeError
from headwater.model.codec import Codec
from headwater.model.contract import Contract
from headwater.runtime.shapes import needs_check, refuse_secrets

__all__ = ["EventCodec", "Up", "UpcastCodec"]

Up = Callable[[Any], Any]


class EventCodec(Codec):
    """An event's codec; `checked` when a receiver might refuse what the emitter may build."""

    __slots__ = ("checked", "contract")

    def __init__(self, contract: Contract) -> None:
        super().__init__(contract.message, contract.wire_name)
        refuse_secrets(contract.message, f"event {contract.wire_name}")
        self.contract = contract
        self.checked = needs_check(contract.message)


class UpcastCodec(EventCodec):
    """Reads an older version of an event as the newer one."""

    __slots__ = ("_check", "_ups")

    def __init__(self, contract: Contract, ups: tuple[Up, ...], newest: EventCodec) -> None:
        super().__init__(contract)
        self._ups = ups
        self._check = newest if newest.checked else None

    def from_json(self, data: bytes) -> Any:
        """Decode, and turn. Raises DecodeError, also when that cannot be done: the event is the same every time."""
        event = super().from_json(data)
        try:
            for up in self._ups:
                event = up(event)
        except Exception as error:
            raise DecodeError(f"{self.name}: its upcast raised {type(error).__name__}: {error}") from error
        return event if self._check is None else self._check.from_json(self._check.to_json(event))

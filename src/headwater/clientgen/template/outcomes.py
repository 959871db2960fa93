"""What became of a call that has no answer.

A declared refusal is a `Failure`. `NotExecuted` certainly did not run, `OutcomeUnknown`
may have.
"""

from __future__ import annotations

import typing
from typing import Any, ClassVar

import msgspec

__all__ = ["Failure", "FieldError", "NotExecuted", "OutcomeUnknown"]


class FieldError(msgspec.Struct, frozen=True):
    """One thing wrong with one field; `pointer` is a JSON pointer."""

    pointer: str = ""
    detail: str = ""


class _NoValue(Exception):
    def __init__(
        self,
        said: str,
        *,
        code: str,
        status: int | None = None,
        errors: tuple[FieldError, ...] = (),
        retry_after: float | None = None,
        request_id: str = "",
    ) -> None:
        self.code = code
        self.status = status
        self.errors = errors
        self.retry_after = retry_after
        self.request_id = request_id
        super().__init__(said)


class NotExecuted(_NoValue):
    """The call certainly did not run: nothing was changed, any retry is safe.

    `code` is stable; `status` is None when no server answered. `errors` names fields that
    break their rules. `retry_after` is the server's hint in seconds.
    """


class OutcomeUnknown(_NoValue):
    """The call may have run. Make it again with the same key, or look."""


@typing.dataclass_transform(frozen_default=True, kw_only_default=True)
class Failure(Exception):
    """A declared refusal; its facts are fields of the subclass."""

    __failure_name__: ClassVar[str]
    __failure_fields__: ClassVar[type[msgspec.Struct]]

    def __init_subclass__(cls, *, name: str | None = None) -> None:
        """Learn the fields from the annotations; `name` is the one on the wire."""
        super().__init_subclass__()
        cls.__failure_name__ = name or cls.__name__
        hints = typing.get_type_hints(cls)
        fields: list[Any] = []
        for field, hint in hints.items():
            if field.startswith("__"):
                continue
            given = field in cls.__dict__
            fields.append(
                (field, hint, cls.__dict__[field]) if given else (field, hint)
            )
        cls.__failure_fields__ = msgspec.defstruct(
            cls.__name__, fields, frozen=True, kw_only=True
        )

    def __init__(self, **fields: Any) -> None:
        self.__dict__["_data"] = data = type(self).__failure_fields__(**fields)
        for field in data.__struct_fields__:
            self.__dict__[field] = getattr(data, field)
        super().__init__(*(f"{name}={value!r}" for name, value in fields.items()))

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self._told() == other.__dict__["_data"]

    def __hash__(self) -> int:
        return hash((type(self), self._told()))

    def __str__(self) -> str:
        return f"{type(self).__name__}({', '.join(map(str, self.args))})"

    def _told(self) -> Any:
        return self.__dict__["_data"]

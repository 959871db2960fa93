"""The five kinds of message and the value they carry.

A message class is its own schema: frozen, keyword-only, compared by value, unknown fields ignored
when reading. `Command[R]` and `Query[R]` name their result, so a type checker knows what `call` and
`ask` return without seeing the handler.
"""

from __future__ import annotations

import typing
from typing import Annotated, Any, ClassVar, Generic, Self, TypeVar, dataclass_transform, get_args, get_origin

import msgspec
from msgspec import Meta, Struct, StructMeta

from headwater.errors import ContractError

__all__ = ["Command", "Event", "Failure", "Message", "Meta", "Query", "Value"]

R_co = TypeVar("R_co", covariant=True)


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(msgspec.field,))
class MessageType(StructMeta):
    """Makes every subclass frozen and keyword-only, so that authors need not repeat it."""

    def __new__(
        mcls, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **config: Any
    ) -> Any:
        for option, needed in (("frozen", True), ("kw_only", True)):
            if config.setdefault(option, needed) is not needed:
                raise ContractError(
                    f"{name}: messages are always {option}; remove {option}={config[option]!r}"
                )
        try:
            return super().__new__(mcls, name, bases, namespace, **config)
        except TypeError as error:
            raise ContractError(f"{name}: {error}") from error


# Told to type checkers here as well: some look at a class before its metaclass, and would take the word of `Struct`.
@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(msgspec.field,))
class Value(Struct, metaclass=MessageType, frozen=True, kw_only=True):
    """Plain typed data inside messages, answers and rows."""


class Message(Value):
    """Base of what travels between modules. Subclasses carry `__contract__` once decorated."""

    __contract__: ClassVar[Any]


class Command(Message, Generic[R_co]):
    """Asks a module to do something; answers with an `R`. Sent with `ctx.call` or `tx.send`."""

    @classmethod
    def __signature_of__(cls) -> tuple[Self, R_co]:
        """Never called: lets a checker read (message, result) off the class."""
        raise NotImplementedError


class Query(Message, Generic[R_co]):
    """Asks a module for an `R` and changes nothing. Sent with `ctx.ask`."""

    @classmethod
    def __signature_of__(cls) -> tuple[Self, R_co]:
        """Never called: lets a checker read (message, result) off the class."""
        raise NotImplementedError


class Event(Message):
    """Something that happened. Emitted with `tx.emit`, received by subscriptions."""


@dataclass_transform(frozen_default=True, kw_only_default=True)
class Failure(Exception):
    """A declared refusal: it crosses the wire as itself and rolls the handler's transaction back.

        class OutOfStock(Failure, status=409):
            product_id: str

    Fields are keyword-only and cannot be set again. `status` is the HTTP status at the edge.
    """

    __failure_name__: ClassVar[str]
    __failure_status__: ClassVar[int]
    __failure_fields__: ClassVar[type[Struct]]

    def __init_subclass__(cls, *, status: int = 409, name: str | None = None) -> None:
        """Build the wire type from the annotations. `name` on the wire defaults to the class name."""
        super().__init_subclass__()
        if not 400 <= status <= 499:
            raise ContractError(
                f"{cls.__name__}: status={status} is not a refusal; use a status from 400 to 499"
            )
        cls.__failure_name__ = name or cls.__name__
        cls.__failure_status__ = status
        fields: list[Any] = []
        hints = typing.get_type_hints(cls, include_extras=True)
        for field, hint in hints.items():
            if field.startswith("__") or get_origin(hint) is ClassVar:
                continue
            owner = next((c for c in cls.__mro__ if issubclass(c, Failure) and field in c.__dict__), None)
            fields.append((field, hint) if owner is None else (field, hint, owner.__dict__[field]))
        cls.__failure_fields__ = msgspec.defstruct(
            cls.__name__, fields, frozen=True, kw_only=True, module=cls.__module__
        )

    def __init__(self, **fields: Any) -> None:
        if type(self) is Failure:
            raise TypeError("Failure is a base class: declare a subclass with the facts as fields")
        try:
            data = type(self).__failure_fields__(**fields)
        except TypeError as error:
            raise TypeError(f"{type(self).__name__}: {error}") from None
        self.__dict__["_data"] = data
        for field in data.__struct_fields__:
            self.__dict__[field] = getattr(data, field)
        super().__init__(*(f"{k}={v!r}" for k, v in msgspec.structs.asdict(data).items()))

    def __setattr__(self, name: str, value: Any) -> None:
        if name in type(self).__failure_fields__.__struct_fields__:
            raise AttributeError(f"{type(self).__name__}.{name}: failures are immutable")
        super().__setattr__(name, value)

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self.__dict__["_data"] == other.__dict__["_data"]

    def __hash__(self) -> int:
        return hash((type(self), self.__dict__["_data"]))

    def __str__(self) -> str:
        return f"{type(self).__name__}({', '.join(map(str, self.args))})"


def result_of(message: type[Message]) -> Any:
    """Return the result type that a Command or Query names. Raises ContractError if it names none."""
    for cls in message.__mro__:
        for base in getattr(cls, "__orig_bases__", ()):
            origin = get_origin(base)
            if origin in (Command, Query):
                (result,) = get_args(base)
                if isinstance(result, TypeVar):
                    break
                return type(None) if result is None else result
    kind = "Command" if issubclass(message, Command) else "Query"
    raise ContractError(
        f"{message.__name__}: a {kind} names its result; write class {message.__name__}({kind}[Result])"
        f" or {kind}[None]"
    )


def annotated_base(hint: Any) -> Any:
    """Strip `Annotated[...]` from a type hint."""
    return get_args(hint)[0] if get_origin(hint) is Annotated else hint

"""What both sides of a call agree on: a stable name, a version, and what the caller may rely on."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Literal, TypeVar, overload

import msgspec

from headwater.errors import ContractError
from headwater.model.duration import seconds
from headwater.model.message import Command, Event, Failure, Message, Query, result_of

__all__ = ["PRIORITIES", "Contract", "Kind", "Priority", "contract", "contract_of"]

Kind = Literal["command", "query", "event"]
Priority = Literal["critical", "high", "normal", "low"]
PRIORITIES: tuple[Priority, ...] = ("critical", "high", "normal", "low")
"""Who is served first when not everybody can be, from first to last."""
M = TypeVar("M", bound=Message)
E = TypeVar("E", bound=Event)
A = TypeVar("A", bound=Command[Any] | Query[Any])
C = TypeVar("C", bound=Command[Any])

_NAME = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+")


class Contract:
    """The agreement behind one message class. Read-only; made by `@contract`.

    `name` is what stands on the wire; its first word is the module that owns the contract.
    `within` is the longest a call may take, in seconds. `slo_p99` (seconds) and `availability` (a share of
    calls) are what is aimed at; None where nothing was said.
    """

    __slots__ = (
        "availability", "fails", "idempotent", "key", "kind", "message", "module", "name", "priority", "result",
        "slo_p99", "version", "within",
    )

    def __init__(
        self, *, name: str, version: int, kind: Kind, message: type[Message], result: Any,
        fails: tuple[type[Failure], ...], within: float, idempotent: str | None, key: str | None,
        priority: Priority = "normal", slo_p99: float | None = None, availability: float | None = None,
    ) -> None:
        self.name = name
        self.module = name.partition(".")[0]
        self.version = version
        self.kind = kind
        self.message = message
        self.result = result
        self.fails = fails
        self.within = within
        self.idempotent = idempotent
        self.key = key
        self.priority = priority
        self.slo_p99 = slo_p99
        self.availability = availability

    @property
    def wire_name(self) -> str:
        """The name with its version, as logs and tools print it: `orders.place/1`."""
        return f"{self.name}/{self.version}"

    def __repr__(self) -> str:
        return f"<contract {self.wire_name} {self.kind} {self.message.__name__}>"


@overload
def contract(name: str, *, v: int, within: str = "5s") -> Callable[[type[M]], type[M]]: ...
@overload
def contract(name: str, *, v: int, key: str) -> Callable[[type[E]], type[E]]: ...
@overload
def contract(
    name: str, *, v: int, fails: tuple[type[Failure], ...] = (), within: str = "5s",
    priority: Priority = "normal", slo_p99: str | None = None, availability: float | None = None,
) -> Callable[[type[A]], type[A]]: ...
@overload
def contract(
    name: str, *, v: int, fails: tuple[type[Failure], ...] = (), within: str = "5s", idempotent: str,
    priority: Priority = "normal", slo_p99: str | None = None, availability: float | None = None,
) -> Callable[[type[C]], type[C]]: ...
def contract(
    name: str,
    *,
    v: int,
    fails: tuple[type[Failure], ...] = (),
    within: str = "5s",
    idempotent: str | None = None,
    key: str | None = None,
    priority: Priority = "normal",
    slo_p99: str | None = None,
    availability: float | None = None,
) -> Callable[[Any], Any]:
    """Declare a message class as a contract.

    name: stable name on the wire, `module.verb`; never derived from the Python path.
    v: integer version; an additive change keeps it.
    fails: the refusals a command or query may answer with.
    within: the longest a call may take ("800ms"); the caller's own budget may shorten it.
    idempotent: the field whose value makes repeats of a command harmless.
    key: the field of an event that orders it: events with one key arrive in commit order.
    priority: who is served first when not everybody can be: "critical", "high", "normal" or "low".
    slo_p99: the time that 99 of 100 calls shall stay below ("300ms"). availability: the share of calls
    that shall end in a value or a declared refusal (0.999). Both are measured, and what is left of them told.

    Raises ContractError at import, naming the class and the fix.
    """

    def declare(cls: type[Message]) -> type[Message]:
        kind = _kind(cls)
        _check_name(cls, name)
        if type(v) is not int or v < 1:
            raise ContractError(f"{cls.__name__}: v={v!r} is not a version; use 1, 2, 3, ...")
        if "__contract__" in cls.__dict__:
            raise ContractError(f"{cls.__name__}: already declared as {cls.__contract__.wire_name}")
        try:
            limit = seconds(within)
        except ValueError as error:
            raise ContractError(f"{cls.__name__}: within={error}") from None
        _check_fails(cls, kind, fails)
        aimed = _check_aims(cls, priority, slo_p99, availability)
        if idempotent is not None:
            _check_field(cls, kind, "idempotent", idempotent, "command")
        if key is not None:
            _check_field(cls, kind, "key", key, "event")
        cls.__contract__ = Contract(
            name=name, version=v, kind=kind, message=cls,
            result=None if kind == "event" else result_of(cls),
            fails=fails, within=limit, idempotent=idempotent, key=key,
            priority=priority, slo_p99=aimed, availability=availability,
        )
        return cls

    return declare


def contract_of(message: type[Message]) -> Contract:
    """Return the contract of a message class. Raises ContractError when it was not declared."""
    found = getattr(message, "__dict__", {}).get("__contract__")
    if isinstance(found, Contract):
        return found
    name = getattr(message, "__name__", repr(message))
    raise ContractError(f"{name} has no contract; decorate it with @contract('module.verb', v=1)")


def _kind(cls: type[Message]) -> Kind:
    kinds: tuple[tuple[type[Message], Kind], ...] = ((Command, "command"), (Query, "query"), (Event, "event"))
    declared: object = cls
    for base, kind in kinds:
        if isinstance(declared, type) and issubclass(declared, base):
            return kind
    raise ContractError(
        f"{getattr(cls, '__name__', cls)}: @contract goes on a Command, Query or Event; "
        "a Value or Failure needs none"
    )


def _check_name(cls: type[Message], name: str) -> None:
    if not _NAME.fullmatch(name):
        raise ContractError(
            f"{cls.__name__}: {name!r} is not a contract name; write module.verb in lower case, "
            "such as 'orders.place'"
        )


def _check_fails(cls: type[Message], kind: Kind, fails: tuple[type[Failure], ...]) -> None:
    if fails and kind == "event":
        raise ContractError(f"{cls.__name__}: an event is a fact and cannot fail; remove fails=")
    given: object = fails
    if not isinstance(given, tuple):
        raise ContractError(f"{cls.__name__}: fails= lists Failure classes in a tuple: fails=(OutOfStock,)")
    names: set[str] = set()
    for failure in fails:
        declared: object = failure
        if not (isinstance(declared, type) and issubclass(declared, Failure)):
            raise ContractError(f"{cls.__name__}: fails= lists Failure classes, not {failure!r}")
        if failure.__failure_name__ in names:
            raise ContractError(
                f"{cls.__name__}: two failures are called {failure.__failure_name__!r} on the wire; "
                "give one of them name="
            )
        names.add(failure.__failure_name__)


def _check_aims(cls: type[Message], priority: str, slo_p99: str | None, availability: float | None) -> float | None:
    """Return `slo_p99` in seconds."""
    if priority not in PRIORITIES:
        raise ContractError(f"{cls.__name__}: priority={priority!r}; use one of {', '.join(PRIORITIES)}")
    if availability is not None and not 0 < availability < 1:
        raise ContractError(f"{cls.__name__}: availability={availability!r} is a share of calls, such as 0.999")
    try:
        return None if slo_p99 is None else seconds(slo_p99)
    except ValueError as error:
        raise ContractError(f"{cls.__name__}: slo_p99={error}") from None


def _check_field(cls: type[Message], kind: Kind, option: str, field: str, only: Kind) -> None:
    if kind != only:
        raise ContractError(f"{cls.__name__}: {option}= belongs on a {only}, and this is a {kind}")
    types = {f.name: f.type for f in msgspec.structs.fields(cls)}
    if field not in types:
        raise ContractError(
            f"{cls.__name__}: {option}={field!r} is not one of its fields: {', '.join(types) or 'none'}"
        )
    bare = msgspec.inspect.type_info(types[field])
    if not isinstance(bare, (msgspec.inspect.StrType, msgspec.inspect.IntType, msgspec.inspect.UUIDType)):
        raise ContractError(f"{cls.__name__}: {option}={field!r} must be a str, int or UUID")

"""A module: one bounded context, one database, and a written list of what it does.

Registration is explicit: importing a package registers nothing anywhere but on the `Module` object
that the decorator belongs to, and an `App` names its modules.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Awaitable, Callable, Mapping
from inspect import iscoroutinefunction
from pathlib import Path
from typing import Any, Concatenate, Literal, ParamSpec, Protocol, TypeVar, overload

from headwater.errors import ConfigurationError
from headwater.model.contract import Contract, contract_of
from headwater.model.identity import Identity
from headwater.model.message import Event, Message, Value
from headwater.model.upcast import EventUpcast, Upcast, Upcasts

__all__ = ["Handler", "Module", "Projection", "Retry", "Rule", "Subscription"]

P = ParamSpec("P")
E = TypeVar("E", bound=Event)
E_contra = TypeVar("E_contra", bound=Event, contravariant=True)
V = TypeVar("V", bound=Value)
M_co = TypeVar("M_co", covariant=True)
R_co = TypeVar("R_co", covariant=True)
M = TypeVar("M")
R = TypeVar("R")
M2 = TypeVar("M2")
R2 = TypeVar("R2")
E2 = TypeVar("E2", bound=Event)

Rule = Callable[[Identity, V], bool]
"""Tells whether somebody may have to do with one thing."""
Start = Literal["now", "beginning"]
Names = list[str] | tuple[str, ...]
"""Several names. Not a Sequence, because one `str` is a sequence of them too."""
_NAME = re.compile(r"[a-z][a-z0-9_]*")


class Retry:
    """How often a failing delivery is tried before it becomes a dead letter.

    The n-th wait is drawn between half and the whole of `first * 2**(n-1)` seconds, at most `most`.
    """

    __slots__ = ("attempts", "first", "most")

    def __init__(self, attempts: int = 5, *, first: float = 0.2, most: float = 60.0) -> None:
        if attempts < 1:
            raise ConfigurationError(f"Retry(attempts={attempts}): a delivery is tried at least once")
        if not 0 < first <= most:
            raise ConfigurationError(f"Retry(first={first}, most={most}): need 0 < first <= most")
        self.attempts = attempts
        self.first = first
        self.most = most


class Handler:
    """One function bound to one contract of its module.

    names: the local names where it was registered, for annotations of functions inside functions.
    """

    __slots__ = ("contract", "function", "names")

    def __init__(self, contract: Contract, function: Callable[..., Any], names: Mapping[str, Any]) -> None:
        self.contract = contract
        self.function = function
        self.names = names

    @property
    def where(self) -> str:
        """`file:line` of the function."""
        return where(self.function)


class Subscription:
    """One cursor, one transaction for each event, one retry state, one list of dead letters.

    `name` is `module.subscription` and stable: it is stored. `tables` is set for a projection.
    """

    __slots__ = ("handlers", "module", "name", "retry", "start", "tables")

    def __init__(self, module: str, name: str, *, start: Start, retry: Retry, tables: tuple[str, ...] = ()) -> None:
        self.module = module
        self.name = f"{module}.{name}"
        self.start = start
        self.retry = retry
        self.tables = tables
        self.handlers: dict[type[Event], Handler] = {}

    @property
    def sources(self) -> tuple[str, ...]:
        """The modules whose events it receives, in a fixed order."""
        return tuple(sorted({h.contract.module for h in self.handlers.values()}))

    def add(self, event: type[Event], function: Callable[..., Any], names: Mapping[str, Any]) -> None:
        """Bind a function to an event class. Raises ConfigurationError on a second one."""
        if event in self.handlers:
            raise ConfigurationError(
                f"{self.name}: {contract_of(event).wire_name} has a handler already", where=where(function)
            )
        self.handlers[event] = Handler(contract_of(event), function, names)


class _Spec(Protocol[M_co, R_co]):
    def __signature_of__(self) -> tuple[M_co, R_co]: ...


class _Handle(Protocol[M, R]):
    @overload
    def __call__(
        self, function: Callable[Concatenate[M, P], Awaitable[R]], /
    ) -> Callable[Concatenate[M, P], Awaitable[R]]: ...
    @overload
    def __call__(self, function: Callable[Concatenate[M, P], R], /) -> Callable[Concatenate[M, P], R]: ...


class _On(Protocol[E]):
    def __call__(
        self, function: Callable[Concatenate[E, P], Awaitable[None]], /
    ) -> Callable[Concatenate[E, P], Awaitable[None]]: ...


class _UpcastEvent(Protocol[E, E2]):
    def __call__(self, function: Callable[[E], E2], /) -> Callable[[E], E2]: ...


class Projection:
    """A read model: tables filled from events only, so they can be filled again.

    All its handlers share one cursor, and so see events of one source in commit order. `tables` are
    written by these handlers alone.
    """

    __slots__ = ("_subscription",)

    def __init__(self, subscription: Subscription) -> None:
        self._subscription = subscription

    def on(self, event: type[E]) -> _On[E]:
        """Fold an event into the read model: `async def fold(event, tx) -> None`."""

        def register(function: Callable[..., Any]) -> Callable[..., Any]:
            self._subscription.add(event, function, _local_names())
            return function

        return register


class Module:
    """A bounded context.

    name: lower case; the first word of every contract the module owns, and its database's name.
    uses: the modules it may `call` and `ask`. Events need no declaration.
    migrations: folder of numbered SQL files, relative to the file that makes the Module.
    """

    def __init__(
        self, name: str, *, uses: Names = (), migrations: str | None = None, package: str | None = None
    ) -> None:
        frame = sys._getframe(1)
        self.file = Path(frame.f_code.co_filename)
        self.line = frame.f_lineno
        self.package = package or str(frame.f_globals.get("__name__", "__main__"))
        if not _NAME.fullmatch(name):
            raise ConfigurationError(
                f"module name {name!r}: use lower-case letters, digits and _, such as 'orders'", where=self.where
            )
        if isinstance(uses, str):
            raise ConfigurationError(f"module {name}: uses= is a list: uses=[{uses!r}]", where=self.where)
        if name in uses:
            raise ConfigurationError(f"module {name}: it need not list itself in uses", where=self.where)
        self.name = name
        self.uses = tuple(uses)
        self.migrations = None if migrations is None else self.file.parent / migrations
        self.handlers: dict[type[Message], Handler] = {}
        self.subscriptions: dict[str, Subscription] = {}
        self.rules: dict[type[Value], Rule[Any]] = {}
        self.upcasts: dict[type[Message], Upcast] = {}
        self.event_upcasts: dict[type[Message], EventUpcast] = {}

    @property
    def where(self) -> str:
        """`file:line` of the Module(...) call."""
        return f"{self.file}:{self.line}"

    def __repr__(self) -> str:
        return f"<module {self.name}: {len(self.handlers)} handlers, {len(self.subscriptions)} subscriptions>"

    def handle(self, spec: _Spec[M, R]) -> _Handle[M, R]:
        """Bind a function to a command or query that this module owns.

        The function takes the message first and then, by annotation, any of `Ctx`, `Tx`, `View` and
        `Annotated[T, Use(provider)]`. A plain `def` runs in a bounded thread pool and may take
        injected values only. Raises ConfigurationError for a contract of another module.
        """

        def register(function: Callable[..., Any]) -> Callable[..., Any]:
            contract = contract_of(spec)  # type: ignore[arg-type]
            if contract.kind == "event":
                raise ConfigurationError(
                    f"{contract.wire_name} is an event: subscribe with @{self.name}.on(...)", where=where(function)
                )
            self._own(contract, where(function))
            if contract.message in self.handlers:
                raise ConfigurationError(f"{contract.wire_name} has a handler already", where=where(function))
            self.handlers[contract.message] = Handler(contract, function, _local_names())
            return function

        return register

    def on(
        self, event: type[E], *, name: str | None = None, start: Start = "now", retry: Retry | None = None
    ) -> _On[E]:
        """Subscribe a function to an event: `async def f(event, tx) -> None`, also `ctx` and `Use`.

        name: stable name of the subscription, by default the function's.
        start: what a new subscription sees first: events from "now" on, or from the "beginning".
        """

        def register(function: Callable[..., Any]) -> Callable[..., Any]:
            subscription = self._subscribe(
                name or function.__name__, start=start, retry=retry or Retry(), at=where(function)
            )
            subscription.add(event, function, _local_names())
            return function

        return register

    def rule(self, kind: type[V]) -> Callable[[Rule[V]], Rule[V]]:
        """Say who may have to do with a `kind`: `def may(identity: Identity, order: Order) -> bool`.

        Asked about every row that a command or query fetches as a `kind`, or as a subclass of it, on anybody's behalf
        but the application's own. Only True lets it through. Otherwise a query for one thing ends as if it were not
        there (404), everything else as Denied (403). Not asked in subscriptions, which are the application's reaction
        to what was allowed before. Lists should be narrowed by their SQL, so that nothing is left to refuse.
        """

        def register(function: Rule[V]) -> Rule[V]:
            given: object = kind
            if not (isinstance(given, type) and issubclass(given, Value)):
                raise ConfigurationError(
                    f"@{self.name}.rule({kind!r}): a rule is about a Value, as rows are fetched", where=where(function)
                )
            if iscoroutinefunction(function):
                raise ConfigurationError(
                    f"@{self.name}.rule({kind.__name__}): a rule decides from what it is given; write def, "
                    "not async def",
                    where=where(function),
                )
            if kind in self.rules:
                raise ConfigurationError(
                    f"{kind.__name__} has a rule in module {self.name} already; write one that says both",
                    where=where(function),
                )
            self.rules[kind] = function
            return function

        return register

    def upcast(self, old: _Spec[M, R], to: _Spec[M2, R2]) -> Upcasts[M, R, M2, R2]:
        """Serve an older version of a command or query with the handler of a newer one.

            orders.upcast(PlaceOrderV1, PlaceOrder).by(up=..., down=...)

        It is one call: one transaction, the older version's deadline, and the newer version's idempotency key, so
        that a repeat through another version happens once too. Raises ConfigurationError.
        """
        before, after = contract_of(old), contract_of(to)  # type: ignore[arg-type]
        at = _caller()
        self._own(before, at)
        if before.message in self.upcasts:
            raise ConfigurationError(f"{before.wire_name} has an upcast already", where=at)
        upcast = self.upcasts[before.message] = Upcast(before, after, at)
        return Upcasts(upcast)

    def upcast_event(self, old: type[E], to: type[E2]) -> _UpcastEvent[E, E2]:
        """Deliver an older version of an event to subscribers of a newer one: `def up(old) -> new`.

        Subscriptions that handle the older version themselves go on to do so. The function is pure; an event for
        which it raises is a dead letter at once. Raises ConfigurationError.
        """

        def register(function: Callable[[E], E2]) -> Callable[[E], E2]:
            before, at = contract_of(old), where(function)
            self._own(before, at)
            if before.message in self.event_upcasts:
                raise ConfigurationError(f"{before.wire_name} has an upcast already", where=at)
            self.event_upcasts[before.message] = EventUpcast(before, contract_of(to), function, at)
            return function

        return register

    def projection(self, name: str, *, tables: Names, retry: Retry | None = None) -> Projection:
        """Declare a read model over `tables`, fed from the beginning and rebuildable while serving."""
        if not tables or isinstance(tables, str):
            raise ConfigurationError(
                f"projection {self.name}.{name}: tables= lists the tables it fills", where=self.where
            )
        return Projection(
            self._subscribe(name, start="beginning", retry=retry or Retry(), tables=tuple(tables), at=self.where)
        )

    def _subscribe(
        self, name: str, *, start: Start, retry: Retry, at: str, tables: tuple[str, ...] = ()
    ) -> Subscription:
        if not _NAME.fullmatch(name):
            raise ConfigurationError(f"subscription name {name!r}: use lower-case letters, digits and _", where=at)
        if start not in ("now", "beginning"):
            raise ConfigurationError(f"subscription {name}: start={start!r}; use 'now' or 'beginning'", where=at)
        subscription = Subscription(self.name, name, start=start, retry=retry, tables=tables)
        if subscription.name in self.subscriptions:
            raise ConfigurationError(
                f"two subscriptions are called {subscription.name}; give one of them name=", where=at
            )
        self.subscriptions[subscription.name] = subscription
        return subscription

    def _own(self, contract: Contract, at: str) -> None:
        if contract.module != self.name:
            raise ConfigurationError(
                f"module {self.name} cannot handle {contract.wire_name}: the first word of a contract's name is "
                f"the module that owns it; handle it in module {contract.module}, or rename the contract",
                where=at,
            )


def _caller() -> str:
    """Return `file:line` of whoever called a method of a module."""
    frame = sys._getframe(2)
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"


def _local_names() -> Mapping[str, Any]:
    """Return the locals of the function in which a decorator is being applied; nothing at module level."""
    frame = sys._getframe(2)
    return {} if frame.f_locals is frame.f_globals else frame.f_locals


def where(function: Callable[..., Any]) -> str:
    """Return `file:line` of a function, or its name when it has no source."""
    code = getattr(function, "__code__", None)
    return f"{code.co_filename}:{code.co_firstlineno}" if code else repr(function)

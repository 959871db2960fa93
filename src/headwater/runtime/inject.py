"""Injection: what a handler asks for, found once at start."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final, get_args, get_origin

from headwater.errors import InjectionError
from headwater.model.injection import Use
from headwater.model.module import Handler, where
from headwater.model.scope import Ctx, Tx, View

__all__ = ["CTX", "TX", "VIEW", "Plan", "Providers"]

CTX: Final = Ctx
TX: Final = Tx
VIEW: Final = View


class Plan:
    """How to call one handler: what each parameter after the message is.

    `slots` holds, in order, CTX, TX, VIEW or a `Use`. `positional`: none is keyword-only.
    """

    __slots__ = ("injected", "names", "positional", "slots", "sync")

    def __init__(self, names: tuple[str, ...], slots: tuple[Any, ...], *, sync: bool, positional: bool) -> None:
        self.names = names
        self.slots = slots
        self.sync = sync
        self.positional = positional
        self.injected = any(isinstance(s, Use) for s in slots)


def plan(handler: Handler, *, allowed: tuple[Any, ...]) -> Plan:
    """Read a handler's parameters. Raises InjectionError naming the handler, the parameter and the fix."""
    function = handler.function
    told = f"{function.__qualname__} ({handler.contract.wire_name})"
    parameters = list(inspect.signature(function).parameters.values())
    hints = _hints(function, told, handler.names)
    if not parameters:
        raise InjectionError(f"{told}: its first parameter takes the message", where=handler.where)
    _check_message(handler, hints.get(parameters[0].name), told)
    sync = not inspect.iscoroutinefunction(function)
    names: list[str] = []
    slots: list[Any] = []
    for parameter in parameters[1:]:
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise InjectionError(
                f"{told}: *{parameter.name} cannot be injected; name each parameter", where=handler.where
            )
        slot = _slot(hints.get(parameter.name))
        if slot is None:
            raise InjectionError(
                f"{told}: nobody provides parameter {parameter.name!r}; annotate it as Ctx, Tx, View or "
                "Annotated[T, Use(provider)]",
                where=handler.where,
            )
        if slot in (CTX, TX, VIEW):
            if slot not in allowed:
                raise InjectionError(
                    f"{told}: a {_kind(handler)} cannot take {slot.__name__}; it may take "
                    f"{', '.join(a.__name__ for a in allowed)} and Use(...)",
                    where=handler.where,
                )
            if sync:
                raise InjectionError(
                    f"{told}: a plain def runs in a thread and cannot take {slot.__name__}; write async def",
                    where=handler.where,
                )
        names.append(parameter.name)
        slots.append(slot)
    positional = all(p.kind is not p.KEYWORD_ONLY for p in parameters)
    return Plan(tuple(names), tuple(slots), sync=sync, positional=positional)


def _kind(handler: Handler) -> str:
    return "subscription" if handler.contract.kind == "event" else handler.contract.kind


def _check_message(handler: Handler, hint: Any, told: str) -> None:
    if hint is not None and hint is not handler.contract.message:
        raise InjectionError(
            f"{told}: its first parameter is annotated {getattr(hint, '__name__', hint)}, "
            f"the contract's message is {handler.contract.message.__name__}",
            where=handler.where,
        )


def _hints(function: Callable[..., Any], told: str, names: Mapping[str, Any]) -> dict[str, Any]:
    try:
        return typing.get_type_hints(function, localns=dict(names) or None, include_extras=True)
    except NameError as error:
        raise InjectionError(
            f"{told}: {error}; annotations are read at start, so import what they name outside TYPE_CHECKING",
            where=where(function),
        ) from None


def _slot(hint: Any) -> Any:
    if hint in (Ctx, Tx, View):
        return hint
    if get_origin(hint) is Annotated:
        for extra in get_args(hint)[1:]:
            if isinstance(extra, Use):
                return extra
    return None


class Providers:
    """The values behind `Use(...)`, each made once; closed in reverse order."""

    def __init__(self, replace: Mapping[Callable[..., Any], object]) -> None:
        self._values: dict[Callable[..., Any], Any] = dict(replace)
        self._open: list[Any] = []

    async def get(self, use: Use, handler: Handler) -> Any:
        """Return the provider's value, making it and what it needs first. Raises InjectionError."""
        return await self._make(use.provider, handler, ())

    async def _make(self, provider: Callable[..., Any], handler: Handler, path: tuple[Callable[..., Any], ...]) -> Any:
        if provider in self._values:
            return self._values[provider]
        told = f"{handler.function.__qualname__} ({handler.contract.wire_name})"
        if provider in path:
            circle = " -> ".join(p.__qualname__ for p in (*path[path.index(provider) :], provider))
            raise InjectionError(f"{told}: providers need each other in a circle: {circle}", where=handler.where)
        arguments: dict[str, Any] = {}
        hints = _hints(provider, told, handler.names)
        for name, parameter in inspect.signature(provider).parameters.items():
            slot = _slot(hints.get(name))
            if isinstance(slot, Use):
                arguments[name] = await self._make(slot.provider, handler, (*path, provider))
            elif parameter.default is parameter.empty:
                raise InjectionError(
                    f"{told}: provider {provider.__qualname__} asks for {name!r}, which nobody provides; "
                    "annotate it Annotated[T, Use(provider)] or give it a default",
                    where=where(provider),
                )
        value = await self._start(provider(**arguments))
        self._values[provider] = value
        return value

    async def _start(self, made: Any) -> Any:
        if inspect.isasyncgen(made):
            value = await anext(made)
        elif inspect.isgenerator(made):
            value = next(made)
        else:
            return await made if inspect.isawaitable(made) else made
        self._open.append(made)
        return value

    async def close(self) -> None:
        """Let generators clean up, last made first; the first error is raised when all had their turn."""
        errors: list[Exception] = []
        while self._open:
            made = self._open.pop()
            try:
                if inspect.isasyncgen(made):
                    await anext(made, None)
                else:
                    next(made, None)
            except Exception as error:
                errors.append(error)
        if errors:
            raise errors[0]

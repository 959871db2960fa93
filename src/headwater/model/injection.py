"""Injection markers: what a handler asks for beyond its message."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["Use"]


class Use:
    """Marks a parameter: `gateway: Annotated[Gateway, Use(make_gateway)]`.

    `provider` is called once for each application, at start. It may be a function, an async
    function, or an (async) generator that yields once and cleans up at stop; its own parameters are
    resolved the same way. A missing or circular dependency is an InjectionError naming the handler.
    """

    __slots__ = ("provider",)

    def __init__(self, provider: Callable[..., Any]) -> None:
        if not callable(provider):
            raise TypeError(f"Use() takes a function that makes the value, not {provider!r}")
        self.provider = provider

    def __repr__(self) -> str:
        return f"Use({getattr(self.provider, '__qualname__', self.provider)})"

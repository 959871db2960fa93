"""An application: a name, its modules, and what the outside world sees of them."""

from __future__ import annotations

import re
from collections.abc import Sequence

from headwater.errors import ConfigurationError
from headwater.model.api import Api
from headwater.model.module import Module
from headwater.model.pages import Pages

__all__ = ["App"]

_NAME = re.compile(r"[a-z][a-z0-9_-]*")


class App:
    """The whole application, as data. Nothing runs until a topology assembles it."""

    def __init__(
        self, name: str, *, modules: Sequence[Module], apis: Sequence[Api] = (), pages: Sequence[Pages] = ()
    ) -> None:
        if not _NAME.fullmatch(name):
            raise ConfigurationError(f"App({name!r}): use lower-case letters, digits, - and _, such as 'shop'")
        self.name = name
        self.modules = tuple(modules)
        self.apis = tuple(apis)
        self.pages = tuple(pages)
        for kind, names in (("modules", [m.name for m in self.modules]), ("apis", [a.name for a in self.apis])):
            for twice in {n for n in names if names.count(n) > 1}:
                raise ConfigurationError(f"App {name}: two {kind} are called {twice!r}")
        if not self.modules:
            raise ConfigurationError(f"App {name}: an application has at least one module")

    def __repr__(self) -> str:
        return f"<app {self.name}: {', '.join(m.name for m in self.modules)}>"

"""The files of a client package: one module for each API, and how they talk to the server."""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

from headwater.clientgen.layout import WIDTH, constant, docstring, identifier, listed, snake
from headwater.clientgen.shapes import Shapes
from headwater.errors import ConfigurationError
from headwater.model.api import Api, Route
from headwater.model.app import App
from headwater.model.blob import Blob

__all__ = ["MARK", "left_out", "sources", "write_client"]

MARK = "Written by `headwater client`; changes are lost when it is written again."
_SHARED: dict[str, list[str]] = {
    "outcomes": ["Failure", "FieldError", "NotExecuted", "OutcomeUnknown"], "routes": [],
    "transport": ["ApiClient", "Retries"],
}
"""The files that every client has, and what is public of them."""
_PACKAGE = re.compile(r"[a-z][a-z0-9_]*")


def write_client(app: App, folder: Path, *, name: str | None = None, apis: Sequence[str] = ()) -> list[Path]:
    """Write the package into `folder`; return its files.

    Raises ConfigurationError for an API that there is not, a type that cannot be written down, and a folder that
    holds something else.
    """
    package = name or f"{identifier(app.name, 'app')}_client"
    if not _PACKAGE.fullmatch(package):
        raise ConfigurationError(f"package name {package!r}: use lower-case letters, digits and _")
    target = folder / package
    old = sorted(target.glob("*.py")) if target.is_dir() else []
    foreign = [path.name for path in old if MARK not in path.read_text(encoding="utf-8")]
    if foreign or (target.exists() and not target.is_dir()):
        raise ConfigurationError(
            f"{target} holds {', '.join(foreign) or 'a file'}, which is no client: name another folder"
        )
    made = sources(app, package, apis)
    target.mkdir(parents=True, exist_ok=True)
    for path in old:
        if path.name not in made:
            path.unlink()
    for file, text in made.items():
        (target / file).write_text(text, encoding="utf-8")
    return [target / file for file in made]


def sources(app: App, package: str, names: Sequence[str] = ()) -> dict[str, str]:
    """Return the package's files by name; the same for the same application. Raises ConfigurationError."""
    known = {api.name: api for api in app.apis}
    for name in names:
        if name not in known:
            raise ConfigurationError(f"there is no API {name!r}; known: {', '.join(known) or 'none'}")
    apis = [api for api in app.apis if not names or api.name in names]
    if not apis:
        raise ConfigurationError(f"application {app.name} has no API; a client needs one")
    modules = {_module_name(api): api for api in apis}
    if len(modules) < len(apis):
        raise ConfigurationError(f"two of the APIs {', '.join(known)} give one module name; choose with --api")
    made = {"__init__.py": _init(app, package, modules), "py.typed": ""}
    made |= {f"{module}.py": _copied(module) for module in _SHARED}
    return made | {f"{module}.py": _module(app, api) for module, api in modules.items()}


def left_out(app: App, names: Sequence[str] = ()) -> list[Route]:
    """Return the routes that a client has no method for: files go in and out by other means."""
    return [r for api in app.apis if not names or api.name in names for r in api.routes if _is_file(r)]


def _is_file(route: Route) -> bool:
    return route.upload is not None or Blob in (route.contract.result, *getattr(route.contract.result, "__args__", ()))


def _module_name(api: Api) -> str:
    name = identifier(api.name, "api")
    return f"{name}_api" if name in _SHARED else name


def _copied(module: str) -> str:
    text = files("headwater.clientgen.template").joinpath(f"{module}.py").read_text(encoding="utf-8")
    text = re.sub(r"  # noqa: .*", "", text)  # a rule of this project is not one of the caller's
    head, _, rest = text.partition('\n"""\n')
    return f'{head}\n\n{MARK}\n"""\n{rest}'


def _init(app: App, package: str, modules: dict[str, Api]) -> str:
    imports = {module: names for module, names in _SHARED.items() if names}
    imports |= {module: [_class(api)] for module, api in modules.items()}
    names = sorted(name for found in imports.values() for name in found)
    lines = [f'"""A client of {app.name}.', "", MARK, '"""', ""]
    for module in sorted(imports):
        lines += _import(f".{module}", imports[module])
    return "\n".join([*lines, "", *listed("__all__ = [", [f'"{name}"' for name in names], "]", exploded=True), ""])


def _import(module: str, names: Sequence[str]) -> list[str]:
    ordered = sorted(names, key=lambda name: (not name.isupper(), not name[0].isupper(), name))
    line = f"from {module} import {', '.join(ordered)}"
    if len(line) <= WIDTH:
        return [line]
    return [f"from {module} import (", *(f"    {name}," for name in ordered), ")"]


def _class(api: Api) -> str:
    return "".join(word.capitalize() for word in identifier(api.name, "api").split("_"))


def _module(app: App, api: Api) -> str:
    shapes = Shapes()
    name = shapes.take(_class(api))
    for taken in ("Any", "ApiClient", "Enum", "Failure", "Literal", "Route", "Struct", "TypeAlias"):
        shapes.take(taken)
    methods = _Methods(shapes)
    for route in api.routes:
        if not _is_file(route):
            methods.add(route)
    shapes.imports |= {(".transport", "ApiClient"), (".routes", "Route")}
    blocks = [
        *shapes.values, *shapes.failures, "\n\n".join(methods.constants),
        "\n".join([f"class {name}(ApiClient):", f'    """The API {api.name} of {app.name}."""', *methods.lines]),
    ]
    head = [f'"""The API {api.name} of {app.name}: its messages, and a client.', "", MARK, '"""', ""]
    head += ["from __future__ import annotations", "", *_imports(shapes)]
    aliases = [f"\n{alias}" for alias in shapes.aliases]
    text = "\n".join([*head, *aliases]) + "\n\n\n" + "\n\n\n".join(block for block in blocks if block) + "\n"
    return re.sub(r"\n{4,}", "\n\n\n", text)


def _imports(shapes: Shapes) -> list[str]:
    grouped: dict[str, list[str]] = {}
    for module, name in shapes.imports:
        grouped.setdefault(module, []).append(name)
    lines: list[str] = []
    groups = (
        [m for m in grouped if m != "msgspec" and m[0] != "."], [m for m in grouped if m == "msgspec"],
        [m for m in grouped if m[0] == "."],
    )
    for group in groups:
        found = [line for module in sorted(group) for line in _import(module, grouped[module])]
        lines += [*found, ""] if found else []
    return lines[:-1]


class _Methods:
    """The routes' methods, each with what it is prepared from."""

    def __init__(self, shapes: Shapes) -> None:
        self.constants: list[str] = []
        self.lines: list[str] = []
        self._shapes = shapes
        self._taken: set[str] = {"aclose", "session_token"}

    def add(self, route: Route) -> None:
        """Write down one route."""
        contract, shapes = route.contract, self._shapes
        key = contract.idempotent if contract.kind == "command" else None
        message = shapes.struct(contract.message, key=key)
        result = shapes.text(contract.result, f"{message} result")
        fails = [shapes.failure(failure) for failure in contract.fails]
        method, number = snake(message), 2
        while method in self._taken:
            method, number = f"{snake(message)}_{number}", number + 1
        self._taken.add(method)
        prepared = constant(method)
        parts = [f'method="{route.method}"', f'path="{route.path}"', f"result={result}", f"within={contract.within!r}"]
        if fails:
            named = [f"{fails[0]},"] if len(fails) == 1 else fails
            parts.append("\n".join(listed("fails=(", named, ")", indent=4)).strip())
        if key is not None:
            parts.append(f'key="{key}"')
        self.constants.append("\n".join(listed(f"{prepared}: Route[{result}] = Route(", parts, ")", exploded=True)))
        own_key = contract.kind == "command" and key is None
        self._method(method, message, result, prepared, own_key=own_key, said=route.summary or contract.message.__doc__)

    def _method(self, name: str, message: str, result: str, prepared: str, *, own_key: bool, said: str | None) -> None:
        takes = ["self", f"message: {message}", "*", "within: float | None = None"]
        gives = [prepared, "message", "within=within"]
        if own_key:
            takes.append("key: str | None = None")
            gives.append("key=key")
        self.lines += [
            "", *listed(f"async def {name}(", takes, f") -> {result}:", indent=4, exploded=True),
            *docstring(said, indent=8, instead=f"Make the call {message}."),
            *listed("return await self._ask(", gives, ")", indent=8),
        ]

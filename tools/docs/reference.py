"""The reference, written from the code: public names, the command line, the topology file."""

from __future__ import annotations

import enum
import importlib
import inspect
import re
import types
import typing
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from typing import Any, get_args, get_origin

import click
import msgspec

from headwater.cli.main import _COMMANDS, cli
from headwater.topology.file import Topology

__all__ = ["reference_pages"]

MODULES = {
    "headwater": "What applications import.",
    "headwater.errors": "Everything that is raised.",
    "headwater.testing": "For tests. See [Testing](../testing.md).",
    "headwater.testing.world": "Simulation. See [Simulation](../concepts/simulation.md).",
    "headwater.ports": "What the inside needs from outside. For adapters of your own.",
}


BESIDES = {
    "headwater": {"Auth": "headwater.model.api", "Options": "headwater.model.api", "HttpCache": "headwater.model.web"},
}
"""What signatures name without being public themselves."""


def reference_pages() -> dict[str, str]:
    """Return the pages of the reference by name under docs/, in Markdown."""
    pages = {f"reference/{name}.md": _module(name, said) for name, said in MODULES.items()}
    pages["reference/cli.md"] = _cli()
    pages["reference/topology.md"] = _topology()
    lines = [f"* [`{name}`]({name}.md): {re.sub(r' See .*', '', said)}" for name, said in MODULES.items()]
    lines += ["* [The `headwater` command](cli.md)", "* [The topology file](topology.md)"]
    lines += ["* [Error codes](../errors/index.md)", ""]
    pages["reference/index.md"] = "# Reference\n\nWritten from the code and its docstrings.\n\n" + "\n".join(lines)
    return pages


# --- Python -------------------------------------------------------------------------------------------


def _module(name: str, said: str) -> str:
    module = importlib.import_module(name)
    parts = [f"# `{name}`", said]
    besides = BESIDES.get(name, {})
    for public in (*module.__all__, *besides):
        thing = getattr(importlib.import_module(besides.get(public, name)), public)
        parts += _class(public, thing) if inspect.isclass(thing) else _other(name, public, thing)
    return "\n\n".join(parts) + "\n"


def _class(name: str, thing: type) -> list[str]:
    bases = [b.__name__ for b in thing.__bases__ if b.__name__ not in ("object", "Protocol", "Generic", "Struct")]
    code = thing.__dict__.get("code")
    parts = [f"## {name}", _signature_block(_construct(name, thing))]
    if bases:
        parts.append(f"Extends {', '.join(f'`{b}`' for b in bases)}.")
    if isinstance(code, str):
        parts.append(f"Code: [`{code}`](../errors/{code}.md).")
    parts.append(_prose(thing.__doc__, _names(thing)))
    for member, attribute in _members(thing):
        title = f"{name}.{member}"
        if isinstance(attribute, property):
            parts += [f"### {title}", _prose(attribute.__doc__)]
        else:
            told = _prose(attribute.__doc__, set(inspect.signature(attribute).parameters))
            parts += [f"### {title}", _signature_block(*_signatures(member, attribute)), told]
    return [p for p in parts if p]


def _members(thing: type) -> Iterator[tuple[str, Any]]:
    """Yield public members in the order of the source, those of private bases too."""
    owners = [c for c in reversed(thing.__mro__) if c is thing or c.__name__.startswith("_")]
    for owner in owners:
        if owner.__module__.startswith("headwater"):
            for name, member in owner.__dict__.items():
                bare = member.__func__ if isinstance(member, (staticmethod, classmethod)) else member
                if not name.startswith("_") and (inspect.isfunction(bare) or isinstance(bare, property)):
                    yield name, bare


def _other(module: str, name: str, thing: Any) -> list[str]:
    if inspect.isfunction(thing):
        told = _prose(thing.__doc__, set(inspect.signature(thing).parameters))
        return [p for p in (f"## {name}", _signature_block(*_signatures(name, thing)), told) if p]
    if isinstance(thing, Mapping):
        rows = "\n".join(f"| `{key}` | {_cell(str(value))} |" for key, value in thing.items())
        return [f"## {name}", _comment_below(module, name, thing), f"| name | |\n|---|---|\n{rows}"]
    said = thing if isinstance(thing, (str, int, float, tuple)) else None
    shown = f"```python\n{name} = {said!r}\n```" if said is not None else ""
    return [p for p in (f"## {name}", shown or f"`{_type(thing)}`", _comment_below(module, name, thing)) if p]


def _comment_below(module: str, name: str, thing: Any) -> str:
    """Return the text literal below an assignment, which is where constants are described."""
    owner = getattr(thing, "__module__", None) or module
    for place in (type(thing).__module__, owner, module):
        source = inspect.getsource(importlib.import_module(place)) if place.startswith("headwater") else ""
        found = re.search(rf'^{name}\b[^\n]*=[^\n]*\n"""(.*?)"""', source, re.MULTILINE | re.DOTALL)
        if found:
            return _prose(found[1])
    return ""


def _construct(name: str, thing: type) -> str:
    if typing.is_typeddict(thing):
        said = ", ".join(f"{n}: {getattr(t, '__forward_arg__', t)}" for n, t in thing.__annotations__.items())
        return f"class {name}({said})"
    if issubclass(thing, (BaseException, enum.Enum)) or getattr(thing, "_is_protocol", False):
        return f"class {name}"
    if issubclass(thing, msgspec.Struct):
        fields = msgspec.structs.fields(thing)
        said = ", ".join(f"{f.name}: {_type(f.type)}" + ("" if f.required else " = ...") for f in fields)
        return f"class {name}({said})" if said else f"class {name}"
    return "class " + _signature(name, thing.__init__, drop_self=True).removesuffix(" -> None")


def _signatures(name: str, function: Any) -> list[str]:
    overloads = typing.get_overloads(function)
    return [_signature(name, f, drop_self=True) for f in (overloads or [function])]


def _signature(name: str, function: Any, *, drop_self: bool) -> str:
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return f"{name}(...)"
    parameters = list(signature.parameters.values())
    if drop_self and parameters and parameters[0].name in ("self", "cls"):
        parameters = parameters[1:]
    word = "async " if inspect.iscoroutinefunction(function) else ""
    parameters = [p.replace(annotation=_written(p.annotation)) for p in parameters]
    back = _written(signature.return_annotation)
    return f"{word}{name}{inspect.Signature(parameters, return_annotation=back)}"


class _Written(str):
    """An annotation as it stands in the source, without quotes around it."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def _written(annotation: Any) -> Any:
    return _Written(annotation) if isinstance(annotation, str) else annotation


def _signature_block(*signatures: str) -> str:
    return "```python\n" + "\n".join(_wrapped(s) for s in signatures) + "\n```"


def _wrapped(signature: str) -> str:
    if len(signature) <= 100:
        return signature
    head, _, rest = signature.partition("(")
    depth, pieces, piece = 0, [], ""
    for letter in rest:
        depth += letter in "([{"
        depth -= letter in ")]}"
        if depth < 0:
            break
        if letter == "," and depth == 0:
            pieces.append(piece.strip())
            piece = ""
        else:
            piece += letter
    tail = rest[rest.rfind(")") :]
    return f"{head}(\n" + "".join(f"    {p},\n" for p in (*pieces, piece.strip()) if p) + tail


def _names(thing: type) -> set[str]:
    """Return what a class's docstring may describe: its attributes and the parameters that make it."""
    made = getattr(inspect.getattr_static(thing, "__init__"), "__code__", None)
    own = {*getattr(thing, "__slots__", ()), *getattr(thing, "__annotations__", {})}
    return own | (set(made.co_varnames[: made.co_argcount + made.co_kwonlyargcount]) if made else set())


def _prose(doc: str | None, names: AbstractSet[str] = frozenset()) -> str:
    """Return a docstring as Markdown; its indented parts are code there too, and described names become a list."""
    paragraphs = inspect.cleandoc(doc).split("\n\n") if doc else []
    return "\n\n".join(_listed(p, names) for p in paragraphs)


def _listed(paragraph: str, names: AbstractSet[str]) -> str:
    """Turn `one: said. two, three: said.` into a list, when it begins with such a name."""
    found = re.finditer(r"(?:(?<=\s)|^)(\w+(?:, \w+)*): ", paragraph)
    heads = [match for match in found if set(match[1].split(", ")) <= names]
    if not heads or heads[0].start():
        return paragraph
    ends = [match.start() for match in heads[1:]] + [len(paragraph)]
    items = []
    for match, end in zip(heads, ends, strict=True):
        said = re.sub(r";$", ".", " ".join(paragraph[match.end() : end].split()))
        items.append(f"* {', '.join(f'`{n}`' for n in match[1].split(', '))}: {said}")
    return "\n".join(items)


def _type(kind: Any) -> str:
    if get_origin(kind) is typing.Annotated:
        inner, *marks = get_args(kind)
        said = "; ".join(str(m).removeprefix("msgspec.Meta") for m in marks)
        return f"{_type(inner)} {said}"
    if get_origin(kind) in (typing.Union, types.UnionType):
        return " | ".join("None" if k is type(None) else _type(k) for k in get_args(kind))
    text = kind.__name__ if isinstance(kind, type) and not get_args(kind) else str(kind)
    return re.sub(r"\b(typing|headwater(\.\w+)*)\.", "", text)


# --- the command line ---------------------------------------------------------------------------------


def _cli() -> str:
    parts = [
        "# The `headwater` command",
        "Commands print tables for people, and JSON with `--json`. Exit codes: 0 done, 1 a finding or refusal, 2 usage "
        "or configuration, 130 Ctrl-C. An error ends with its code and where to read on.",
        "## Options before the command",
        _options(cli),
    ]
    for name in _COMMANDS:
        command = cli.get_command(click.Context(cli), name)
        assert command is not None
        parts += _command(f"headwater {name}", command, 2)
    return "\n\n".join(p for p in parts if p) + "\n"


def _command(told: str, command: click.Command, level: int) -> list[str]:
    context = click.Context(command)
    arguments = "".join(f" {p.make_metavar(context)}" for p in command.params if isinstance(p, click.Argument))
    parts = [f"{'#' * level} {told}{arguments}", _prose(command.help), _options(command)]
    if isinstance(command, click.Group):
        for name, sub in sorted(command.commands.items()):
            parts += _command(f"{told} {name}", sub, level + 1)
    return parts


def _options(command: click.Command) -> str:
    rows = []
    for option in command.params:
        if isinstance(option, click.Option):
            names = ", ".join(f"`{n}`" for n in option.opts)
            metavar = "" if option.is_flag else f" `{option.make_metavar(click.Context(command))}`"
            default = f" Default: {option.default}." if option.show_default and not option.is_flag else ""
            rows.append(f"| {names}{_cell(metavar)} | {_cell(option.help or '')}{default} |")
    return "| option | |\n|---|---|\n" + "\n".join(rows) if rows else ""


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


# --- the topology file --------------------------------------------------------------------------------


def _topology() -> str:
    parts = [
        "# The topology file",
        "TOML. Every key is optional unless the table says otherwise. A key that does not exist is an error. See "
        "[Topology](../concepts/topology.md).",
    ]
    for section in msgspec.structs.fields(Topology):
        parts += _table(section.name, section.type)
    return "\n\n".join(p for p in parts if p) + "\n"


def _table(name: str, kind: Any) -> list[str]:
    rows, below = [], []
    for field in msgspec.structs.fields(kind):
        default = "needed" if field.required else f"`{_default(field)}`"
        rows.append(f"| `{field.name}` | `{_cell(_type(field.type))}` | {_cell(default)} |")
        for inner in (a for a in get_args(field.type) if isinstance(a, type) and issubclass(a, msgspec.Struct)):
            below += _table(f"{name}.{field.name}", inner)
    table = "| key | type | default |\n|---|---|---|\n" + "\n".join(rows)
    known = {field.name for field in msgspec.structs.fields(kind)}
    return [f"## [{name}]", _prose(kind.__doc__, known), table, *below]


def _default(field: Any) -> str:
    value = field.default if field.default is not msgspec.NODEFAULT else field.default_factory()
    return str(msgspec.json.encode(value).decode()) if value is not None else "none"

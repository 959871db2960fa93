"""Contracts' types as source of their own, with every type that they name, once."""

from __future__ import annotations

import re
from collections.abc import Callable
from enum import Enum
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

import msgspec

from headwater.clientgen.layout import docstring, listed
from headwater.errors import ConfigurationError
from headwater.model.blob import Blob
from headwater.model.message import Failure, annotated_base
from headwater.model.secret import Secret

__all__ = ["Shapes"]

_IMPORTED = {
    ("datetime", "date"), ("datetime", "datetime"), ("datetime", "time"), ("datetime", "timedelta"),
    ("decimal", "Decimal"), ("uuid", "UUID"),
}
_PLAIN = (str, int, float, bool, bytes)
_MANY = (tuple, list, set, frozenset, dict)


class Shapes:
    """Collects what one module has to define. `aliases`, `values` and `failures` are source, in order of first use."""

    def __init__(self) -> None:
        self.imports: set[tuple[str, str]] = set()
        self.aliases: list[str] = []
        self.values: list[str] = []
        self.failures: list[str] = []
        self._names: dict[Any, str] = {}
        self._taken: set[str] = set()

    def take(self, name: str) -> str:
        """Return the name, or with a number where it is taken."""
        free, number = name, 2
        while free in self._taken:
            free, number = f"{name}{number}", number + 1
        self._taken.add(free)
        return free

    def text(self, hint: Any, told: str) -> str:
        """Return a type as it is written down; `told` names it, and names what is made for it."""
        bare = annotated_base(hint)
        if bare is None or bare is NoneType:
            return "None"
        if bare in _PLAIN:
            return str(bare.__name__)
        if bare is Any:
            self.imports.add(("typing", "Any"))
            return "Any"
        home = (getattr(bare, "__module__", ""), getattr(bare, "__name__", ""))
        if home in _IMPORTED:
            self.imports.add(home)
            return home[1]
        origin = get_origin(bare)
        if origin in (Union, UnionType):
            return " | ".join(dict.fromkeys(self.text(one, told) for one in get_args(bare)))
        if origin is Literal:
            return self._once((Literal, get_args(bare)), _title(told), lambda name: self._literal(name, bare))
        if (origin or bare) in _MANY:
            return self._many(origin or bare, get_args(bare), told)
        return self._own(bare, origin, told)

    def _many(self, kind: Any, arguments: tuple[Any, ...], told: str) -> str:
        inner = ["..." if one is ... else self.text(one, told) for one in arguments]
        if not arguments:
            self.imports.add(("typing", "Any"))
            inner = {tuple: ["Any", "..."], dict: ["Any", "Any"]}.get(kind, ["Any"])
        return f"{kind.__name__}[{', '.join(inner)}]"

    def _own(self, bare: Any, origin: Any, told: str) -> str:
        kind = origin or bare
        if kind is Secret:
            return "str"
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct) and kind is not Blob:
            return self.struct(bare)
        if isinstance(kind, type) and issubclass(kind, Enum):
            return self._once(kind, kind.__name__, lambda name: self._enum(name, kind))
        behind = getattr(kind, "__supertype__", None)  # of a NewType
        if behind is not None:
            return self.text(behind, told)
        raise ConfigurationError(
            f"{told}: a client cannot be written for {bare!r}: use Values, plain types and collections of them, or "
            "leave the route's API out with --api"
        )

    def _once(self, key: Any, name: str, write: Callable[[str], None]) -> str:
        if key not in self._names:
            self._names[key] = self.take(name)
            write(self._names[key])
        return self._names[key]

    def _literal(self, name: str, hint: Any) -> None:
        self.imports |= {("typing", "Literal"), ("typing", "TypeAlias")}
        said = [_quoted(value) for value in get_args(hint)]
        self.aliases.append("\n".join(listed(f"{name}: TypeAlias = Literal[", said, "]")))

    def _enum(self, name: str, kind: type[Enum]) -> None:
        self.imports.add(("enum", "Enum"))
        members = [f"    {member.name} = {_quoted(member.value)}" for member in kind]
        own = docstring(kind.__doc__, indent=4, instead=f"One of the {name}s.")
        self.aliases.append("\n".join(["", f"class {name}(Enum):", *own, "", *members, ""]))

    # --- structs ------------------------------------------------------------------------------

    def struct(self, kind: Any, *, key: str | None = None) -> str:
        """Define a struct; return its name. key: the field that gets a new idempotency key unless it is given."""
        origin = get_origin(kind) or kind
        name = "".join(_title(str(getattr(one, "__name__", "Any"))) for one in (*get_args(kind), origin))
        return self._once(kind, name, lambda name: self._struct(name, kind, origin, key))

    def _struct(self, name: str, kind: Any, origin: Any, key: str | None) -> None:
        self.imports.add(("msgspec", "Struct"))
        config = origin.__struct_config__
        options = ["Struct", "frozen=True", "kw_only=True"]
        if config.tag is not None:
            options += [f"tag={_quoted(config.tag)}", f"tag_field={_quoted(config.tag_field)}"]
        fields = [self._field(name, field, key) for field in msgspec.structs.fields(kind)]
        said = [
            *listed(f"class {name}(", options, "):"),
            *docstring(origin.__doc__, indent=4, instead=f"{name}, as the server knows it."),
        ]
        self.values.append("\n".join([*said, *([""] if fields else []), *fields]))

    def _field(self, owner: str, field: Any, key: str | None) -> str:
        if isinstance(field.type, TypeVar):
            raise ConfigurationError(f"{owner}.{field.name}: name what it is of, such as {owner}[Product]")
        hint = self.text(field.type, f"{owner} {field.name}")
        renamed = [f'name="{field.encode_name}"'] if field.encode_name != field.name else []
        default = self._default(field, hint)
        if field.name == key and hint == "str":
            default = ["default_factory=new_key"]
            self.imports.add((".routes", "new_key"))
        elif default is None:  # the server knows it: what is not said is not sent
            hint, default = f"{hint} | UnsetType", ["default=UNSET"]
            self.imports |= {("msgspec", "UNSET"), ("msgspec", "UnsetType")}
        if not renamed and (not default or default[0].startswith("default=")):
            return f"    {field.name}: {hint}" + "".join(f" = {one.removeprefix('default=')}" for one in default)
        self.imports.add(("msgspec", "field"))
        return "\n".join(listed(f"{field.name}: {hint} = field(", [*renamed, *default], ")", indent=4))

    def _default(self, field: Any, hint: str) -> list[str] | None:
        """Return how a default is written; nothing for a required field, None where it cannot be written."""
        if field.required:
            return []
        if field.default_factory in (list, dict, set):
            return [f"default_factory={hint}"]
        if field.default is None or (type(field.default) in _PLAIN and not isinstance(field.default, bytes)):
            return [f"default={_quoted(field.default)}"]
        return ["default=()"] if field.default == () else None

    def failure(self, kind: type[Failure]) -> str:
        """Define a failure; return its name."""
        return self._once(kind, kind.__name__, lambda name: self._failure(name, kind))

    def _failure(self, name: str, kind: type[Failure]) -> None:
        self.imports.add((".outcomes", "Failure"))
        wire = kind.__failure_name__
        bases = ["Failure"] if wire == name else ["Failure", f"name={_quoted(wire)}"]
        fields = [self._field(name, field, None) for field in msgspec.structs.fields(kind.__failure_fields__)]
        said = [
            *listed(f"class {name}(", bases, "):"),
            *docstring(kind.__doc__, indent=4, instead=f"The server refuses: {wire}."),
        ]
        self.failures.append("\n".join([*said, *([""] if fields else []), *fields]))


def _title(told: str) -> str:
    return "".join(word[:1].upper() + word[1:] for word in re.split(r"[\W_]+", told) if word)


def _quoted(value: Any) -> str:
    if isinstance(value, str):
        text = msgspec.json.encode(value).decode().replace("\x7f", "\\u007f")
        return text if '\\"' not in text or "'" in value else repr(value)
    return repr(value)

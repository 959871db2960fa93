"""What the types of a contract allow the runtime to skip."""

from __future__ import annotations

from typing import Any, get_origin

import msgspec
from msgspec import inspect as shape

from headwater.errors import ConfigurationError
from headwater.model.secret import Secret

__all__ = ["needs_check", "refuse_secrets", "shareable"]

_CONSTRAINED = ("gt", "ge", "lt", "le", "multiple_of", "min_length", "max_length", "pattern")
_LEAVES = (
    shape.NoneType, shape.BoolType, shape.IntType, shape.FloatType, shape.StrType, shape.BytesType,
    shape.DateTimeType, shape.TimeType, shape.DateType, shape.TimeDeltaType, shape.UUIDType,
    shape.DecimalType, shape.EnumType, shape.LiteralType,
)


def shareable(kind: Any) -> bool:
    """Whether values of a type may be handed over without a copy.

    They may when they are immutable all the way down and only decoding has nothing left to check.
    """
    return _walk(msgspec.inspect.type_info(kind), immutable=True, seen=[])


def needs_check(kind: Any) -> bool:
    """Whether decoding a type can refuse what a type checker accepts: a constraint, or a foreign type."""
    return not _walk(msgspec.inspect.type_info(kind), immutable=False, seen=[])


def refuse_secrets(kind: Any, what: str) -> None:
    """Raise ConfigurationError when a type that is stored or answered can hold a Secret."""
    if kind is not None and _holds_secret(msgspec.inspect.type_info(kind), []):
        raise ConfigurationError(
            f"{what} holds a Secret, and what is stored or answered must not: put it into a field of a command or "
            "query only, or keep a digest of it"
        )


def _holds_secret(info: Any, seen: list[Any]) -> bool:
    if isinstance(info, shape.CustomType):
        return issubclass(info.cls, Secret)
    if isinstance(info, shape.StructType):
        if info.cls in seen:
            return False
        seen.append(info.cls)
        return any(_holds_secret(field.type, seen) for field in info.fields)
    inner = [getattr(info, name, None) for name in ("type", "item_type", "key_type", "value_type")]
    inner += [*getattr(info, "types", ()), *getattr(info, "item_types", ())]
    return any(_holds_secret(one, seen) for one in inner if isinstance(one, shape.Type))


def _walk(info: Any, *, immutable: bool, seen: list[Any]) -> bool:
    if any(getattr(info, name, None) is not None for name in _CONSTRAINED):
        return False
    if isinstance(info, _LEAVES):
        return True
    if isinstance(info, shape.UnionType):
        return all(_walk(t, immutable=immutable, seen=seen) for t in info.types)
    if isinstance(info, shape.TupleType):
        return all(_walk(t, immutable=immutable, seen=seen) for t in info.item_types)
    if isinstance(info, (shape.VarTupleType, shape.FrozenSetType)):
        return _walk(info.item_type, immutable=immutable, seen=seen)
    if isinstance(info, (shape.ListType, shape.SetType)):
        return not immutable and _walk(info.item_type, immutable=immutable, seen=seen)
    if isinstance(info, shape.DictType):
        return not immutable and all(
            _walk(t, immutable=immutable, seen=seen) for t in (info.key_type, info.value_type)
        )
    if isinstance(info, shape.StructType):
        if info.cls in seen:
            return True
        seen.append(info.cls)
        if immutable and not (get_origin(info.cls) or info.cls).__struct_config__.frozen:
            return False
        return all(_walk(f.type, immutable=immutable, seen=seen) for f in info.fields)
    return False

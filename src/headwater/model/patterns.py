"""Regular expressions of fields: what comes from outside is only matched when it is short."""

from __future__ import annotations

from typing import Any

from msgspec import inspect

from headwater.errors import ContractError

__all__ = ["check_patterns"]


def check_patterns(message: type[Any]) -> None:
    """Raise ContractError for a field with a pattern and no `max_length`, in the message or in what it holds.

    Python's expressions can take time that grows with a power of the text's length, or worse; the length is checked
    first, so a limit on it is one on the time too.
    """
    seen: set[type] = set()
    waiting: list[tuple[str, Any]] = [(message.__name__, inspect.type_info(message))]
    while waiting:
        told, found = waiting.pop()
        if isinstance(found, inspect.StrType) and found.pattern is not None and found.max_length is None:
            raise ContractError(
                f"{told}: pattern={found.pattern!r} without max_length: a long text could take for ever to match; "
                "write Meta(pattern=..., max_length=...)"
            )
        if isinstance(found, inspect.StructType):
            if found.cls not in seen:
                seen.add(found.cls)
                waiting += [(f"{found.cls.__name__}.{field.name}", field.type) for field in found.fields]
        elif isinstance(found, inspect.UnionType):
            waiting += [(told, one) for one in found.types]
        elif isinstance(found, inspect.DictType):
            waiting += [(told, found.key_type), (told, found.value_type)]
        elif isinstance(found, inspect.TupleType):
            waiting += [(told, one) for one in found.item_types]
        elif isinstance(found, inspect.CollectionType):
            waiting.append((told, found.item_type))
        elif isinstance(found, inspect.Metadata):
            waiting.append((told, found.type))

"""Rows to types and back: a `Value` from named columns, or a scalar from one column.

Stored kinds are None, int, float, str and bytes. Everything else has one written form: bool as 0/1,
dates, Decimal, UUID and enums as msgspec writes them, Values and collections as JSON text.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

import msgspec

from headwater.errors import QueryError
from headwater.model.codec import to_json
from headwater.model.message import annotated_base
from headwater.ports import Row

__all__ = ["reader", "stored"]

_PLAIN = frozenset({NoneType, int, float, str, bytes})
_JSON_NEVER = (int, float, str, bytes, bool, NoneType)


def stored(params: Mapping[str, object]) -> Mapping[str, object]:
    """Return the parameters in stored kinds; the same mapping when nothing had to change."""
    for value in params.values():
        if type(value) not in _PLAIN:
            return {name: _store(name, value) for name, value in params.items()}
    return params


def _store(name: str, value: object) -> object:
    if type(value) in _PLAIN:
        return value
    if isinstance(value, bool):
        return int(value)
    try:
        plain = msgspec.to_builtins(value)
        return plain if type(plain) in _PLAIN else to_json(value).decode()
    except (TypeError, NotImplementedError) as error:
        raise QueryError(f"parameter :{name} is a {type(value).__name__}, which cannot be stored: {error}") from None


def reader(kind: Any, columns: Sequence[str], sql: str) -> Callable[[Row], Any]:
    """Return a function from a row to a `kind`. Raises QueryError when the columns cannot fit."""
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return _struct_reader(kind, columns, sql)
    if len(columns) != 1:
        raise QueryError(
            f"{_name(kind)} takes one column, the statement answers with {len(columns)} "
            f"({', '.join(columns)}): {_short(sql)}"
        )
    prepare = _prepare(kind)

    def scalar(row: Row) -> Any:
        value = row[0] if prepare is None else prepare(row[0])
        if type(value) is kind:
            return value
        return _convert(value, kind, sql)

    return scalar


def _struct_reader(kind: type[msgspec.Struct], columns: Sequence[str], sql: str) -> Callable[[Row], Any]:
    fields = {f.encode_name: f for f in msgspec.structs.fields(kind)}
    if len(set(columns)) != len(columns):
        raise QueryError(f"{kind.__name__}: two columns have one name: {', '.join(columns)}: {_short(sql)}")
    unknown = [c for c in columns if c not in fields]
    missing = [n for n, f in fields.items() if f.required and n not in columns]
    if unknown or missing:
        said = [f"columns it does not have: {', '.join(unknown)}"] if unknown else []
        said += [f"fields that no column fills: {', '.join(missing)}"] if missing else []
        raise QueryError(f"{kind.__name__} does not fit the statement ({'; '.join(said)}): {_short(sql)}")
    prepares = [(c, p) for c in columns if (p := _prepare(fields[c].type)) is not None]
    names = tuple(columns)

    def struct(row: Row) -> Any:
        data = dict(zip(names, row, strict=True))
        for column, prepare in prepares:
            data[column] = prepare(data[column])
        return _convert(data, kind, sql)

    return struct


def _prepare(hint: Any) -> Callable[[Any], Any] | None:
    """Return what a stored value needs before msgspec converts it, None when nothing."""
    bare = annotated_base(hint)
    options = get_args(bare) if get_origin(bare) in (Union, UnionType) else (bare,)
    kinds = [annotated_base(o) for o in options if o is not NoneType]
    if kinds == [bool]:
        return lambda value: bool(value) if value in (0, 1) and value is not None else value
    if any(get_origin(k) not in (None, Literal) or _is_object(k) for k in kinds):
        return lambda value: msgspec.json.decode(value) if isinstance(value, (str, bytes)) else value
    return None


def _is_object(kind: Any) -> bool:
    if not isinstance(kind, type) or issubclass(kind, _JSON_NEVER):
        return False
    return issubclass(kind, (msgspec.Struct, dict, list, tuple, set, frozenset)) or hasattr(kind, "model_validate")


def _load_foreign(kind: Any, data: Any) -> Any:
    return kind.model_validate(data)


def _convert(data: Any, kind: Any, sql: str) -> Any:
    try:
        return msgspec.convert(data, kind, builtin_types=(bytes,), dec_hook=_load_foreign)
    except (msgspec.MsgspecError, ValueError) as error:
        raise QueryError(f"a row does not fit {_name(kind)}: {error}: {_short(sql)}") from None


def _name(kind: Any) -> str:
    return getattr(kind, "__name__", str(kind))


def _short(sql: str) -> str:
    text = " ".join(sql.split())
    return text if len(text) <= 120 else text[:117] + "..."

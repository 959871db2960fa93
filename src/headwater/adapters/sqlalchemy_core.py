"""SQLAlchemy Core statements, compiled once and run on our own driver (extra `sql`).

SQLAlchemy writes the SQL; it never executes it. A statement's shape is compiled once and remembered
by SQLAlchemy's own cache key; its values are taken from the statement each time.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from headwater.errors import MissingExtra, QueryError

__all__ = ["Compiler"]

SHAPES_MOST = 1024


class Compiler:
    """Turns statements into SQL with named parameters. Raises QueryError for what is no statement."""

    def __init__(self) -> None:
        try:
            from sqlalchemy.dialects.sqlite.base import SQLiteDialect
            from sqlalchemy.sql.elements import ClauseElement
        except ImportError:
            raise MissingExtra("running SQLAlchemy statements", "sql") from None
        self._dialect = SQLiteDialect(paramstyle="named")
        self._kind = ClauseElement
        self._compiled: dict[Any, Any] = {}

    def compile(self, statement: object) -> tuple[str, Mapping[str, object]]:
        """Return the SQL and the values that the statement itself carries.

        Parameters made with `bindparam("name")` and no value are left for the caller to fill.
        """
        if not isinstance(statement, self._kind):
            raise QueryError(
                f"SQL is text with :named parameters, or a SQLAlchemy Core statement, not {type(statement).__name__}"
            )
        key: Any = statement._generate_cache_key()
        compiled = None if key is None else self._compiled.get(key.key)
        if compiled is None:
            made: Any = statement
            compiled = self._dialect.statement_compiler(self._dialect, made, cache_key=key)
            if key is not None:
                if len(self._compiled) >= SHAPES_MOST:
                    self._compiled.clear()
                self._compiled[key.key] = compiled
        extracted = None if key is None else key.bindparams
        values = dict(compiled.construct_params(extracted_parameters=extracted, _check=False))
        left_open = {compiled.bind_names[bind] for bind in compiled.binds.values() if bind.required}
        sql = str(compiled)
        if compiled.post_compile_params:  # IN (...): as many parameters as there are values today
            expanded = compiled._process_parameters_for_postcompile(values)
            sql, values = expanded.statement, dict(expanded.additional_parameters)
        return sql, {name: value for name, value in values.items() if name not in left_open}

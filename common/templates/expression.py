"""An expression over the columns of a row: checked when read, computed row by row."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

from common.cells import kind_of
from common.errors import RowError
from common.templates.budget import TemplateTooLarge

MOST_TEXT = 10_000
"""Most characters of an expression."""


class ColumnUnknown(RowError):
    """An expression cannot be computed for a row, and a column that it uses is missing there or is None."""


class RowExpression:
    """An expression of Jinja2, in the sandbox and within the limits of templates.

    Raises:
        ValueError: it is not a valid expression, is too large, or uses no column.
    """

    def __init__(self, source: str) -> None:
        from jinja2 import TemplateSyntaxError

        from common.templates.environment import BoundedEnvironment

        if len(source) > MOST_TEXT:
            raise ValueError(f"an expression has at most {MOST_TEXT:,} characters")
        self.source = source
        self._environment = BoundedEnvironment(_unchanged)
        try:
            self._compute = self._environment.compile_expression(source, undefined_to_none=False)
        except TemplateSyntaxError as error:
            raise ValueError(f"'{source}' is not an expression over columns: {error.message}") from None
        except (RecursionError, SyntaxError, MemoryError):
            raise ValueError("the expression is nested too deeply; write it flatter") from None
        if not self.columns:
            raise ValueError(f"'{source}' uses no column, so it is the same for every row; write score >= 4")

    @cached_property
    def columns(self) -> list[str]:
        """The columns that it uses, sorted."""
        from jinja2 import meta

        return sorted(meta.find_undeclared_variables(self._environment.parse("{{ (" + self.source + "\n) }}")))

    def holds(self, row: Mapping[str, Any]) -> bool:
        """Whether it is true of a row.

        Raises:
            ColumnUnknown: it cannot be computed, and a column that it uses is missing or None.
            RowError: it cannot be computed, is neither true nor false, or exceeds the limits of templates.
        """
        budget = self._environment.budget
        budget.start(row)
        try:
            found = self._compute(row)
            if isinstance(found, bool):
                return found
            bool(found)  # raises for a column that is missing
        except TemplateTooLarge:
            raise
        except Exception as error:  # an expression may call and compute anything
            raise self._failed(row, str(error) or type(error).__name__) from None
        finally:
            budget.end()
        raise self._failed(row, f"it is {kind_of(found)}, neither true nor false; compare it, or test 'is not none'")

    def _failed(self, row: Mapping[str, Any], why: str) -> RowError:
        unknown = [
            f"column '{column}' is {'None' if column in row else 'missing'}"
            for column in self.columns
            if row.get(column) is None
        ]
        known = [f"column '{column}' holds {kind_of(row[column])}" for column in self.columns if column in row]
        message = "; ".join([f"expression '{self.source}': {why}", *(unknown or known)])
        return ColumnUnknown(message) if unknown else RowError(message)


def _unchanged(value: Any) -> Any:
    return value

"""`skip_when`: which rows pass a step by, and what they are after it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

from common.errors import RowError
from common.steps.base import BaseStep, Row
from common.steps.mappings import output_name
from common.templates.expression import RowExpression


class SkipRule:
    """The `skip_when` of a step. Rows have the names of the pipeline here: mappings concern only what the step sees.

    Args:
        step: has a `skip_when`.
    """

    def __init__(self, step: BaseStep) -> None:
        assert step.skip_when is not None
        self._step = step
        self._expression = RowExpression(step.skip_when)

    @classmethod
    def of(cls, step: BaseStep) -> SkipRule | None:
        """None if every row is for the step."""
        return None if step.skip_when is None else cls(step)

    @property
    def columns(self) -> list[str]:
        """The columns that the expression uses, sorted."""
        return self._expression.columns

    def skips(self, row: Mapping[str, Any]) -> bool:
        """Whether a row passes the step by.

        Raises:
            RowError: this cannot be said of the row; see `RowExpression.holds`.
        """
        try:
            return self._expression.holds(row)
        except RowError as error:
            raise RowError(f"skip_when: {error}") from None

    def passed(self, row: Row) -> Row:
        """The row behind the step: unchanged, and None in the step's output columns that it does not have."""
        return {**row, **{column: None for column in self._outputs if column not in row}}

    @cached_property
    def _outputs(self) -> list[str]:
        """Named as behind the step; found with the first row, when the step is loaded."""
        return [output_name(self._step, column) for column in self._step.outputs]

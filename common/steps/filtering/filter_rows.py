"""FilterRows: keeps the rows of which an expression is true."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field, PrivateAttr, field_validator

from common.errors import RowError
from common.steps.base import Row, Step, StepInput, StepOutput
from common.templates.expression import ColumnUnknown, RowExpression


class FilterRows(Step):
    """Keeps the rows of which `condition` is true, and leaves the others out.

    The condition is an expression over columns, in Jinja2's sandbox: `score >= 4 and language == 'en'`
    or `text | length > 100`. Its value must be true or false. A row of which it cannot be computed fails, and the error
    names the columns that are missing or None; `on_missing` says otherwise. A column whose name cannot stand in an
    expression gets another one by `input_mappings`.

    Rows left out are no failed rows: they are those of the step's rows in that are neither rows out nor failed.
    """

    _version: ClassVar[int] = 1

    final_errors = (RowError,)

    condition: str = Field(min_length=1, description="True of the rows to keep.")
    on_missing: Literal["fail", "drop", "keep"] = Field(
        default="fail",
        description="For a row of which it cannot be computed because a column is missing or None.",
    )

    _expression: RowExpression = PrivateAttr()

    @field_validator("condition")
    @classmethod
    def _is_an_expression(cls, condition: str) -> str:
        RowExpression(condition)
        return condition

    def model_post_init(self, context: Any) -> None:
        """Compiles the condition."""
        self._expression = RowExpression(self.condition)
        super().model_post_init(context)

    @property
    def inputs(self) -> dict[str, bool]:
        """The columns of the condition; optional if `on_missing` says what becomes of a row without one."""
        return dict.fromkeys(self._expression.columns, self.on_missing == "fail")

    def process(self, inputs: StepInput) -> StepOutput:
        yield [row for row in inputs if self._keeps(row)]

    def _keeps(self, row: Row) -> bool:
        try:
            return self._expression.holds(row)
        except ColumnUnknown:
            if self.on_missing == "fail":
                raise
            return self.on_missing == "keep"

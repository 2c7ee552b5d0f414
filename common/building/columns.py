"""The columns that a step declares, and the message if one of them is missing."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Literal

from common.errors import SpecFault
from common.steps.base import BaseStep, GeneratorStep, StepColumns
from common.steps.mappings import output_names
from common.words.faults import LISTED_NAMES, nearest


def declared_columns(step: BaseStep, which: Literal["inputs", "outputs"]) -> dict[str, bool]:
    """Column -> is it required.

    Raises:
        SpecFault: the step's own property raises.
    """
    try:
        columns: StepColumns = getattr(step, which)
        return dict(columns) if isinstance(columns, Mapping) else dict.fromkeys(columns, True)
    except Exception as error:  # any error in the user's own property
        raise broken_columns(step, which, error) from error


def promised_columns(step: BaseStep) -> frozenset[str]:
    """The columns of every row that leaves the step, by the row's own names.

    Raises:
        SpecFault: the step's own property raises.
    """
    if isinstance(step, GeneratorStep) and step.outputs_of_the_data:
        return frozenset()
    outputs = declared_columns(step, "outputs")
    leaving = leaving_columns(step, set())
    if leaving is None:
        return frozenset()
    return frozenset(output_names(step, [column for column, always in outputs.items() if always]) & leaving)


def leaving_columns(step: BaseStep, available: set[str] | None) -> set[str] | None:
    """The columns that the step says leave it if `available` enter it; see `BaseStep.output_columns`.

    Raises:
        SpecFault: the step's own method raises.
    """
    try:
        return step.output_columns(available)
    except Exception as error:  # any error in the user's own method
        raise broken_columns(step, "output_columns", error) from error


def broken_columns(step: BaseStep, which: str, error: Exception) -> SpecFault:
    """The fault of a step that cannot tell its columns."""
    return SpecFault(
        f"step '{step.name}': {type(step).__name__}.{which} raised {type(error).__name__}: {error}",
        ("steps", step.name),
    )


def needed_column(step: BaseStep, column: str) -> str:
    """`column 'text'`, or `column 'body' (as 'text')` where an input mapping says so."""
    source = step.input_mappings.get(column, column)
    return f"column '{source}'" + (f" (as '{column}')" if source != column else "")


def column_remedy(step: BaseStep, column: str, there: Collection[str]) -> str:
    """The end of a message about a column that `step` needs and `there` lacks."""
    if close := nearest(step.input_mappings.get(column, column), there):
        return f"; did you mean '{close}'? (input_mappings: {{{column}: {close}}})"
    if there:
        names = ", ".join(sorted(there)[:LISTED_NAMES]) + (", ..." if len(there) > LISTED_NAMES else "")
        return f"; there are {names}; map one of them with input_mappings: {{{column}: ...}}"
    return ""

"""Checks which columns arrive where: every column that a step needs must be in the rows that it gets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from common.building.columns import column_remedy, declared_columns, leaving_columns, needed_column
from common.errors import SpecFault
from common.steps.base import BaseStep
from common.steps.mappings import output_name
from common.steps.skip_rule import SkipRule
from common.words.faults import hint

Columns = set[str] | None
"""None: they depend on data that has not been read yet."""


@dataclass(frozen=True, slots=True)
class _Flow:
    taken: Columns
    given: Columns


def check_columns(steps: Mapping[str, BaseStep], predecessors: Mapping[str, Sequence[str]]) -> dict[str, Columns]:
    """Follows the columns through the graph.

    Args:
        steps: in an order in which each step comes after its predecessors.

    Returns:
        The columns that leave each step; None if they depend on the data.

    Raises:
        SpecFault: a mapping names a column that the step does not have, or a step or its `skip_when` needs a column
            that no earlier step provides or that one of them drops.
    """
    flows: dict[str, _Flow] = {}
    for name, step in steps.items():
        before = predecessors[name]
        taken = _union([flows[other].given for other in before])
        inputs, outputs = declared_columns(step, "inputs"), declared_columns(step, "outputs")
        _check_mappings(step, inputs, outputs, leaving_columns(step, set()))
        if before and taken is not None:
            for column, required in inputs.items():
                if required and step.input_mappings.get(column, column) not in taken:
                    raise _missing(step, column, taken, flows, predecessors)
            for column in SkipRule(step).columns if step.skip_when is not None else ():
                if column not in taken:
                    raise _missing_in_rule(step, column, taken, flows, predecessors)
        flows[name] = _Flow(taken, leaving_columns(step, taken if before else set()))
    return {name: flow.given for name, flow in flows.items()}


def _union(columns: Sequence[Columns]) -> Columns:
    """A join sees the columns of all its predecessors, each in separate rows."""
    union: set[str] = set()
    for some in columns:
        if some is None:
            return None
        union |= some
    return union


def _check_mappings(step: BaseStep, inputs: Mapping[str, bool], outputs: Mapping[str, bool], alone: Columns) -> None:
    """`alone`: the columns that leave the step when none enter it; None if they depend on the data."""
    sides = [("input_mappings", "reads", step.input_mappings, inputs)]
    if alone is not None:
        sides.append(("output_mappings", "writes", step.output_mappings, outputs))
    for field, verb, mapping, columns in sides:
        for column in mapping:
            if column not in columns:
                what = f"{type(step).__name__} {verb} no column '{column}'"
                raise SpecFault(
                    f"step '{step.name}': {what}{hint(column, columns, f'it {verb}')}",
                    ("steps", step.name, field, column),
                )
    named: dict[str, str] = {}
    written = outputs if alone is not None else step.output_mappings
    for column in written:
        name = output_name(step, column)
        if (other := named.setdefault(name, column)) != column:
            raise SpecFault(
                f"step '{step.name}' gives the columns '{other}' and '{column}' the same name, '{name}', so one would "
                "be lost; rename one of them",
                ("steps", step.name, "output_mappings", column if column in step.output_mappings else other),
            )


def _missing(
    step: BaseStep, column: str, taken: set[str], flows: Mapping[str, _Flow], predecessors: Mapping[str, Sequence[str]]
) -> SpecFault:
    source = step.input_mappings.get(column, column)
    needs = f"step '{step.name}' needs {needed_column(step, column)}"
    loc = ("steps", step.name, "input_mappings", column) if source != column else ("steps", step.name)
    if dropper := _dropper(step.name, source, flows, predecessors):
        return SpecFault(f"{needs}, which step '{dropper}' drops; let '{dropper}' keep it", loc)
    remedy = column_remedy(step, column, taken) or "; no earlier step declares columns in its `outputs`"
    return SpecFault(f"{needs}, which no earlier step provides{remedy}", loc)


def _missing_in_rule(
    step: BaseStep, column: str, taken: set[str], flows: Mapping[str, _Flow], predecessors: Mapping[str, Sequence[str]]
) -> SpecFault:
    uses, loc = f"skip_when of step '{step.name}' uses column '{column}'", ("steps", step.name, "skip_when")
    if dropper := _dropper(step.name, column, flows, predecessors):
        return SpecFault(f"{uses}, which step '{dropper}' drops; let '{dropper}' keep it", loc)
    return SpecFault(f"{uses}, which no earlier step provides{hint(column, taken, 'there are')}", loc)


def _dropper(
    name: str, column: str, flows: Mapping[str, _Flow], predecessors: Mapping[str, Sequence[str]]
) -> str | None:
    """The nearest step above `name` that got the column and did not pass it on."""
    waiting, seen = list(predecessors[name]), set()
    while waiting:
        other = waiting.pop(0)
        flow = flows[other]
        if flow.taken is not None and column in flow.taken and flow.given is not None and column not in flow.given:
            return other
        if other not in seen:
            seen.add(other)
            waiting.extend(predecessors[other])
    return None

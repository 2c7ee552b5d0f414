"""Runs steps of a pipeline in this process, on one row: what a prompt is before a run."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field

from common.building.columns import declared_columns
from common.building.components import models_in
from common.errors import RowError, UsageError
from common.steps.base import AsyncStep, BaseStep, GeneratorStep, Row, Step
from common.steps.mappings import (
    apply_input_mappings,
    apply_input_mappings_to_row,
    apply_output_mappings,
    apply_output_mappings_to_row,
)
from common.steps.skip_rule import SkipRule
from common.steps.tasks.asking_step import AskingStep
from common.words.faults import hint
from coordinator.plan.load import Prepared


@dataclass(slots=True)
class OneRow:
    """A row of the data on its way to one step.

    Args:
        number: of the row, counted from 0, in each generator before the step.
        ask: let the steps before ask their models; else they are left out, and `left_out` has their names.
    """

    prepared: Prepared
    number: int = 0
    ask: bool = False
    left_out: list[str] = field(default_factory=list)

    def task(self, name: str) -> AskingStep:
        """The step whose prompt is wanted.

        Raises:
            UsageError: there is no such step, or it is no task.
        """
        steps = self.prepared.steps
        if name not in steps:
            raise UsageError(f"no step '{name}' in the pipeline{hint(name, steps, 'the steps are')}")
        step = steps[name]
        if not isinstance(step, AskingStep):
            tasks = [other for other, each in steps.items() if isinstance(each, AskingStep)]
            raise UsageError(
                f"step '{name}' is a {type(step).__name__}, which is no task, so it has no prompt"
                f"{hint(name, tasks, 'the tasks are')}"
            )
        return step

    def arriving(self, name: str) -> Row:
        """The row as it arrives at the step, by the row's own names.

        Raises:
            UsageError: there is none, or it lacks columns of a step that was left out.
        """
        plan = self.prepared.plan.steps
        made: dict[str, list[Row]] = {}
        for other in self._before(name):
            step = self.prepared.steps[other]
            inputs = [made[before] for before in plan[other].predecessors]
            made[other] = self._through(step, inputs)
        rows = [row for before in plan[name].predecessors for row in made[before]]
        if not rows:
            raise UsageError(f"no row arrives at step '{name}'; choose another one with --row, or give --row-json FILE")
        self._check(name, rows[0])
        return rows[0]

    def _before(self, name: str) -> Iterator[str]:
        """The steps above it, each after its predecessors."""
        plan, above = self.prepared.plan.steps, set[str]()
        waiting = list(plan[name].predecessors)
        while waiting:
            other = waiting.pop()
            if other not in above:
                above.add(other)
                waiting.extend(plan[other].predecessors)
        return (other for other in plan if other in above)

    def _check(self, name: str, row: Row) -> None:
        step = self.prepared.steps[name]
        if self.passes_by(step, row):
            return
        needed = {
            step.input_mappings.get(column, column)
            for column, required in declared_columns(step, "inputs").items()
            if required
        }
        self._check_columns(name, row, needed)

    def _check_columns(self, name: str, row: Row, needed: Collection[str]) -> None:
        if missing := sorted(set(needed) - row.keys()):
            columns = ", ".join(map(repr, missing))
            from_whom = f", which may come of {', '.join(map(repr, self.left_out))}" if self.left_out else ""
            raise UsageError(
                f"the row that arrives at step '{name}' lacks {columns}{from_whom}: pass --ask to ask the models of "
                "the steps before, or give the row with --row-json FILE"
            )

    def passes_by(self, step: BaseStep, row: Row) -> bool:
        """Whether a row passes the step by; see `BaseStep.skip_when`.

        Raises:
            UsageError: the row lacks a column that would say so.
            RowError: this cannot be said of it.
        """
        rule = SkipRule.of(step)
        if rule is None:
            return False
        self._check_columns(step.name, row, rule.columns)
        return rule.skips(row)

    def _through(self, step: BaseStep, inputs: Sequence[list[Row]]) -> list[Row]:
        """The rows behind a step: what it makes of those that do not pass it by."""
        rule = SkipRule.of(step)
        if rule is None:
            return self._made(step, inputs)
        return [
            behind
            for row in inputs[0]
            for behind in ([rule.passed(row)] if self.passes_by(step, row) else self._made(step, [[row]]))
        ]

    def _made(self, step: BaseStep, inputs: Sequence[list[Row]]) -> list[Row]:
        """What a step makes of rows; the rows themselves if it asks a model that may not be asked."""
        if models_in(step) and not self.ask:
            self.left_out.extend({step.name} - set(self.left_out))
            return [row for rows in inputs for row in rows]
        rows = copy.deepcopy(list(inputs))
        if isinstance(step, AsyncStep):
            return [made for row in rows[0] for made in processed(step, row)]
        step.load()
        try:
            if isinstance(step, GeneratorStep):
                return generated(step, self.number)
            assert isinstance(step, Step)
            mapped = [apply_input_mappings(step, one) for one in rows]
            found = [row for made in step.process(*(each for each, _ in mapped)) for row in made]
            return apply_output_mappings(step, found, mapped[0][1])
        finally:
            step.unload()


def generated(step: GeneratorStep, number: int) -> list[Row]:
    """A row of a loaded generator, counted from 0. Raises UsageError: it has none. RowError: it cannot be made."""
    step.batch_size = 1  # of a task, so that it asks for this row alone
    for rows, _ in step.process(offset=number):
        if rows:
            if isinstance(rows[0], RowError):
                raise rows[0]
            return apply_output_mappings(step, [rows[0]], None)
    raise UsageError(f"step '{step.name}' has no row {number}; the first one is 0")


def processed(step: AsyncStep, row: Row) -> list[Row]:
    """What an asynchronous step makes of a row, by the row's own names. Raises whatever the step raises."""

    async def made() -> Row | list[Row] | None:
        await step.aload()
        try:
            return await step.process_row(mapped)
        finally:
            await step.aunload()

    mapped, aside = apply_input_mappings_to_row(step, row)
    step.load()
    try:
        found = asyncio.run(made())
    finally:
        step.unload()
    rows = [found] if isinstance(found, dict) else list(found or ())
    return [apply_output_mappings_to_row(step, one, aside) for one in rows]

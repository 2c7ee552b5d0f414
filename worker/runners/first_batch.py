"""Columns that depend on the data are checked where the data is first seen: in the first batches of the step."""

from __future__ import annotations

from contextlib import suppress

from common.broker.step_notes import StepNotes
from common.building.columns import column_remedy, declared_columns, needed_column
from common.errors import RunError
from common.steps.base import BaseStep
from common.steps.skip_rule import SkipRule
from common.words.faults import hint
from worker.batches.batch_work import Work


class FirstBatch:
    """Looks for a mistake in the pipeline until a batch of the step, in any worker, rules it out.

    From then on, a missing column only concerns the rows that lack it, which fail one by one.
    """

    def __init__(self, step: BaseStep, notes: StepNotes) -> None:
        self._step = step
        self._notes = notes
        self._rule = SkipRule.of(step)
        self._passed = False

    def complaint(self, work: Work) -> str | None:
        """The fault if no row of a batch has a column that the step requires; None if there is none."""
        if self._passed:
            return None
        if complaint := self._undecided(work):
            return complaint
        rows = [row for some in work.whole.inputs for row in some]
        if not rows:
            return None
        there = {column for row in rows for column in row}
        missing = self._missing(there)
        if missing is None:
            self._passed = True
            with suppress(RunError):  # another worker will note it
                self._notes.note_columns()
            return None
        if self._seen_elsewhere():
            self._passed = True
            return None
        return (
            f"it needs {needed_column(self._step, missing)}, which none of the {len(rows)} rows of its first batch has"
            f"{column_remedy(self._step, missing, there) or '; they have no columns'}. A fixed pipeline is a new "
            "run, which starts from the beginning"
        )

    def _undecided(self, work: Work) -> str | None:
        """The same for `skip_when`, if it could be computed for no row."""
        rule, whole = self._rule, work.whole
        if rule is None or not whole.undecided or whole.count or whole.passed:
            return None
        there = {column for row, _ in whole.undecided.values() for column in row}
        missing = [column for column in rule.columns if column not in there]
        if not missing or self._seen_elsewhere():
            return None
        return (
            f"its skip_when uses column '{missing[0]}', which none of the {len(whole.undecided)} rows of its first "
            f"batch has{hint(missing[0], there, 'there are')}. A fixed pipeline is a new run, which starts from the "
            "beginning"
        )

    def _missing(self, there: set[str]) -> str | None:
        for column, required in declared_columns(self._step, "inputs").items():
            if required and self._step.input_mappings.get(column, column) not in there:
                return column
        return None

    def _seen_elsewhere(self) -> bool:
        try:
            return self._notes.columns_noted()
        except RunError:  # the rows will show
            return True

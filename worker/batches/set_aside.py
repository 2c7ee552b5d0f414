"""Rows of a batch that pass their step by are set aside before the step gets the others. Pure."""

from __future__ import annotations

from dataclasses import replace

from common.errors import RowError
from common.steps.base import Row
from common.steps.skip_rule import SkipRule
from worker.batches.holes import WholeRows


def set_aside(whole: WholeRows, rule: SkipRule) -> WholeRows:
    """Leaves to the step the rows that are for it. A step with a rule has one predecessor."""
    passed: dict[int, Row] = {}
    undecided: dict[int, tuple[Row, str]] = {}
    left: list[tuple[int, Row]] = []
    for place, row in zip(whole.positions, whole.inputs[0], strict=True):
        try:
            if rule.skips(row):
                passed[place] = rule.passed(row)
            else:
                left.append((place, row))
        except RowError as error:
            undecided[place] = row, str(error)
    return replace(
        whole,
        inputs=([row for _, row in left],),
        positions=tuple(place for place, _ in left),
        passed=passed,
        undecided=undecided,
    )


def set_aside_again(whole: WholeRows, before: WholeRows) -> WholeRows:
    """The same for a batch that is read once more, without another look at its rows.

    Args:
        whole: all its rows.
        before: what was left of them.
    """
    rows = dict(zip(whole.positions, whole.inputs[0], strict=True))
    return replace(before, inputs=([rows[place] for place in before.positions],))

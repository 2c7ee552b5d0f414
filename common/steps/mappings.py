"""Input and output mappings: a step sees its own column names, the row keeps its own. Pure functions.

With `input_mappings: {instruction: text}` the step sees the row's `text` as `instruction`; an existing column
`instruction` of the row is set aside, unseen. After the step, `instruction` is renamed to `text`, `output_mappings`
rename the outputs, and the column set aside is restored. Where names collide, the step's output wins.

With `output_mappings: {generation: answer}` an existing column `generation` belongs to the row: it is still there after
the step, if the step keeps its input columns.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from common.steps.base import BaseStep, Row

Aside = list[Row] | None
"""For each input row, the columns set aside; None if the step has no mappings."""


def apply_input_mappings(step: BaseStep, rows: list[Row]) -> tuple[list[Row], Aside]:
    """The rows as `step` reads them, and the columns set aside. Without mappings, `rows` itself and None.

    A step with several predecessors maps each of its inputs; the outputs get back what the first one set aside.
    """
    if not step.input_mappings and not step.output_mappings:
        return rows, None
    pairs = [apply_input_mappings_to_row(step, row) for row in rows]
    return [mapped for mapped, _ in pairs], [aside for _, aside in pairs if aside is not None]


def apply_output_mappings(step: BaseStep, rows: list[Row], aside: Aside) -> list[Row]:
    """The rows that leave `step`, given everything it yielded for one batch. Without mappings, `rows` itself.

    Row i of the output gets back what row i of the input had set aside, if their numbers are equal. Otherwise its
    row is unknown, and it is dropped.
    """
    if not step.input_mappings and not step.output_mappings:
        return rows
    kept: Sequence[Row | None] = aside if aside is not None and len(aside) == len(rows) else [None] * len(rows)
    return [apply_output_mappings_to_row(step, row, own) for row, own in zip(rows, kept, strict=True)]


def apply_input_mappings_to_row(step: BaseStep, row: Row) -> tuple[Row, Row | None]:
    """`apply_input_mappings` for one row."""
    mappings = step.input_mappings
    if not mappings:
        return row, (_of_the_row(step, row) if step.output_mappings else None)
    readers: dict[str, list[str]] = {}
    for column, source in mappings.items():
        readers.setdefault(source, []).append(column)
    mapped: Row = {}
    aside: Row = {}
    for name, value in row.items():
        if columns := readers.get(name):
            for column in columns:
                mapped[column] = value
                # The output mapping renames the column, so nothing would be left to restore as `name`.
                if column in step.output_mappings:
                    aside[name] = value
        elif name in mappings:
            aside[name] = value
        else:
            mapped[name] = value
    return mapped, {**_of_the_row(step, row), **aside}


def apply_output_mappings_to_row(step: BaseStep, row: Row, aside: Row | None) -> Row:
    """`apply_output_mappings` for one output row, `aside` being that of its input row."""
    inputs, outputs = step.input_mappings, step.output_mappings
    if not inputs and not outputs:
        return row
    claimed = {outputs[name] for name in row if name in outputs}
    restored: Row = {}
    for name, value in row.items():
        if name in outputs:
            restored[outputs[name]] = value
        elif name not in inputs:
            if name not in claimed:
                restored[name] = value
        elif inputs[name] not in claimed:
            # The source was renamed, so the step wrote the column that now has its name.
            restored.setdefault(inputs[name], value)
    for name, value in (aside or {}).items():
        restored.setdefault(name, value)
    return restored


def _of_the_row(step: BaseStep, row: Row) -> Row:
    """Columns of the row that the step may overwrite, under a name that is then mapped to another one."""
    written = [name for name in step.output_mappings if name in row and name not in step.input_mappings]
    if not written:
        return {}
    kept = step.output_columns(set(row)) or set()
    return {name: row[name] for name in written if name in kept}


def output_name(step: BaseStep, column: str) -> str:
    """The name, after all mappings, of a column that `step` writes or passes on under its own name."""
    return step.output_mappings.get(column, step.input_mappings.get(column, column))


def output_names(step: BaseStep, columns: Iterable[str]) -> set[str]:
    """`output_name` of several columns."""
    return {output_name(step, column) for column in columns}


def source_names(step: BaseStep, columns: Iterable[str]) -> set[str]:
    """The row's names of columns that `step` reads under its own names."""
    return {step.input_mappings.get(column, column) for column in columns}


def hidden_columns(step: BaseStep, available: set[str]) -> set[str]:
    """The `available` columns that are set aside: the step cannot see them, so it cannot drop them either."""
    sources = set(step.input_mappings.values())
    hidden = {column for column in step.input_mappings if column not in sources}
    hidden |= {source for column, source in step.input_mappings.items() if column in step.output_mappings}
    return hidden & available

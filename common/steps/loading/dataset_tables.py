"""Datasets in memory as Arrow tables, with types that rows can hold."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import datetime
from itertools import chain
from typing import TYPE_CHECKING, Any

from common.errors import UsageError
from common.steps.base import Row
from common.steps.loading.arrow_columns import problem_of
from common.steps.loading.data import columns_of

if TYPE_CHECKING:
    import pyarrow as pa
    from datasets import Dataset

Tables = tuple["pa.Schema", Iterator["pa.Table"]]
"""A schema, and tables of it with at most `_ROWS` rows."""

_ROWS = 1_000


def tables_of(dataset: Any) -> Tables:
    """The rows of a `Dataset`, of the only split of a `DatasetDict`, or of a `DataFrame` without its index.

    Raises:
        UsageError: another type, no rows, several splits, or a type that rows cannot hold.
    """
    import pandas as pd
    import pyarrow as pa
    from datasets import Dataset, DatasetDict

    if isinstance(dataset, DatasetDict):
        dataset = _only_split(dataset)
    if isinstance(dataset, Dataset):
        return _checked(_stored(dataset))
    if not isinstance(dataset, pd.DataFrame):
        raise UsageError(
            "make_generator_step takes a list of dicts, a Dataset, a DatasetDict with one split, or a DataFrame, but "
            f"this is {shown_type(dataset)}"
        )
    try:
        return _checked(_sliced(pa.Table.from_pandas(dataset, preserve_index=False)))
    except (pa.ArrowException, ValueError, TypeError) as error:
        raise UsageError(f"the DataFrame cannot be used: {' '.join(map(str, error.args))}") from None


def tables_of_rows(rows: list[Row]) -> Tables:
    """Rows that a step can yield; a missing column is None.

    Raises:
        UsageError: the values of a column have no common type; names it.
    """
    import pyarrow as pa

    arrays = {}
    for column in columns_of(rows):
        values = [row.get(column) for row in rows]
        try:
            array = pa.array(values)
            if any(getattr(value, "nanosecond", 0) or getattr(value, "nanoseconds", 0) for value in values):
                array = pa.array(values, type=_with_nanoseconds(array.type))
        except (pa.ArrowException, OverflowError) as error:
            raise UsageError(f"column '{column}' holds values of different types: {error}") from None
        if not _same(values, array.to_pylist()):
            raise UsageError(f"column '{column}' holds values of different types, some of them not {array.type}")
        arrays[column] = array
    return _checked(_sliced(pa.table(arrays)))


def _with_nanoseconds(kind: pa.DataType) -> pa.DataType:
    """Arrow uses the unit of Python's own times, and would cut off the finer part of pandas' times."""
    import pyarrow as pa

    if pa.types.is_timestamp(kind):
        return pa.timestamp("ns", kind.tz)
    return pa.duration("ns") if pa.types.is_duration(kind) else kind


def shown_type(value: Any) -> str:
    """The type of a value, in a message."""
    kind = type(value)
    return f"a {kind.__qualname__}" if kind.__module__ == "builtins" else f"a {kind.__module__}.{kind.__qualname__}"


def _only_split(dataset: Any) -> Dataset:
    if len(dataset) != 1:
        names = ", ".join(map(str, dataset)) or "none"
        raise UsageError(f"a DatasetDict must have one split, but this has {names}; pass one of them: dataset['train']")
    (split,) = dataset.values()
    return split


def _stored(dataset: Dataset) -> Iterator[pa.Table]:
    """As Arrow has it: without features, so that images are not decoded, and arrays of numbers are lists."""
    import pyarrow as pa

    for table in dataset.with_format("arrow").iter(batch_size=_ROWS):
        columns = [
            column.combine_chunks().storage if isinstance(column.type, pa.BaseExtensionType) else column
            for column in table.columns
        ]
        yield pa.table(columns, names=table.column_names)


def _sliced(table: pa.Table) -> Iterator[pa.Table]:
    plain = table.replace_schema_metadata(None)
    return (plain.slice(start, _ROWS) for start in range(0, plain.num_rows, _ROWS))


def _same(before: Any, after: Any) -> bool:
    """Whether Arrow left every value unchanged. It reads text as bytes, or numbers as times, if the first is one."""
    if isinstance(before, dict):
        return isinstance(after, dict) and all(_same(value, after.get(key)) for key, value in before.items())
    if isinstance(before, list):
        return len(before) == len(after) and all(map(_same, before, after))
    if isinstance(before, int | float) and isinstance(after, float):
        return before == after or math.isnan(before)
    if isinstance(before, datetime):
        return isinstance(after, datetime) and before == after
    return type(before) is type(after) and bool(before == after)


def _checked(tables: Iterator[pa.Table]) -> Tables:
    first = next(tables, None)
    if first is None or not first.num_rows:
        raise UsageError("the dataset has no rows; a run needs at least one")
    if problem := problem_of(first.schema, can_map=False):
        raise UsageError(f"the dataset cannot be used: {problem}")
    return first.schema, chain([first], tables)

"""make_generator_step: from a dataset in memory to the generator step that yields its rows."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from common.errors import RowError, UsageError
from common.protocol.codec import check_row, decode_rows, encode_rows
from common.steps.base import GeneratorStep, Row
from common.steps.loading.data import LoadDataFromDicts
from common.steps.loading.dataset_tables import shown_type, tables_of, tables_of_rows
from common.steps.loading.file_readers import MAX_ROW_BYTES
from common.steps.loading.files import LoadDataFromFile
from common.steps.loading.kept_data import keep_lines, keep_tables

if TYPE_CHECKING:
    from datasets import Dataset, DatasetDict
    from pandas import DataFrame

_IN_THE_SPEC = 1 << 20
"""Most bytes of rows in a spec."""


def make_generator_step(
    dataset: list[Row] | Dataset | DatasetDict | DataFrame,
    batch_size: int = 50,
    input_mappings: dict[str, str] | None = None,
    output_mappings: dict[str, str] | None = None,
    name: str | None = None,
) -> GeneratorStep:
    """A generator step with the rows of `dataset`.

    A short list becomes a `LoadDataFromDicts`, with its rows in the spec. Everything else is written to a file in the
    folder `data` of the cache, named by a digest of its content, and becomes a `LoadDataFromFile`; the same data is
    written once and leads to the same run. Workers on other hosts find the file only if they share that folder.

    Args:
        dataset: a list of dicts, a `Dataset` or a `DatasetDict` with one split, or a `DataFrame`, whose index is
            dropped. A `Dataset` is taken as stored: an image, for example, as a mapping of `bytes` and `path`.
        name: of the step; by default derived from its class.

    Raises:
        UsageError: another type, a dataset without rows, several splits, or a value that rows cannot hold: names its
            column and type.
    """
    options: dict[str, Any] = {
        "name": name or "",
        "batch_size": batch_size,
        "input_mappings": input_mappings or {},
        "output_mappings": output_mappings or {},
    }
    if not isinstance(dataset, list):
        return LoadDataFromFile(path=str(keep_tables(*tables_of(dataset))), **options)
    rows = _plain(dataset)
    try:
        lines = [json.dumps(row, ensure_ascii=False).encode() for row in rows]
    except TypeError:  # bytes or datetimes, which JSON does not have
        return LoadDataFromFile(path=str(keep_tables(*tables_of_rows(rows))), **options)
    if sum(map(len, lines)) <= _IN_THE_SPEC and not any(_not_a_number(row) for row in rows):
        return LoadDataFromDicts(data=rows, **options)
    longest = max(map(len, lines)) + 1
    if longest > MAX_ROW_BYTES:
        options["max_row_bytes"] = longest
    return LoadDataFromFile(path=str(keep_lines(lines)), **options)


def _plain(rows: list[Row]) -> list[Row]:
    """The rows as a step gets them: lists instead of tuples, Python's numbers instead of numpy's."""
    if not rows:
        raise UsageError("the dataset has no rows; a run needs at least one")
    for index, row in enumerate(rows):
        if not isinstance(row, dict):
            raise UsageError(f"make_generator_step takes a list of dicts, but its element {index} is {shown_type(row)}")
    try:
        return [row for row in decode_rows(encode_rows(rows)) if row is not None]
    except RowError as error:
        for index, row in enumerate(rows):
            try:
                check_row(row)
            except RowError as of_row:
                raise UsageError(f"row {index} of the dataset cannot be used: {of_row}") from None
        raise UsageError(f"the dataset cannot be used: {error}") from None


def _not_a_number(row: Row) -> bool:
    """Whether it contains NaN or an infinite number, which JSON in a spec cannot hold."""
    try:
        json.dumps(row, allow_nan=False)
    except ValueError:
        return True
    return False

"""What a row can hold of the columns of Parquet files, Arrow files and tables in memory; asked before the first row."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa


def problem_of(columns: Iterable[pa.Field]) -> str | None:
    """What is wrong with some columns of a schema; None if nothing.

    That is two columns or fields of one name, or a type that rows cannot hold.
    """
    return next(_problems("", columns), None)


def _problems(path: str, fields: Iterable[pa.Field]) -> Iterator[str]:
    seen: set[str] = set()
    for field in fields:
        name = f"{path}.{field.name}" if path else field.name
        if field.name in seen:
            yield f"two columns are called '{name}', and a row would keep one of them; rename one"
        seen.add(field.name)
        yield from _problems_of_type(name, field.type)


def _problems_of_type(path: str, kind: pa.DataType) -> Iterator[str]:
    import pyarrow as pa
    from pyarrow import types

    if isinstance(kind, pa.BaseExtensionType) and type(kind).__module__.startswith("datasets."):
        yield from _problems_of_type(path, kind.storage_type)  # arrays of numbers, which come as lists
    elif types.is_struct(kind):
        yield from _problems(path, kind)
    elif types.is_dictionary(kind):
        yield from _problems_of_type(path, kind.value_type)
    elif any(is_list(kind) for is_list in (types.is_list, types.is_large_list, types.is_fixed_size_list)):
        yield from _problems_of_type(f"{path}[]", kind.value_type)
    elif not _is_scalar(kind):
        yield f"column '{path}' has the type {kind}, which rows cannot hold; convert it, for example to text or float"


def _is_scalar(kind: pa.DataType) -> bool:
    import pyarrow as pa
    from pyarrow import types

    texts = (types.is_string, types.is_large_string, types.is_string_view)
    raw = (types.is_binary, types.is_large_binary, types.is_fixed_size_binary, types.is_binary_view)
    numbers = (types.is_null, types.is_boolean, types.is_integer, types.is_floating, types.is_timestamp)
    times = (types.is_date, types.is_time, types.is_duration, types.is_decimal)
    # Python's time ends at microseconds, so that nanoseconds would be cut off.
    return kind != pa.time64("ns") and any(fits(kind) for fits in (*numbers, *times, *texts, *raw))

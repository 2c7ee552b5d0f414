"""Which columns of Parquet files, Arrow files and tables in memory a row can hold; checked before the first row."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Literal

from common.errors import UsageError
from common.steps.base import Row

if TYPE_CHECKING:
    import pyarrow as pa

Maps = Literal["dicts", "pairs"]
"""How a map is read: as a dict, or as a list of `{key: ..., value: ...}`."""
MAPS = "Read maps (Arrow's type) as dicts, or as pairs: lists of {key: ..., value: ...}; refused by default."


def problem_of(columns: Iterable[pa.Field], maps: Maps | None = None, *, can_map: bool = True) -> str | None:
    """The fault of some columns of a schema; None if there is none.

    A fault is two columns or fields of one name, or a type that rows cannot hold.

    Args:
        can_map: may the user choose how maps are read?
    """
    return next(_problems("", columns, (maps, can_map)), None)


def rows_of(table: pa.Table | pa.RecordBatch, maps: Maps | None) -> list[Row]:
    """The rows of a table without faults.

    Raises:
        UsageError: a map has a key twice, so a dict would lose a value.
    """
    rows: list[Row] = table.to_pylist()
    for field in table.schema if maps else ():
        if _has_map(field.type):
            for row in rows:
                row[field.name] = _plain(field.name, field.type, row[field.name], maps)
    return rows


def _has_map(kind: pa.DataType) -> bool:
    from pyarrow import types

    if types.is_map(kind):
        return True
    if types.is_struct(kind):
        return any(_has_map(field.type) for field in kind)
    return _is_list(kind) and _has_map(kind.value_type)


def _plain(path: str, kind: pa.DataType, value: Any, maps: Maps | None) -> Any:
    """A value without maps, which Arrow gives as lists of tuples."""
    from pyarrow import types

    if value is None or not _has_map(kind):
        return value
    if types.is_struct(kind):
        return {field.name: _plain(f"{path}.{field.name}", field.type, value[field.name], maps) for field in kind}
    if not types.is_map(kind):
        return [_plain(f"{path}[]", kind.value_type, item, maps) for item in value]
    pairs = [(key, _plain(f"{path}[{key}]", kind.item_type, item, maps)) for key, item in value]
    if maps == "pairs":
        return [{"key": key, "value": item} for key, item in pairs]
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next(key for key in found if sum(key == other for other, _ in pairs) > 1)
        raise UsageError(f"column '{path}' has a map with the key '{twice}' twice; read maps as pairs (maps: pairs)")
    return found


def _problems(path: str, fields: Iterable[pa.Field], maps: tuple[Maps | None, bool]) -> Iterator[str]:
    seen: set[str] = set()
    for field in fields:
        name = f"{path}.{field.name}" if path else field.name
        if field.name in seen:
            yield f"two columns are called '{name}', and a row would keep one of them; rename one"
        seen.add(field.name)
        yield from _problems_of_type(name, field.type, maps)


def _problems_of_type(path: str, kind: pa.DataType, maps: tuple[Maps | None, bool]) -> Iterator[str]:
    import pyarrow as pa
    from pyarrow import types

    as_what, can_map = maps
    if isinstance(kind, pa.BaseExtensionType) and type(kind).__module__.startswith("datasets."):
        yield from _problems_of_type(path, kind.storage_type, maps)  # arrays of numbers, which become lists
    elif types.is_struct(kind):
        yield from _problems(path, kind, maps)
    elif types.is_dictionary(kind):
        yield from _problems_of_type(path, kind.value_type, maps)
    elif _is_list(kind):
        yield from _problems_of_type(f"{path}[]", kind.value_type, maps)
    elif types.is_map(kind) and can_map:
        if as_what is None:
            yield f"column '{path}' holds maps ({kind}); choose how to read them, maps: dicts or maps: pairs"
        elif as_what == "dicts" and not (types.is_string(kind.key_type) or types.is_large_string(kind.key_type)):
            yield f"column '{path}' holds maps whose keys are not text ({kind}); read them as pairs (maps: pairs)"
        yield from _problems_of_type(f"{path}.key", kind.key_type, maps)
        yield from _problems_of_type(f"{path}.value", kind.item_type, maps)
    elif not _is_scalar(kind):
        yield f"column '{path}' has the type {kind}, which rows cannot hold; convert it, for example to text or float"


def _is_list(kind: pa.DataType) -> bool:
    from pyarrow import types

    return bool(types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind))


def _is_scalar(kind: pa.DataType) -> bool:
    import pyarrow as pa
    from pyarrow import types

    texts = (types.is_string, types.is_large_string, types.is_string_view)
    raw = (types.is_binary, types.is_large_binary, types.is_fixed_size_binary, types.is_binary_view)
    numbers = (types.is_null, types.is_boolean, types.is_integer, types.is_floating, types.is_timestamp)
    times = (types.is_date, types.is_time, types.is_duration, types.is_decimal)
    # Python's time is limited to microseconds, so nanoseconds would be cut off.
    return kind != pa.time64("ns") and any(fits(kind) for fits in (*numbers, *times, *texts, *raw))

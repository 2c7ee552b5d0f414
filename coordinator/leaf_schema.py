"""The schema of a leaf: the column types that all its rows so far agree on, growing in row order.

null joins every type; int joins float; the fields of structs and the elements of lists are joined one by one. All else
is a misfit: bool is not an int, bytes are not text, a naive datetime is not one with a time zone. A row with a value
that does not fit is left out, and the schema stays as if the row had never come.

What a value becomes in Parquet: a missing column or field is null; an int in a float column is the equal float (an int
beyond 2**53, which might have none, is a misfit there, and so is a float in a column that holds such an int); a
datetime with a time zone is the same instant in UTC; where some datetimes or durations have nanoseconds, all get them;
a decimal gets as many digits as its column needs. Parquet has no struct without fields: `{}` becomes a struct of
nulls once any row has a field there; if none ever has, the column is null.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from itertools import chain
from typing import TYPE_CHECKING, Any, Final

from common.codec import DEEPEST
from common.steps.base import Row
from coordinator.column_types import NULL, ColumnType, Kind, arrow_field, cast, from_field

if TYPE_CHECKING:
    import pyarrow as pa

MAX_DEPTH: Final = DEEPEST + 1
"""Levels of lists and dicts in a row, the row itself among them."""
MOST_FIELDS: Final = 1_000
"""Columns of a leaf, and fields of a dict in it: each is a column in Parquet, where every row has a place for it."""
MOST_DIGITS: Final = 76
"""Digits of a decimal in Arrow."""
EXACT_FLOAT: Final = 2**53
"""Every int up to here, of either sign, has an equal float."""


_SCALARS: Final[dict[type, Kind]] = {
    bool: Kind.BOOL,
    float: Kind.FLOAT,
    bytes: Kind.BYTES,
    date: Kind.DATE,
    time: Kind.TIME,
}
_WIDER: Final = {
    frozenset((Kind.INT, Kind.WIDE_INT)): Kind.WIDE_INT,
    frozenset((Kind.INT, Kind.FLOAT)): Kind.FLOAT,
    **{
        frozenset((plain, other)): other
        for plain, *others in (
            (Kind.NAIVE, Kind.NAIVE_FAR, Kind.NAIVE_NANO),
            (Kind.AWARE, Kind.AWARE_FAR, Kind.AWARE_NANO),
            (Kind.DURATION, Kind.DURATION_FAR, Kind.DURATION_NANO),
        )
        for other in others
    },
}


@dataclass(frozen=True, slots=True)
class Misfit:
    """A row that cannot join: `column` is the value's path, such as `meta.scores[3]`; `index` counts from 0."""

    index: int
    column: str
    found: str
    expected: str

    @property
    def reason(self) -> str:
        """For people."""
        where = f"column '{self.column}'" if self.column else "the row"
        return f"{where} holds {self.found} where {self.expected} is expected"


class _Conflict(Exception):
    """Some value does not fit. The path is complete only where values were joined one at a time."""

    def __init__(self, found: str, expected: str) -> None:
        self.found = found
        self.expected = expected
        self.path = ""

    def inside(self, prefix: str) -> _Conflict:
        self.path = prefix + self.path
        return self


@dataclass(frozen=True, slots=True)
class LeafSchema:
    """Columns and their types, in the order of their first appearance."""

    columns: tuple[tuple[str, ColumnType], ...] = ()

    @classmethod
    def of_names(cls, names: Sequence[str]) -> LeafSchema:
        """Columns of which nothing but the name is known."""
        return cls(tuple((name, NULL) for name in names))

    def grow(self, rows: Sequence[Row]) -> tuple[LeafSchema, list[Misfit]]:
        """The schema after `rows`, and the rows that do not fit, in order. The same however rows are cut.

        Whole stretches are joined column by column, which is fast; a stretch that does not fit is halved until the
        rows that do not fit are alone.
        """
        root = ColumnType(Kind.STRUCT, fields=self.columns)
        misfits: list[Misfit] = []
        stretches = [(0, len(rows))]
        while stretches:
            start, end = stretches.pop()
            try:
                root = _join_rows(root, rows[start:end], one=False)
            except _Conflict:
                if end - start > 1:
                    middle = (start + end) // 2
                    stretches += [(middle, end), (start, middle)]
                else:
                    misfits.append(_misfit(root, rows, start))
        return LeafSchema(root.fields), misfits

    def to_bytes(self) -> bytes:
        """Arrow's serialized schema, with what Arrow has no type for as metadata."""
        import pyarrow as pa

        schema = pa.schema([arrow_field(name, child, exact=True) for name, child in self.columns])
        return bytes(schema.serialize().to_pybytes())

    @classmethod
    def from_bytes(cls, data: bytes) -> LeafSchema:
        """The inverse of `to_bytes`."""
        import pyarrow as pa

        return cls(tuple((field.name, from_field(field)) for field in pa.ipc.read_schema(pa.py_buffer(data))))

    def arrow(self, *, final: bool = False) -> pa.Schema:
        """The schema of a part, or of the dataset's files.

        A struct that has no field so far is a struct with a placeholder in a part, so that `{}` and None stay apart
        until the fields are known; in the dataset's files it is null.
        """
        import pyarrow as pa

        return pa.schema([arrow_field(name, child, final=final) for name, child in self.columns])

    def table(self, rows: Sequence[Row]) -> pa.Table:
        """Rows that `grow` accepted, as a part holds them."""
        import pyarrow as pa

        schema = self.arrow()
        columns = [pa.array([row.get(f.name) for row in rows], type=f.type) for f in schema]
        return pa.Table.from_arrays(columns, schema=schema)

    def final_table(self, table: pa.Table, source: LeafSchema) -> pa.Table:
        """The rows of a part of schema `source`, as the dataset holds them now that the leaf's schema is this one."""
        import pyarrow as pa

        known = dict(source.columns)
        schema = self.arrow(final=True)
        columns = []
        for (name, child), field in zip(self.columns, schema, strict=True):
            if name in known:
                chunks = [cast(chunk, known[name], child) for chunk in table.column(name).chunks]
                columns.append(pa.chunked_array(chunks, type=field.type))
            else:
                columns.append(pa.nulls(table.num_rows, field.type))
        return pa.Table.from_arrays(columns, schema=schema)


def _misfit(root: ColumnType, rows: Sequence[Row], index: int) -> Misfit:
    try:
        _join_rows(root, rows[index : index + 1], one=True)
    except _Conflict as conflict:
        return Misfit(index, conflict.path.removeprefix("."), conflict.found, conflict.expected)
    raise AssertionError("a row fits alone and does not fit alone")


def _join_rows(root: ColumnType, rows: Sequence[Row], *, one: bool) -> ColumnType:
    if not {dict}.issuperset(map(type, rows)):
        raise _Conflict("no row", "a dict")
    if not root.fields and rows and not rows[0]:
        # Without any column Parquet would forget the row; with one it would be a row of nulls.
        raise _Conflict("no columns at all", "at least one")
    return _join(root, rows, MAX_DEPTH, one)


def _join(known: ColumnType, values: Sequence[Any], depth: int, one: bool) -> ColumnType:
    """The type that holds `known` and all values. `one`: there is one value, and conflicts are to name the path."""
    types = set(map(type, values))
    if type(None) in types:
        types.discard(type(None))
        values = [value for value in values if value is not None]
    for found in types:
        mine = values if len(types) == 1 else [value for value in values if type(value) is found]
        if found is list or found is dict:
            kind = Kind.LIST if found is list else Kind.STRUCT
            if known.kind not in (Kind.NULL, kind):
                raise _Conflict(kind, known.kind)
            if not depth:
                raise _Conflict(kind, f"no more than {MAX_DEPTH} levels of lists and dicts")
            join: Callable[..., ColumnType] = _join_lists if found is list else _join_structs
            known = join(known, mine, depth - 1, one)
        elif found is Decimal:
            known = _join_decimals(known, mine)
        else:
            kind = _scalar(found, mine)
            if known.kind is not kind:
                known = ColumnType(_wider(known.kind, kind))
    return known


def _join_lists(known: ColumnType, lists: Sequence[list[Any]], depth: int, one: bool) -> ColumnType:
    element = known.element or NULL
    if one:
        for index, value in enumerate(lists[0]):
            try:
                element = _join(element, [value], depth, True)
            except _Conflict as conflict:
                raise conflict.inside(f"[{index}]") from None
    else:
        element = _join(element, list(chain.from_iterable(lists)), depth, False)
    return ColumnType(Kind.LIST, element)


def _join_structs(known: ColumnType, dicts: Sequence[dict[str, Any]], depth: int, one: bool) -> ColumnType:
    fields = dict(known.fields)
    names = dict.fromkeys(chain.from_iterable(dicts))
    if names and (strange := set(map(type, names)) - {str}):
        raise _Conflict(f"a key of type {strange.pop().__name__}", "a str")
    new = [name for name in names if name not in fields]
    if len(fields) + len(new) > MOST_FIELDS:
        raise _Conflict(
            f"the key '{new[0]}', beyond the first {MOST_FIELDS:,} different ones of its rows,",
            "a list of {key, value}, or JSON as text,",
        )
    _check_text(new)
    for name in names:
        try:
            fields[name] = _join(fields.get(name, NULL), [item.get(name) for item in dicts], depth, one)
        except _Conflict as conflict:
            raise conflict.inside(f".{name}") from None
    return ColumnType(Kind.STRUCT, fields=tuple(fields.items()))


def _scalar(found: type, values: Sequence[Any]) -> Kind:
    """The kind of values that are all of the type `found`. Raises _Conflict for one that Parquet cannot hold."""
    if found is str:
        _check_text(values)
        return Kind.TEXT
    if found is int:
        low, high = min(values), max(values)
        if low < -(2**63) or high >= 2**63:
            raise _Conflict("int (beyond 64 bits)", "one of 64 bits")
        return Kind.INT if low >= -EXACT_FLOAT and high <= EXACT_FLOAT else Kind.WIDE_INT
    if issubclass(found, datetime):
        return _datetime_kind(values)
    if issubclass(found, timedelta):
        return _duration_kind(values)
    if found in _SCALARS:
        return _SCALARS[found]
    raise _Conflict(found.__name__, "a type that rows can hold")


def _join_decimals(known: ColumnType, values: Sequence[Any]) -> ColumnType:
    whole, scale = known.whole, known.scale
    for value in values:
        _, digits, exponent = value.as_tuple()
        if not isinstance(exponent, int):
            raise _Conflict(f"decimal ({value})", "a finite one")
        whole, scale = max(whole, len(digits) + exponent), max(scale, -exponent)
    if known.kind not in (Kind.NULL, Kind.DECIMAL):
        raise _Conflict(Kind.DECIMAL, known.kind)
    if whole + scale > MOST_DIGITS:
        raise _Conflict(
            f"decimal (with which the column needs {whole + scale} digits)", f"one of {MOST_DIGITS} digits at most"
        )
    return ColumnType(Kind.DECIMAL, whole=whole, scale=scale)


def _datetime_kind(values: Sequence[datetime]) -> Kind:
    if len(aware := {value.tzinfo is not None for value in values}) > 1:
        raise _Conflict(Kind.AWARE, Kind.NAIVE)
    near = all(1677 < value.year < 2262 for value in values)
    nano = any(getattr(value, "nanosecond", 0) for value in values)
    if nano and not near:
        raise _Conflict("datetime (outside the years 1678 to 2261)", Kind.NAIVE_NANO)
    if aware == {False}:
        return Kind.NAIVE_NANO if nano else Kind.NAIVE if near else Kind.NAIVE_FAR
    try:
        for value in values:
            if not 1 < value.year < 9999:
                value.astimezone(UTC)
    except OverflowError:
        raise _Conflict("datetime (outside the years 1 to 9999 in UTC)", "one inside") from None
    return Kind.AWARE_NANO if nano else Kind.AWARE if near else Kind.AWARE_FAR


def _duration_kind(values: Sequence[timedelta]) -> Kind:
    if any(getattr(value, "nanoseconds", 0) for value in values):
        return Kind.DURATION_NANO
    return Kind.DURATION if all(abs(value.days) < 106_000 for value in values) else Kind.DURATION_FAR


def _check_text(values: Sequence[str]) -> None:
    if not all(map(str.isascii, values)):
        import pyarrow as pa

        try:
            # Python keeps the UTF-8 that Arrow asks for, so that the table gets it for nothing; encode() would not.
            pa.array([value for value in values if not value.isascii()], type=pa.string())
        except UnicodeEncodeError:
            raise _Conflict("str (with a lone surrogate)", "one that UTF-8 can write") from None


def _wider(known: Kind, found: Kind) -> Kind:
    if known is Kind.NULL:
        return found
    wider = _WIDER.get(frozenset((known, found)))
    if wider is None:
        raise _Conflict(found, known)
    return wider

"""The schema of a leaf: the column types that all its rows so far agree on, growing in row order.

null joins every type; int joins float or decimal; the fields of structs and the elements of lists are joined one by
one. Everything else is a misfit: bool is not an int, bytes are not text, a naive datetime is not one with a time zone.
A row with a value that does not fit is left out, and the schema stays as if the row had never existed. If the pipeline
says so (`on_type_conflict: string`), the column becomes text instead (`value_text.py`), provided that all its values
have a text form: bytes have none.

What a value becomes in Parquet: a missing column or field is null; an int in a float column is the equal float (an int
beyond 2**53 may have none and is a misfit there, and so is a float in a column that holds such an int); a datetime with
a time zone is the same instant in UTC; if some datetimes or durations have nanoseconds, all get them; a decimal gets as
many digits as its column needs. Parquet has no struct without fields: `{}` becomes a struct of nulls once any row has a
field there; if no row ever has one (`keyless`), the column is null, and the run says so.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from itertools import chain
from typing import TYPE_CHECKING, Any, Final

from common.protocol.codec import DEEPEST
from common.steps.base import Row
from coordinator.dataset.column_types import NULL, ColumnType, Kind, arrow_field, cast, from_field

if TYPE_CHECKING:
    import pyarrow as pa

MAX_DEPTH: Final = DEEPEST + 1
"""Levels of lists and dicts in a row, including the row itself."""
MOST_FIELDS: Final = 1_000
"""Columns of a leaf, and fields of a dict in it: each is a Parquet column, in which every row takes space."""
MOST_DIGITS: Final = 76
"""Most digits of a decimal in Arrow."""
INT_DIGITS: Final = 19
"""Most digits of an int."""
LONGEST_DAYS: Final = 106_751_990
"""Limit of a duration in Arrow, which counts microseconds in 64 bits."""
EXACT_FLOAT: Final = 2**53
"""Every int up to this magnitude has an equal float."""


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
    frozenset((Kind.TEXT, Kind.MIXED)): Kind.MIXED,
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
    """A row that does not fit: `column` is the path of the value, such as `meta.scores[3]`; `index` counts from 0."""

    index: int
    column: str
    found: str
    expected: str

    @property
    def reason(self) -> str:
        """The reason as text."""
        where = f"column '{self.column}'" if self.column else "the row"
        return f"{where} holds {self.found} where {self.expected} is expected"


class _Conflict(Exception):
    """A value does not fit. The path is complete only if values were joined one at a time."""

    def __init__(self, found: str, expected: str) -> None:
        self.found = found
        self.expected = expected
        self.path = ""

    def inside(self, prefix: str) -> _Conflict:
        self.path = prefix + self.path
        return self


@dataclass(frozen=True, slots=True)
class _How:
    """How values are joined.

    Args:
        one: there is one value, and conflicts must name its path.
        texts: values of several types become text.
        alone: the values belong to one row and are not in a list.
    """

    one: bool = False
    texts: bool = False
    alone: bool = False


@dataclass(frozen=True, slots=True)
class LeafSchema:
    """Columns and their types, in order of first appearance."""

    columns: tuple[tuple[str, ColumnType], ...] = ()

    @classmethod
    def of_names(cls, names: Sequence[str]) -> LeafSchema:
        """Columns of which only the name is known."""
        return cls(tuple((name, NULL) for name in names))

    def grow(self, rows: Sequence[Row], *, texts: bool = False) -> tuple[LeafSchema, list[Misfit]]:
        """The schema after `rows`, and the rows that do not fit, in order; independent of how rows are cut.

        Args:
            texts: a column with values of several types becomes text.

        Whole runs of rows are joined column by column, which is fast; a run that does not fit is halved until the
        misfits are isolated.
        """
        root = ColumnType(Kind.STRUCT, fields=self.columns)
        misfits: list[Misfit] = []
        stretches = [(0, len(rows))]
        while stretches:
            start, end = stretches.pop()
            try:
                root = _join_rows(root, rows[start:end], _How(texts=texts, alone=end - start == 1))
            except _Conflict as conflict:
                if end - start > 1:
                    middle = (start + end) // 2
                    stretches += [(middle, end), (start, middle)]
                else:
                    misfits.append(_misfit(root, rows, start, texts, conflict))
        return LeafSchema(root.fields), misfits

    @property
    def keyless(self) -> tuple[str, ...]:
        """Paths of dicts without a key in any row, such as `meta` or `turns[].options`: null in the dataset."""
        return tuple(path for name, child in self.columns for path in child.keyless(name))

    def to_bytes(self) -> bytes:
        """Arrow's serialized schema; types that Arrow lacks are kept as metadata."""
        import pyarrow as pa

        schema = pa.schema([arrow_field(name, child, exact=True) for name, child in self.columns])
        return bytes(schema.serialize().to_pybytes())

    @classmethod
    def from_bytes(cls, data: bytes) -> LeafSchema:
        """The inverse of `to_bytes`."""
        import pyarrow as pa

        return cls(tuple((field.name, from_field(field)) for field in pa.ipc.read_schema(pa.py_buffer(data))))

    def arrow(self, *, final: bool = False) -> pa.Schema:
        """The schema of a part, or of the files of the dataset.

        A struct without fields so far has a placeholder field in a part, so that `{}` and None stay apart until the
        fields are known; in the files of the dataset it is null.
        """
        import pyarrow as pa

        return pa.schema([arrow_field(name, child, final=final) for name, child in self.columns])

    def table(self, rows: Sequence[Row]) -> pa.Table:
        """Rows accepted by `grow`, in the form that a part holds."""
        import pyarrow as pa

        schema = self.arrow()
        columns = [
            pa.array(
                [child.held(row.get(name)) for row in rows] if child.is_mixed else [row.get(name) for row in rows], f
            )
            for (name, child), f in zip(self.columns, schema.types, strict=True)
        ]
        return pa.Table.from_arrays(columns, schema=schema)

    def final_table(self, table: pa.Table, source: LeafSchema) -> pa.Table:
        """The rows of a part of schema `source`, converted to this schema, in the form that the dataset holds."""
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


def _misfit(root: ColumnType, rows: Sequence[Row], index: int, texts: bool, conflict: _Conflict) -> Misfit:
    """Finds the path of the value that does not fit in a row."""
    try:
        _join_rows(root, rows[index : index + 1], _How(one=True, texts=texts, alone=True))
    except _Conflict as found:
        conflict = found
    return Misfit(index, conflict.path.removeprefix("."), conflict.found, conflict.expected)


def _join_rows(root: ColumnType, rows: Sequence[Row], how: _How) -> ColumnType:
    if not {dict}.issuperset(map(type, rows)):
        raise _Conflict("no row", "a dict")
    if not root.fields and rows and not rows[0]:
        # Without any column, Parquet would lose the row; with one, it would be a row of nulls.
        raise _Conflict("no columns at all", "at least one")
    return _join(root, rows, MAX_DEPTH, how)


def _join(known: ColumnType, values: Sequence[Any], depth: int, how: _How) -> ColumnType:
    """The type that can hold `known` and all values."""
    types = set(map(type, values))
    if type(None) in types:
        types.discard(type(None))
        values = [value for value in values if value is not None]
    for found in types:
        mine = values if len(types) == 1 else [value for value in values if type(value) is found]
        if found is list or found is dict:
            kind = Kind.LIST if found is list else Kind.STRUCT
            if not depth:
                raise _Conflict(kind, f"no more than {MAX_DEPTH} levels of lists and dicts")
            join: Callable[..., ColumnType] = _join_lists if found is list else _join_structs
            if known.kind in (Kind.NULL, kind):
                known = join(known, mine, depth - 1, how)
            elif how.texts:
                known = _mixed(known, join(NULL, mine, depth - 1, how), how)
            else:
                raise _Conflict(kind, known.kind)
        else:
            for new in _scalars(found, mine):
                if known != new:
                    known = _united(known, new, how)
    return known


def _scalars(found: type, values: Sequence[Any]) -> list[ColumnType]:
    """The type of values that all have the Python type `found`."""
    if found is Decimal:
        return [_join_decimals(values)]
    if issubclass(found, datetime):
        return [ColumnType(kind) for kind in dict.fromkeys(map(_datetime_kind, values))]
    if issubclass(found, timedelta):
        return [ColumnType(kind) for kind in dict.fromkeys(map(_duration_kind, values))]
    return [ColumnType(_scalar(found, values))]


def _united(known: ColumnType, new: ColumnType, how: _How) -> ColumnType:
    """The type that joins both; `new` is the type of a scalar."""
    kinds = {known.kind, new.kind}
    if Kind.DECIMAL in kinds and kinds <= {Kind.DECIMAL, Kind.INT, Kind.WIDE_INT}:
        return _decimal(*(max(of(known), of(new)) for of in (_whole_digits, _scale)))
    if known.kind is Kind.NULL:
        return new
    if wider := _WIDER.get(frozenset(kinds)):
        return ColumnType(wider)
    if how.texts:
        return _mixed(known, new, how)
    raise _Conflict(new.kind, known.kind)


def _mixed(known: ColumnType, new: ColumnType, how: _How) -> ColumnType:
    """The text type, which the values of both types become."""
    nested = {known.kind, new.kind} & {Kind.LIST, Kind.STRUCT}
    # Inside lists and dicts, what has become text already is known only row by row; a list has no such order.
    if (nested and not how.alone) or not known.has_text or not _is_free_of_bytes(new):
        raise _Conflict(new.kind, known.kind)
    return ColumnType(Kind.MIXED)


def _is_free_of_bytes(column: ColumnType) -> bool:
    inner = [column.element] if column.element else [child for _, child in column.fields]
    return column.kind is not Kind.BYTES and all(map(_is_free_of_bytes, inner))


def _join_lists(known: ColumnType, lists: Sequence[list[Any]], depth: int, how: _How) -> ColumnType:
    element, how = known.element or NULL, replace(how, alone=False)
    if how.one:
        for index, value in enumerate(lists[0]):
            try:
                element = _join(element, [value], depth, how)
            except _Conflict as conflict:
                raise conflict.inside(f"[{index}]") from None
    else:
        element = _join(element, list(chain.from_iterable(lists)), depth, how)
    return ColumnType(Kind.LIST, element)


def _join_structs(known: ColumnType, dicts: Sequence[dict[str, Any]], depth: int, how: _How) -> ColumnType:
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
            fields[name] = _join(fields.get(name, NULL), [item.get(name) for item in dicts], depth, how)
        except _Conflict as conflict:
            raise conflict.inside(f".{name}") from None
    return ColumnType(Kind.STRUCT, fields=tuple(fields.items()))


def _scalar(found: type, values: Sequence[Any]) -> Kind:
    """The kind of values that all have the type `found`. Raises _Conflict for a value that Parquet cannot hold."""
    if found is str:
        _check_text(values)
        return Kind.TEXT
    if found is int:
        low, high = min(values), max(values)
        if low < -(2**63) or high >= 2**63:
            raise _Conflict("int (beyond 64 bits)", "one of 64 bits")
        return Kind.INT if low >= -EXACT_FLOAT and high <= EXACT_FLOAT else Kind.WIDE_INT
    if found in _SCALARS:
        return _SCALARS[found]
    raise _Conflict(found.__name__, "a type that rows can hold")


def _join_decimals(values: Sequence[Any]) -> ColumnType:
    whole = scale = 0
    for value in values:
        _, digits, exponent = value.as_tuple()
        if not isinstance(exponent, int):
            raise _Conflict(f"decimal ({value})", "a finite one")
        whole, scale = max(whole, len(digits) + exponent), max(scale, -exponent)
    return _decimal(whole, scale)


def _decimal(whole: int, scale: int) -> ColumnType:
    if whole + scale > MOST_DIGITS:
        raise _Conflict(
            f"decimal (with which the column needs {whole + scale} digits)", f"one of {MOST_DIGITS} digits at most"
        )
    return ColumnType(Kind.DECIMAL, whole=whole, scale=scale)


def _whole_digits(column: ColumnType) -> int:
    return INT_DIGITS if column.kind in (Kind.INT, Kind.WIDE_INT) else column.whole


def _scale(column: ColumnType) -> int:
    return column.scale


def _datetime_kind(value: datetime) -> Kind:
    near = 1677 < value.year < 2262
    nano = bool(getattr(value, "nanosecond", 0))
    if nano and not near:
        raise _Conflict("datetime (outside the years 1678 to 2261)", Kind.NAIVE_NANO)
    if value.tzinfo is None:
        return Kind.NAIVE_NANO if nano else Kind.NAIVE if near else Kind.NAIVE_FAR
    try:
        if not 1 < value.year < 9999:
            value.astimezone(UTC)
    except OverflowError:
        raise _Conflict("datetime (outside the years 1 to 9999 in UTC)", "one inside") from None
    return Kind.AWARE_NANO if nano else Kind.AWARE if near else Kind.AWARE_FAR


def _duration_kind(value: timedelta) -> Kind:
    if getattr(value, "nanoseconds", 0):
        return Kind.DURATION_NANO
    if abs(value.days) >= LONGEST_DAYS:
        raise _Conflict("duration (of more than 292,000 years)", "a shorter one")
    return Kind.DURATION if abs(value.days) < 106_000 else Kind.DURATION_FAR


def _check_text(values: Sequence[str]) -> None:
    if not all(map(str.isascii, values)):
        import pyarrow as pa

        try:
            # Python caches the UTF-8 that Arrow asks for, so the table gets it for free; encode() would not cache it.
            pa.array([value for value in values if not value.isascii()], type=pa.string())
        except UnicodeEncodeError:
            raise _Conflict("str (with a lone surrogate)", "one that UTF-8 can write") from None

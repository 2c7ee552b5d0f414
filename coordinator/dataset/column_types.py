"""Column types: those of a leaf's values, and their Arrow types."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from coordinator.dataset.value_text import text_of

if TYPE_CHECKING:
    import pyarrow as pa

_WIDE: Final = {b"penstock": b"wide"}
_PLACEHOLDER: Final = "_"


class Kind(StrEnum):
    """The kind of a value; the text appears in error messages."""

    NULL = "null"
    BOOL = "bool"
    INT = "int"
    WIDE_INT = "int (beyond 2**53)"
    FLOAT = "float"
    DECIMAL = "decimal"
    TEXT = "str"
    MIXED = "str (of values of several types)"
    BYTES = "bytes"
    NAIVE = "datetime without a time zone"
    NAIVE_FAR = "datetime without a time zone (outside the years 1678 to 2261)"
    NAIVE_NANO = "datetime without a time zone (with nanoseconds)"
    AWARE = "datetime with a time zone"
    AWARE_FAR = "datetime with a time zone (outside the years 1678 to 2261)"
    AWARE_NANO = "datetime with a time zone (with nanoseconds)"
    DATE = "date"
    TIME = "time"
    DURATION = "duration"
    DURATION_FAR = "duration (of more than 290 years)"
    DURATION_NANO = "duration (with nanoseconds)"
    LIST = "list"
    STRUCT = "dict"


_WIDE_OF: Final = {
    Kind.INT: Kind.WIDE_INT,
    Kind.TEXT: Kind.MIXED,
    Kind.NAIVE: Kind.NAIVE_FAR,
    Kind.AWARE: Kind.AWARE_FAR,
    Kind.DURATION: Kind.DURATION_FAR,
}
"""Kinds of one Arrow type, of which only the first can still join floats, nanoseconds, or the text of another type."""


@dataclass(frozen=True, slots=True)
class ColumnType:
    """The type of a column, of a list's elements (`element`) or of a struct's fields (`fields`, in order).

    Args:
        whole: for decimals, digits before the point.
        scale: for decimals, digits after the point.
    """

    kind: Kind
    element: ColumnType | None = None
    fields: tuple[tuple[str, ColumnType], ...] = ()
    whole: int = 0
    scale: int = 0

    @property
    def is_mixed(self) -> bool:
        """Whether it holds values of several types, at any depth."""
        inner = (self.element,) if self.element else (child for _, child in self.fields)
        return self.kind is Kind.MIXED or any(child.is_mixed for child in inner)

    @property
    def has_text(self) -> bool:
        """Whether every value of the type can be written as text that does not depend on the part that holds it."""
        inner = (self.element,) if self.element else tuple(child for _, child in self.fields)
        return self.kind is not Kind.BYTES and all(child.has_text and child.kind is not Kind.MIXED for child in inner)

    def keyless(self, path: str) -> Iterator[str]:
        """Paths of the structs without fields in the column at `path`."""
        if self.kind is Kind.STRUCT and not self.fields:
            yield path
        if self.element is not None:
            yield from self.element.keyless(f"{path}[]")
        for name, child in self.fields:
            yield from child.keyless(f"{path}.{name}")

    def held(self, value: Any) -> Any:
        """The value as a part holds it: as text if the type says so."""
        if value is None or not self.is_mixed:
            return value
        if self.kind is Kind.MIXED:
            return text_of(value)
        if self.element is not None:
            return [self.element.held(item) for item in value]
        return {name: child.held(value.get(name)) for name, child in self.fields}

    def __str__(self) -> str:
        if self.kind is Kind.LIST:
            return f"list[{self.element}]"
        if self.kind is Kind.STRUCT:
            return f"dict[{', '.join(f'{name}: {child}' for name, child in self.fields)}]"
        return self.kind.value


NULL: Final = ColumnType(Kind.NULL)


def arrow_field(name: str, column: ColumnType, *, final: bool = False, exact: bool = False) -> pa.Field:
    import pyarrow as pa

    wide = exact and column.kind in _WIDE_OF.values()
    return pa.field(name, arrow_type(column, final, exact), metadata=_WIDE if wide else None)


def arrow_type(column: ColumnType, final: bool, exact: bool = False) -> pa.DataType:
    """With `exact`, nothing is added for Parquet, and types that Arrow lacks are kept in the fields' metadata."""
    import pyarrow as pa

    if column.kind is Kind.LIST:
        return pa.list_(arrow_field("element", column.element or NULL, final=final, exact=exact))
    if column.kind is Kind.STRUCT:
        if not column.fields and not exact:
            return pa.null() if final else pa.struct([pa.field(_PLACEHOLDER, pa.null())])
        return pa.struct([arrow_field(name, child, final=final, exact=exact) for name, child in column.fields])
    if column.kind is Kind.DECIMAL:
        digits = max(1, column.whole + column.scale)
        return (pa.decimal128 if digits <= 38 else pa.decimal256)(digits, column.scale)
    return {
        Kind.NULL: pa.null(),
        Kind.BOOL: pa.bool_(),
        Kind.INT: pa.int64(),
        Kind.WIDE_INT: pa.int64(),
        Kind.FLOAT: pa.float64(),
        Kind.TEXT: pa.string(),
        Kind.MIXED: pa.string(),
        Kind.BYTES: pa.binary(),
        Kind.NAIVE: pa.timestamp("us"),
        Kind.NAIVE_FAR: pa.timestamp("us"),
        Kind.NAIVE_NANO: pa.timestamp("ns"),
        Kind.AWARE: pa.timestamp("us", "UTC"),
        Kind.AWARE_FAR: pa.timestamp("us", "UTC"),
        Kind.AWARE_NANO: pa.timestamp("ns", "UTC"),
        Kind.DATE: pa.date32(),
        Kind.TIME: pa.time64("us"),
        Kind.DURATION: pa.duration("us"),
        Kind.DURATION_FAR: pa.duration("us"),
        Kind.DURATION_NANO: pa.duration("ns"),
    }[column.kind]


def from_field(field: pa.Field) -> ColumnType:
    import pyarrow as pa

    kind = field.type
    if pa.types.is_list(kind):
        return ColumnType(Kind.LIST, from_field(kind.value_field))
    if pa.types.is_struct(kind):
        return ColumnType(Kind.STRUCT, fields=tuple((child.name, from_field(child)) for child in kind))
    if pa.types.is_decimal(kind):
        return ColumnType(Kind.DECIMAL, whole=kind.precision - kind.scale, scale=kind.scale)
    scalars = set(Kind) - {Kind.LIST, Kind.STRUCT, Kind.DECIMAL, *_WIDE_OF.values()}
    (found,) = (each for each in scalars if arrow_type(ColumnType(each), False) == kind)
    return ColumnType(_WIDE_OF[found] if field.metadata == _WIDE else found)


def cast(array: pa.Array, source: ColumnType, target: ColumnType) -> pa.Array:
    """Arrow's own cast of nested types neither adds fields at every level nor keeps `{}` and None apart."""
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = arrow_type(target, final=True)
    if array.type == kind:
        return array
    if source.kind is Kind.NULL or pa.types.is_null(kind):
        return pa.nulls(len(array), kind)
    if target.kind is Kind.LIST:
        lengths = pc.fill_null(pc.list_value_length(array), 0)
        offsets = pa.concat_arrays([pa.array([0], pa.int32()), pc.cumulative_sum(lengths)])
        elements = cast(array.flatten(), source.element or NULL, target.element or NULL)
        return pa.ListArray.from_arrays(offsets, elements, type=kind, mask=array.is_null())
    if target.kind is Kind.STRUCT:
        known = {name: (array.field(i), child) for i, (name, child) in enumerate(source.fields)}
        children = [
            cast(*known[name], child) if name in known else pa.nulls(len(array), arrow_type(child, final=True))
            for name, child in target.fields
        ]
        return pa.StructArray.from_arrays(children, fields=list(kind), mask=array.is_null())
    if target.kind is Kind.MIXED:
        return pa.array([None if value is None else text_of(value) for value in array.to_pylist()], kind)
    return array.cast(kind)

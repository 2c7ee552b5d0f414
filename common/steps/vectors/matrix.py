"""The vectors in a column of rows, as one matrix. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from common.cells import kind_of, list_of
from common.errors import RowError
from common.steps.base import Row

if TYPE_CHECKING:
    import numpy as np

    Matrix = np.ndarray[Any, np.dtype[np.float64]]


def matrix_of(rows: Sequence[Row], column: str = "embedding") -> Matrix:
    """The vectors in a column: a line of the matrix for each row, in their order.

    Raises:
        RowError: a cell is no vector of finite numbers, or not as long as that of the first row; rows count from 0.
    """
    import numpy as np

    matrix: Matrix = np.empty((len(rows), 0))
    for number, row in enumerate(rows):
        vector = _vector_of(row, column, number)
        if number == 0:
            matrix = np.empty((len(rows), len(vector)))
        if len(vector) != matrix.shape[1]:
            raise RowError(
                f"row {number}: column '{column}' holds a vector of {len(vector)} numbers, and that of row 0 has "
                f"{matrix.shape[1]}: vectors of one model alone can be compared"
            )
        matrix[number] = vector
    return matrix


def unit_vectors_of(rows: Sequence[Row], column: str = "embedding") -> Matrix:
    """The same, each scaled to length 1.

    Raises:
        RowError: as `matrix_of`, or a vector is all zeros and so has no direction.
    """
    import numpy as np

    matrix = matrix_of(rows, column)
    # First by the largest number, so that no square of it overflows or vanishes.
    largest = np.abs(matrix).max(axis=1, initial=0)
    if (zeros := np.flatnonzero(largest == 0)).size:
        raise RowError(
            f"row {zeros[0]}: column '{column}' holds a vector of zeros, which is similar to none; leave such rows out "
            "before this step"
        )
    matrix /= largest[:, None]
    matrix /= np.linalg.norm(matrix, axis=1)[:, None]
    return matrix


def _vector_of(row: Row, column: str, number: int) -> Matrix:
    import numpy as np

    try:
        cell = list_of(row, column)
    except RowError as error:
        raise RowError(f"row {number}: {error}; leave rows without a vector out before this step") from None
    try:
        vector = np.asarray(cell)
    except ValueError:  # lists of several lengths
        vector = np.asarray(None)
    if vector.ndim != 1 or vector.dtype.kind not in "iuf" or not vector.size:
        raise RowError(f"row {number}: column '{column}' holds {_shown(cell)} where a vector of numbers is expected")
    if not np.isfinite(vector).all():
        place = int(np.flatnonzero(~np.isfinite(vector))[0])
        raise RowError(f"row {number}: column '{column}' holds {vector[place]} at place {place} of its vector")
    return vector


def _shown(cell: list[Any]) -> str:
    if not cell:
        return "an empty list"
    for each in cell:
        if isinstance(each, bool) or not isinstance(each, int | float):
            return f"a list with {kind_of(each)} in it"
    return "a list with a number of more than 64 bits in it"

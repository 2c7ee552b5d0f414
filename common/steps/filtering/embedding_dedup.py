"""EmbeddingDedup: finds rows whose vectors are nearly those of earlier rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from common.cells import list_of
from common.errors import RowError
from common.parameters.runtime_parameters import RuntimeOption
from common.steps.base import GlobalStep, Row, StepInput, StepOutput
from common.steps.vectors.matrix import unit_vectors_of

if TYPE_CHECKING:
    from common.steps.vectors.matrix import Matrix

_LINES = 1_000
_CELLS = 4_000_000
"""Similarities in memory at a time, beside the vectors."""
_ROUNDING = 1e-9
"""By how much a similarity may fall short of `threshold`: equal vectors have one of 1, but for the last digits."""


class EmbeddingDedup(GlobalStep):
    """Adds `keep_row_after_embedding_filtering`: False if the `embedding` of an earlier row is nearly the same.

    Vectors are compared by their cosine, whatever their lengths. Rows are marked, not dropped; of similar rows the
    first is kept, and the others have its number, from 0, in `duplicate_of`. A row is compared with those that are
    kept, so in a chain of similar rows, none is dropped for one that is itself dropped.

    Every pair of rows is compared, exactly, in blocks: time grows with the rows times those that are kept, memory with
    the rows alone. If rows have `nn_indices`, as after `FaissNearestNeighbour`, only those pairs are compared, which
    is faster for millions of rows, and finds what its `k` and its index find. `nn_scores` are not used, so the metric
    of the index does not matter.
    """

    _version: ClassVar[int] = 1

    final_errors = (RowError,)

    threshold: RuntimeOption[float] = Field(
        default=0.9, ge=-1, le=1, description="Least cosine of two vectors at which their rows are duplicates."
    )

    @property
    def inputs(self) -> dict[str, bool]:
        return {"embedding": True, "nn_indices": False}

    @property
    def outputs(self) -> list[str]:
        return ["keep_row_after_embedding_filtering", "duplicate_of"]

    def process(self, inputs: StepInput) -> StepOutput:
        """Yields all rows, in order, each with its marks.

        Raises:
            RowError: an embedding is missing, all zeros or no vector of finite numbers as long as the others, or
                `nn_indices` are not the numbers of rows; this ends the run.
        """
        vectors = unit_vectors_of(inputs)
        least = self.threshold - _ROUNDING
        if inputs and "nn_indices" in inputs[0]:
            originals = _among_neighbours(vectors, _earlier_neighbours(inputs), least)
        else:
            originals = _among_all(vectors, least)
        yield [
            {**row, "keep_row_after_embedding_filtering": original is None, "duplicate_of": original}
            for row, original in zip(inputs, originals, strict=True)
        ]


def _among_all(vectors: Matrix, least: float) -> list[int | None]:
    """For each row the first earlier one that is kept and similar; None if there is none. Overwrites `vectors`."""
    import numpy as np

    found: list[int | None] = []
    kept: list[int] = []
    for start in range(0, len(vectors), _LINES):
        block = vectors[start : start + _LINES].copy()
        originals = _first_similar(block, vectors[: len(kept)], least)
        within = block @ block.T >= least
        kept_here: list[int] = []
        for line, place in enumerate(originals):
            if place >= 0:
                found.append(kept[place])
                continue
            similar = within[line, kept_here]
            if similar.any():
                found.append(start + kept_here[int(np.argmax(similar))])
                continue
            found.append(None)
            kept_here.append(line)
        # The vectors of kept rows stand at the front: no more of them are kept than were read.
        vectors[len(kept) : len(kept) + len(kept_here)] = block[kept_here]
        kept += [start + line for line in kept_here]
    return found


def _first_similar(block: Matrix, kept: Matrix, least: float) -> list[int]:
    """For each line of a block the first line of `kept` that is similar; -1 if there is none."""
    import numpy as np

    found = np.full(len(block), -1)
    size = max(1, _CELLS // _LINES)
    for start in range(0, len(kept), size):
        open_lines = np.flatnonzero(found < 0)
        similar = block[open_lines] @ kept[start : start + size].T >= least
        hits = similar.any(axis=1)
        found[open_lines[hits]] = start + similar[hits].argmax(axis=1)
    return [int(place) for place in found]


def _among_neighbours(vectors: Matrix, earlier: list[set[int]], least: float) -> list[int | None]:
    """The same as `_among_all`, of the pairs that are given."""
    import numpy as np

    found: list[int | None] = []
    for line, neighbours in enumerate(earlier):
        kept = sorted(each for each in neighbours if found[each] is None)
        similar = np.flatnonzero(vectors[kept] @ vectors[line] >= least)
        found.append(kept[int(similar[0])] if similar.size else None)
    return found


def _earlier_neighbours(rows: list[Row]) -> list[set[int]]:
    """For each row the earlier ones that are its neighbours, or whose neighbour it is."""
    earlier: list[set[int]] = [set() for _ in rows]
    for line, row in enumerate(rows):
        try:
            neighbours = list_of(row, "nn_indices")
        except RowError as error:
            raise RowError(f"row {line}: {error}") from None
        for each in neighbours:
            if isinstance(each, bool) or not isinstance(each, int) or each >= len(rows):
                raise RowError(
                    f"row {line}: column 'nn_indices' holds {each!r}, which is not the number of one of {len(rows)} "
                    "rows; put EmbeddingDedup right after FaissNearestNeighbour, or drop the column before it"
                )
            if each >= 0 and each != line:  # an index that finds too few neighbours says -1
                earlier[max(line, each)].add(min(line, each))
    return earlier

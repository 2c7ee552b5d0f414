"""DeitaFiltering: chooses few, good and diverse rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from common.cells import cell_of, kind_of
from common.errors import RowError
from common.steps.base import GlobalStep, Row, StepInput, StepOutput
from common.steps.vectors.matrix import matrix_of

if TYPE_CHECKING:
    import numpy as np

_SCORES = ("evol_instruction_score", "evol_response_score")
_CELLS = 4_000_000
"""Numbers in memory at a time, beside the vectors."""


class DeitaFiltering(GlobalStep):
    """Keeps the `data_budget` rows with the best scores among those that are far enough from every other row.

    `deita_score` is the product of `evol_instruction_score` and `evol_response_score`, or the one that is there, or 0;
    `deita_score_computed_with` names them. `nearest_neighbor_distance` is that of the row's `embedding` to the nearest
    of all rows, infinite for a row alone; rows below `diversity_threshold` are left out, so of two equal rows neither
    stays: remove duplicates first. Rows come out by score, the best first. After "What Makes Good Data for Alignment?"
    (Liu et al., 2023, arXiv:2312.15685). Time grows with the square of the rows.
    """

    _version: ClassVar[int] = 1

    final_errors = (RowError,)

    data_budget: int = Field(ge=1, description="Most rows to keep.")
    diversity_threshold: float = Field(default=0.9, description="Least distance of a row to the nearest other one.")
    normalize_embeddings: bool = Field(default=True, description="Scale vectors to length 1 first.")
    distance_metric: Literal["cosine", "manhattan"] = Field(
        default="cosine", description="The distance: 1 minus the product of two vectors, or the sum of differences."
    )

    @property
    def inputs(self) -> list[str]:
        return [*_SCORES, "embedding"]

    @property
    def outputs(self) -> list[str]:
        return ["deita_score", "nearest_neighbor_distance", "deita_score_computed_with"]

    def process(self, inputs: StepInput) -> StepOutput:
        """Yields the chosen rows.

        Raises:
            RowError: a score is no number, or an embedding is no vector of finite numbers as long as the others; this
                ends the run.
        """
        scored = [{**row, **_score(row)} for row in inputs]
        for row, distance in zip(scored, self._distances(scored), strict=True):
            row["nearest_neighbor_distance"] = distance
        far = [row for row in scored if row["nearest_neighbor_distance"] >= self.diversity_threshold]
        yield sorted(far, key=lambda row: -row["deita_score"])[: self.data_budget]

    def _distances(self, rows: list[Row]) -> list[float]:
        import numpy as np

        if not rows:
            return []
        vectors = matrix_of(rows)
        if self.normalize_embeddings:
            lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
            vectors = vectors / np.where(lengths == 0, 1, lengths)
        found: list[float] = []
        width = len(rows) * (1 if self.distance_metric == "cosine" else max(1, vectors.shape[1]))
        size = max(1, _CELLS // width)
        for start in range(0, len(rows), size):
            part = self._between(vectors[start : start + size], vectors)
            np.fill_diagonal(part[:, start:], np.inf)
            found += part.min(axis=1).tolist()
        return found

    def _between(self, some: np.ndarray[Any, Any], others: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        import numpy as np

        if self.distance_metric == "cosine":
            found: np.ndarray[Any, Any] = 1 - some @ others.T
            return found
        summed: np.ndarray[Any, Any] = np.abs(some[:, None] - others).sum(-1)
        return summed


def _score(row: Row) -> Row:
    """The score, and the columns that it is computed with."""
    score, used = 1.0, []
    for column in _SCORES:
        value = cell_of(row, column)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
            raise RowError(f"column '{column}' holds {kind_of(value)} where a number is expected")
        if value:
            score *= value
            used.append(column)
    return {"deita_score": score if used else 0.0, "deita_score_computed_with": used}

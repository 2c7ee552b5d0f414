"""DeitaFiltering: the best rows among those that are far from all others."""

from __future__ import annotations

from typing import Any

import pytest

from common.errors import RowError
from common.steps import DeitaFiltering
from common.steps.base import Row
from common.steps.filtering import deita
from worker.runners.attempts import call_step


def row(number: int, scores: tuple[Any, Any], embedding: Any) -> Row:
    first, second = scores
    return {"id": number, "evol_instruction_score": first, "evol_response_score": second, "embedding": embedding}


ROWS = [
    row(0, (1, 2), [1, 0, 0]),
    row(1, (3, 3), [0, 2, 0]),
    row(2, (6, 6), [0, 0, 1]),
    row(3, (5, 5), [0, 0, 3]),
    row(4, (None, 4), [0, 0, 0]),
]


def chosen(rows: list[Row], **parameters: Any) -> list[Row]:
    return call_step(DeitaFiltering(**parameters), [rows])


@pytest.mark.parametrize("cells", [1, 7, 4_000_000])
def test_the_best_of_the_rows_that_are_far_from_all_others_come_first(
    cells: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deita, "_CELLS", cells)
    made = chosen(ROWS, data_budget=10)
    assert [(each["id"], each["deita_score"]) for each in made] == [(1, 9), (4, 4), (0, 2)]
    assert [each["id"] for each in chosen(ROWS, data_budget=2)] == [1, 4]
    assert made[1]["deita_score_computed_with"] == ["evol_response_score"]
    made = chosen(ROWS, data_budget=9, diversity_threshold=2, distance_metric="manhattan", normalize_embeddings=False)
    assert [(each["id"], each["nearest_neighbor_distance"]) for each in made] == [(3, 2), (1, 2)]


def test_few_rows_and_none_are_no_error() -> None:
    assert chosen([], data_budget=1) == []
    (alone,) = chosen([row(0, (None, None), [1.0])], data_budget=1)
    assert (alone["deita_score"], alone["deita_score_computed_with"]) == (0, [])
    assert alone["nearest_neighbor_distance"] == float("inf")


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (row(9, ("5", 1), [1, 0, 0]), "column 'evol_instruction_score' holds a value of type str"),
        (row(9, (5, 1), [1, 0]), "row 5: column 'embedding' holds a vector of 2 numbers, and that of row 0 has 3"),
        (row(9, (5, 1), [1, float("nan"), 0]), "row 5: column 'embedding' holds nan at place 1 of its vector"),
        (row(9, (5, 1), "text"), "column 'embedding' holds a value of type str where a list is expected"),
    ],
)
def test_wrong_cells_are_named(bad: Row, message: str) -> None:
    with pytest.raises(RowError, match=message):
        chosen([*ROWS, bad], data_budget=1)

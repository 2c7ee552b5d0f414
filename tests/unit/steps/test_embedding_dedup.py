"""EmbeddingDedup: of rows with nearly the same vector the first is kept, whatever the blocks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import RowError
from common.steps import EmbeddingDedup, GlobalStep
from common.steps.base import Row
from common.steps.filtering import embedding_dedup
from worker.runners.attempts import call_step

KEEP = "keep_row_after_embedding_filtering"


def marks(rows: Sequence[Row], **parameters: Any) -> list[int | None]:
    """The number of the row of which each is a duplicate."""
    made = call_step(EmbeddingDedup(**parameters), [list(rows)])
    assert [{name: row[name] for name in given} for row, given in zip(made, rows, strict=True)] == list(rows)
    assert all(row[KEEP] is (row["duplicate_of"] is None) for row in made)
    return [row["duplicate_of"] for row in made]


def originals(*vectors: Any, **parameters: Any) -> list[int | None]:
    return marks([{"id": number, "embedding": vector} for number, vector in enumerate(vectors)], **parameters)


def turned(degrees: float, length: float = 1.0) -> list[float]:
    return [length * math.cos(math.radians(degrees)), length * math.sin(math.radians(degrees))]


def compared_one_by_one(vectors: Sequence[Sequence[float]], threshold: float) -> list[int | None]:
    """What the step promises, pair by pair."""
    found: list[int | None] = []
    for vector in vectors:
        similar = (
            place
            for place, original in enumerate(found)
            if original is None
            and sum(a * b for a, b in zip(vector, vectors[place], strict=True))
            >= threshold * math.hypot(*vector) * math.hypot(*vectors[place]) - 1e-9
        )
        found.append(next(similar, None))
    return found


def test_of_similar_rows_the_first_is_kept_and_the_others_name_it() -> None:
    vectors = [turned(0), turned(90), turned(5), turned(95), turned(45), turned(0, length=7)]
    assert originals(*vectors) == [None, None, 0, 1, None, 0]
    assert originals(*vectors, threshold=0.7) == [None, None, 0, 1, 0, 0]
    assert originals(*vectors, threshold=-1) == [None, 0, 0, 0, 0, 0]
    assert originals() == []
    assert originals([3]) == [None]


def test_no_row_is_dropped_for_one_that_is_dropped() -> None:
    assert originals(turned(0), turned(20), turned(40), turned(60)) == [None, 0, None, 2]


@pytest.mark.parametrize("scale", [1e-200, 1.0, 1e200])
def test_a_threshold_of_one_finds_equal_directions_alone(scale: float) -> None:
    vector = [scale * math.sin(number) for number in range(384)]
    near = [each * (1 + 1e-3 * (number % 2)) for number, each in enumerate(vector)]
    assert originals(vector, near, vector, [each / 3 for each in vector], threshold=1) == [None, None, 0, 0]


@given(st.lists(st.tuples(st.integers(1, 9), st.integers(-9, 9)), max_size=40), st.integers(1, 5), st.integers(1, 30))
def test_blocks_change_nothing(vectors: list[tuple[int, int]], lines: int, cells: int) -> None:
    expected = compared_one_by_one(vectors, 0.9)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(embedding_dedup, "_LINES", lines)
        patch.setattr(embedding_dedup, "_CELLS", cells)
        assert originals(*map(list, vectors)) == expected


def test_of_rows_with_neighbours_those_pairs_alone_are_compared() -> None:
    neighbours = [[1], [0, 1, -1], [], [0], []]
    rows = [
        {"embedding": turned(angle), "nn_indices": found, "nn_scores": [99.0] * len(found)}
        for angle, found in zip((0, 80, 0, 1, 0), neighbours, strict=True)
    ]
    assert marks(rows) == [None, None, None, 0, None]
    rows[2]["nn_indices"] = [4]  # it is enough that one names the other
    assert marks(rows) == [None, None, None, 0, 2]


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({}, "row 1: the row has no column 'embedding'"),
        ({"embedding": None}, "row 1: .* holds None where a list is expected; leave rows without a vector out before"),
        ({"embedding": [1.0]}, "row 1: .* holds a vector of 1 numbers, and that of row 0 has 2"),
        ({"embedding": []}, "row 1: .* holds an empty list where a vector of numbers is expected"),
        ({"embedding": [0, 0.0]}, "row 1: column 'embedding' holds a vector of zeros, which is similar to none"),
        ({"embedding": [1, math.nan]}, "row 1: column 'embedding' holds nan at place 1"),
        ({"embedding": [-math.inf, 1]}, "row 1: column 'embedding' holds -inf at place 0"),
        ({"embedding": [1, "2"]}, "row 1: .* holds a list with a value of type str in it"),
        ({"embedding": [1, None]}, "row 1: .* holds a list with None in it where a vector of numbers is expected"),
        ({"embedding": [True, False]}, "row 1: .* holds a list with a value of type bool in it"),
        ({"embedding": [2**70, 1]}, "row 1: .* holds a list with a number of more than 64 bits in it"),
        ({"embedding": [[1], [1, 2]]}, "row 1: .* holds a list with a value of type list in it"),
    ],
)
def test_what_is_no_vector_is_named_with_its_row(bad: Row, message: str) -> None:
    with pytest.raises(RowError, match=message):
        call_step(EmbeddingDedup(), [[{"embedding": [1, 0]}, bad]])


@pytest.mark.parametrize(
    ("neighbours", "message"),
    [([2], "row 1: column 'nn_indices' holds 2, which is not the number of one of 2 rows"), (None, "row 1: .*None")],
)
def test_neighbours_of_other_rows_are_an_error(neighbours: Any, message: str) -> None:
    rows = [{"embedding": [1, 0], "nn_indices": [1]}, {"embedding": [1, 0], "nn_indices": neighbours}]
    with pytest.raises(RowError, match=message):
        call_step(EmbeddingDedup(), [rows])


def test_it_is_a_global_step_that_needs_vectors_and_no_neighbours() -> None:
    assert issubclass(EmbeddingDedup, GlobalStep)
    assert EmbeddingDedup().inputs == {"embedding": True, "nn_indices": False}
    assert EmbeddingDedup().output_columns({"embedding"}) == {"embedding", KEEP, "duplicate_of"}

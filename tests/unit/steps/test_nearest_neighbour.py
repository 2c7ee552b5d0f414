"""FaissNearestNeighbour: the nearest other rows of each row, with the real faiss."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import RowError, UsageError
from common.steps import EmbeddingDedup, FaissNearestNeighbour, GlobalStep
from common.steps.base import Row
from worker.runners.attempts import call_step

pytest.importorskip("faiss", reason="faiss-cpu is not installed; it is in the extra test")

LINE = [[0.0], [1.0], [3.0], [7.0], [15.0]]
COSINE: dict[str, Any] = {"string_factory": "L2norm,Flat", "metric_type": "INNER_PRODUCT"}


def made(vectors: Sequence[Any], **parameters: Any) -> list[Row]:
    rows = [{"id": number, "embedding": vector} for number, vector in enumerate(vectors)]
    step = FaissNearestNeighbour(**parameters)
    step.load()
    found = call_step(step, [rows])
    assert [{"id": row["id"], "embedding": row["embedding"]} for row in found] == rows
    return found


def indices(vectors: Sequence[Any], **parameters: Any) -> list[list[int]]:
    return [row["nn_indices"] for row in made(vectors, **parameters)]


def test_each_row_gets_its_nearest_others_with_the_squares_of_their_distances() -> None:
    found = made(LINE, k=2)
    assert [row["nn_indices"] for row in found] == [[1, 2], [0, 2], [1, 0], [2, 1], [3, 2]]
    assert [row["nn_scores"] for row in found] == [[1, 9], [1, 4], [4, 9], [16, 36], [64, 144]]
    assert indices(LINE) == [[1], [0], [1], [2], [3]]


@pytest.mark.parametrize("metric", [0, "INNER_PRODUCT", "METRIC_INNER_PRODUCT"])
def test_a_metric_has_a_number_and_a_name(metric: int | str) -> None:
    found = made([[1.0, 0.0], [9.0, 1.0], [1.0, 1.0]], metric_type=metric)
    assert [row["nn_indices"] for row in found] == [[1], [2], [1]]  # the longest vector is nearest to all
    assert [row["nn_scores"] for row in found] == [[9], [10], [10]]


def test_an_index_that_scales_vectors_gives_cosines() -> None:
    first, second = (row["nn_scores"] for row in made([[5, 0], [1, 1]], **COSINE))
    assert first == second == [pytest.approx(math.sqrt(0.5))]


def test_no_row_is_its_own_neighbour_even_among_equal_ones() -> None:
    found = indices([[1.0, 2.0]] * 6, k=3, search_batch_size=2)
    assert all(len(near) == len(set(near)) == 3 and number not in near for number, near in enumerate(found))


def test_few_rows_have_fewer_neighbours_and_none_are_no_error() -> None:
    assert indices(LINE[:3], k=9) == [[1, 2], [0, 2], [1, 0]]
    assert indices(LINE[:1]) == [[]]
    assert indices([]) == []


@given(st.lists(st.tuples(*[st.integers(-50, 50)] * 3), min_size=1, max_size=30), st.integers(1, 5), st.integers(1, 7))
def test_without_a_factory_the_search_is_exact_whatever_the_batches(
    vectors: list[tuple[int, int, int]], k: int, size: int
) -> None:
    for number, row in enumerate(made(list(map(list, vectors)), k=k, search_batch_size=size)):
        squares = [math.dist(vectors[number], other) ** 2 for other in vectors]
        nearest = sorted(square for other, square in enumerate(squares) if other != number)[:k]
        assert row["nn_scores"] == pytest.approx(nearest)
        assert [squares[other] for other in row["nn_indices"]] == pytest.approx(nearest)
        assert number not in row["nn_indices"]


@pytest.mark.parametrize("train_size", [None, 64, 10_000])
def test_an_index_that_is_trained_learns_from_the_rows(train_size: int | None) -> None:
    vectors = [[math.cos(number), math.sin(number), number / 50] for number in range(200)]
    exact = indices(vectors, k=3)
    found = indices(vectors, k=3, string_factory="IVF1,Flat", train_size=train_size)
    assert [set(near) for near in found] == [set(near) for near in exact]


def test_an_index_of_parts_that_finds_too_few_says_so_by_a_shorter_list() -> None:
    found = indices([[0.0], [0.1], [9.0]], k=2, string_factory="IVF2,Flat")
    assert found == [[1], [0], []]


def test_neighbours_by_distance_lead_to_the_same_duplicates_as_all_pairs() -> None:
    vectors = [[math.cos(angle), math.sin(angle)] for angle in (0, 1, 0.01, 2, 1.01, 0)]
    marked = call_step(EmbeddingDedup(), [made(vectors, k=5)])
    assert [row["duplicate_of"] for row in marked] == [None, None, 0, None, 1, 0]


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"string_factory": "Nope"}, "faiss knows no index 'Nope'"),
        ({"metric_type": 99}, r"faiss has no metric_type 99; there are 0 \(INNER_PRODUCT\), 1 \(L2\)"),
        ({"metric_type": "cosine"}, "faiss has no metric_type 'cosine'"),
        ({"device": 0}, "device is 0, but this build of faiss finds no GPU"),
        ({"device": [0, 1]}, r"device is \[0, 1\], but"),
    ],
)
def test_options_that_faiss_does_not_have_are_found_before_the_run(parameters: Any, message: str) -> None:
    step = FaissNearestNeighbour(**parameters)
    for look in (step.check_here, step.load):
        with pytest.raises(UsageError, match=message):
            look()


@pytest.mark.parametrize(
    ("vectors", "parameters", "message"),
    [
        ([[1.0], None], {}, "row 1: column 'embedding' holds None"),
        ([[1.0], [1.0, 2.0]], {}, "row 1: column 'embedding' holds a vector of 2 numbers"),
        ([[1.0], [1e39]], {}, "row 1: column 'embedding' holds a number too large for the 32 bits of faiss"),
        ([[1.0]], {"string_factory": "IVF9,Flat"}, "1 vectors of 1 numbers with the index 'IVF9,Flat': Number of trai"),
        ([[1.0] * 3], {"string_factory": "PQ2"}, "'PQ2': The dimension of the vector"),
    ],
)
def test_what_faiss_cannot_search_is_said_with_the_reason(vectors: Any, parameters: Any, message: str) -> None:
    with pytest.raises(RowError, match=message):
        made(vectors, **parameters)


def test_without_faiss_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "faiss", None)
    for look in (FaissNearestNeighbour().check_here, FaissNearestNeighbour().load):
        with pytest.raises(UsageError, match=r"needs the package faiss: pip install 'penstock\[faiss\]'"):
            look()


def test_it_is_a_global_step_of_all_rows() -> None:
    assert issubclass(FaissNearestNeighbour, GlobalStep)
    assert FaissNearestNeighbour().output_columns({"embedding"}) == {"embedding", "nn_indices", "nn_scores"}

"""Data for models of embeddings: what is drawn for a row, and what a parameter fixes."""

from __future__ import annotations

from typing import Any

from common.steps.tasks import (
    BitextRetrievalGenerator,
    EmbeddingTaskGenerator,
    GenerateTextRetrievalData,
    MonolingualTripletGenerator,
)
from tests.support.tasks.scripted import rows_of, scripted

TRIPLET = '{"S1": "a", "S2": "b", "S3": "c"}'


def test_rows_draw_by_seed_and_by_what_they_hold() -> None:
    tasks: list[Any] = [scripted(GenerateTextRetrievalData, "x", {"seed": seed}) for seed in (1, 1, 2)]
    first, again, other = ([task.format_input({"task": "t", "n": n}) for n in range(30)] for task in tasks)
    assert first == again
    assert first != other
    assert len(set(first)) > 20


def test_a_parameter_fixes_what_would_be_drawn_and_leaves_the_rest_as_it_is() -> None:
    free: Any = scripted(GenerateTextRetrievalData, "x")
    fixed: Any = scripted(GenerateTextRetrievalData, "x", {"query_type": "common", "language": "Swahili"})
    for n in range(20):
        row = {"task": "t", "n": n}
        assert "The query is common," in fixed.format_input(row)
        assert "All texts are in Swahili." in fixed.format_input(row)
        _, _, rest = free.format_input(row).partition(" and has ")  # what is drawn after the type
        assert rest.partition("All texts")[0] in fixed.format_input(row)


def test_generators_draw_by_number_and_name_their_languages() -> None:
    task: Any = scripted(MonolingualTripletGenerator, TRIPLET, {"num_rows": 20, "batch_size": 7})
    rows = rows_of(task, {})
    assert len({messages[0]["content"] for messages in task.llm.asked}) > 10
    assert all(row.keys() == {"S1", "S2", "S3", "model_name", "distilabel_metadata"} for row in rows)
    bitext: Any = scripted(BitextRetrievalGenerator, TRIPLET, {"target_language": "Danish", "unit": "phrase"})
    rows_of(bitext, {})
    asked = bitext.llm.asked[0][0]["content"]
    assert "S1 in English, S2 and S3 in Danish, each of them a phrase" in asked


def test_flat_tasks_are_rows_from_any_row_on() -> None:
    parameters = {"category": "text-retrieval", "flatten_tasks": True, "num_rows": 3, "batch_size": 1}
    for offset in range(8):
        task: Any = scripted(EmbeddingTaskGenerator, ['["a", "b"]', '["c", "d", "e"]', '["f"]'], parameters)
        task.load()
        batches = list(task.process(offset))
        assert [row["task"] for rows, _ in batches for row in rows] == list("abcdef")[offset:]
        assert [is_last for _, is_last in batches] == [False, False, True]
    grouped = {**parameters, "num_rows": 1, "num_generations": 2, "group_generations": True}
    rows = rows_of(scripted(EmbeddingTaskGenerator, ['["a", "b"]', '["c"]'], grouped), {})
    assert [row["task"] for row in rows] == ["a", "b", "c"]

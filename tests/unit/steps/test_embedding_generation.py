"""EmbeddingGeneration: the vector of each text beside its row."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from common.building.components import models_in
from common.errors import RowError
from common.llms.embeddings import EchoEmbeddings
from common.steps import EmbeddingGeneration
from worker.runners.attempts import call_step


class Short(EchoEmbeddings):
    """Loses a vector."""

    def encode(self, inputs: Sequence[str]) -> list[list[float]]:
        return super().encode(inputs)[1:]


def test_each_row_gets_the_vector_of_its_own_text_and_the_model_that_made_it() -> None:
    step = EmbeddingGeneration(embeddings=EchoEmbeddings(dimensions=64), input_mappings={"text": "body"})
    rows = [{"id": 1, "body": "a cat"}, {"id": 2, "body": "a dog"}]
    vectors = EchoEmbeddings(dimensions=64).encode(["a cat", "a dog"])
    assert vectors[0] != vectors[1]
    assert call_step(step, [rows]) == [
        {**row, "embedding": vector, "model_name": "echo"} for row, vector in zip(rows, vectors, strict=True)
    ]
    assert call_step(step, [[]]) == []
    assert [model.model_name for _, model in models_in(step)] == ["echo"]


def test_a_row_without_text_and_a_client_that_loses_a_vector_are_errors() -> None:
    step = EmbeddingGeneration(embeddings={"type": "EchoEmbeddings"})
    with pytest.raises(RowError, match="column 'text' holds None where text is expected"):
        call_step(step, [[{"text": None}]])
    with pytest.raises(RowError, match="'echo' gave 1 vectors for 2 texts"):
        call_step(EmbeddingGeneration(embeddings=Short()), [[{"text": "a"}, {"text": "b"}]])

"""EmbeddingGeneration: adds the vectors of texts."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from common.cells import text_of
from common.errors import RowError
from common.llms.embeddings.base import Embeddings
from common.steps.base import Step, StepInput, StepOutput
from common.steps.tasks.asker import PromptError


class EmbeddingGeneration(Step):
    """Adds `embedding`, the vector of `text` by `embeddings`, and `model_name`.

    A batch of rows is one call of `embeddings`, which may split it. `input_mappings: {text: ...}` embeds another
    column. A vector is a list of floats, as long as the model makes it.
    """

    _version: ClassVar[int] = 1

    final_errors = (PromptError,)

    embeddings: Embeddings = Field(description="The client of the embedding model, such as {type: OpenAIEmbeddings}.")

    @property
    def inputs(self) -> list[str]:
        return ["text"]

    @property
    def outputs(self) -> list[str]:
        return ["embedding", "model_name"]

    def load(self) -> None:
        """Loads the client."""
        self.embeddings.load()

    def unload(self) -> None:
        """Unloads the client."""
        self.embeddings.unload()

    def process(self, inputs: StepInput) -> StepOutput:
        """Yields the rows, each with its vector.

        Raises:
            PromptError: a text is missing or is no text.
            RowError: the client gave another number of vectors, or the endpoint none.
        """
        try:
            texts = [text_of(row, "text") for row in inputs]
        except RowError as error:
            raise PromptError(str(error)) from None
        vectors = self.embeddings.encode(texts) if inputs else []
        if len(vectors) != len(inputs):
            raise RowError(f"'{self.embeddings.model_name}' gave {len(vectors)} vectors for {len(inputs)} texts")
        name = self.embeddings.model_name
        yield [{**row, "embedding": vector, "model_name": name} for row, vector in zip(inputs, vectors, strict=True)]

"""GenerateTextRetrievalData: a query, a document that answers it, and one that does not."""

from __future__ import annotations

import random
from typing import ClassVar, Literal, get_args

from pydantic import Field

from common.steps.tasks.embedding_data import CLARITY, EDUCATION, Clarity, Education, EmbeddingData, drawn
from common.steps.tasks.examples import Example

QueryType = Literal["extremely long-tail", "long-tail", "common"]
QueryLength = Literal["less than 5 words", "5 to 15 words", "at least 10 words"]
Words = Literal[50, 100, 200, 300, 400, 500]


class GenerateTextRetrievalData(EmbeddingData):
    """Sends the retrieval task in `task`; adds `user_query`, a `positive_document` and a `hard_negative_document`.

    What is not given of the parameters is drawn for each row, by `seed` and the row. A reply that is not one JSON
    object with the three texts is asked for again, `parse_retries` times; then the row fails.
    """

    _version: ClassVar[int] = 1

    keys: ClassVar[dict[str, str]] = {
        "user_query": "the query of a person",
        "positive_document": "a document that answers it",
        "hard_negative_document": "a document that seems to answer it and does not, or answers it less well",
    }
    worked_examples = (
        Example(
            row={"task": "Given a question about a plant, find the paragraph that answers it."},
            reply='{"user_query": "when do beans go into the soil", "positive_document": "Beans are sown in May.", '
            '"hard_negative_document": "Beans are eaten all over the world."}',
            made={
                "user_query": "when do beans go into the soil",
                "positive_document": "Beans are sown in May.",
                "hard_negative_document": "Beans are eaten all over the world.",
            },
        ),
    )

    query_type: QueryType | None = Field(default=None, description="How rare the query is.")
    query_length: QueryLength | None = Field(default=None, description="Length of the query.")
    difficulty: Education | None = Field(default=None, description="Education that a reader of the documents needs.")
    clarity: Clarity | None = Field(default=None, description="How easily the query is understood.")
    num_words: Words | None = Field(default=None, description="Words that each document has at least.")

    def what_to_write(self, task: str, chance: random.Random) -> str:
        query_type = drawn(self.query_type, get_args(QueryType), chance)
        query_length = drawn(self.query_length, get_args(QueryLength), chance)
        difficulty = drawn(self.difficulty, EDUCATION, chance)
        clarity = drawn(self.clarity, CLARITY, chance)
        num_words = drawn(self.num_words, get_args(Words), chance)
        return (
            f"Here is a task of text retrieval:\n{task}\n\n"
            f"Make up one example of it. The query is {query_type}, {clarity}, and has {query_length}. Each document "
            f"has at least {num_words} words, and to follow it takes an education of {difficulty} level. Documents "
            "stand by themselves: they do not speak of the query, and share few words with it. A reader needs "
            "the positive one to answer the query, and cannot answer it from the other."
        )

"""EmbeddingTaskGenerator: descriptions of tasks for which data for models of embeddings is then made up."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar, Literal

from pydantic import Field

from common.errors import RowError
from common.steps.base import Row, StepColumns
from common.steps.tasks.embedding_data import CITATION
from common.steps.tasks.examples import Example
from common.steps.tasks.generator_task import GeneratorTask
from common.steps.tasks.reply_forms import schema_with
from common.steps.tasks.reply_parts import lists_in

_KINDS = {
    "text-retrieval": "text retrieval: a query is given, and a document is to be found. Vary who asks, what is asked "
    "for and what the documents are",
    "text-matching-short": "matching short texts: a text of a few words or one sentence is given, and another one "
    "that belongs to it is to be found. Both are short",
    "text-matching-long": "matching long texts: a document is given, and another one that belongs to it is to be "
    "found. Both are long",
    "text-classification": "text classification: a text is given, and one of a few labels is to be found. Name what "
    "the texts are and what is to be told",
}


class EmbeddingTaskGenerator(GeneratorTask):
    """Asks for 20 descriptions of tasks of a `category`, and adds them as `tasks`.

    With `flatten_tasks` there is a row for each, with the column `task`, which `GenerateTextRetrievalData` and its kin
    read. A run that is resumed asks again, or finds the answers that were kept, and goes on after as many rows. A reply
    that is not one JSON array of texts is asked for again, `parse_retries` times.
    """

    _version: ClassVar[int] = 1

    citations = (CITATION,)
    worked_examples = (
        Example(
            row={},
            reply='["Find the recipe that uses what is left in a fridge.", "Find the law that a question is about."]',
            made={
                "tasks": [
                    "Find the recipe that uses what is left in a fridge.",
                    "Find the law that a question is about.",
                ]
            },
            parameters={"category": "text-retrieval"},
        ),
        Example(
            row={},
            reply='["Tell spam from mail.", "Tell the mood of a song by its words."]',
            made={"task": "Tell spam from mail."},
            parameters={"category": "text-classification", "flatten_tasks": True},
        ),
    )

    category: Literal["text-retrieval", "text-matching-short", "text-matching-long", "text-classification"] = Field(
        description="Of the tasks."
    )
    flatten_tasks: bool = Field(default=False, description="A row for each task, instead of one with the list.")

    @property
    def outputs(self) -> StepColumns:
        return ["task" if self.flatten_tasks else "tasks"]

    def get_structured_output(self) -> dict[str, Any]:
        return schema_with({"tasks": {"type": "array", "items": {"type": "string"}}})

    def format_input(self, row: Row, /) -> str:
        form = "a JSON object whose key tasks has an array" if self.use_default_structured_output else "a JSON array"
        return (
            f"Think of 20 tasks of {_KINDS[self.category]}. The tasks differ in their fields and their purposes, and "
            f"each is one sentence.\n\nReply with {form} of 20 texts, one for each task, and with nothing else."
        )

    def format_output(self, text: str | None, row: Row, /) -> dict[str, Any]:
        found = lists_in(text or "")
        if len(found) != 1:
            raise RowError(f"it has {len(found) or 'no'} JSON arrays of texts where one is expected")
        return {"task" if self.flatten_tasks else "tasks": found[0]}

    def process(self, offset: int = 0) -> Iterator[tuple[list[Row], bool]]:
        """See `GeneratorTask`."""
        yield from self._flat(offset) if self.flatten_tasks else super().process(offset)

    def _flat(self, offset: int) -> Iterator[tuple[list[Row], bool]]:
        """The rows after the first `offset` ones; how many an answer makes is known only once it is there."""
        for rows, is_last in super().process(0):
            flat = [each for row in rows for each in _each_task(row)]
            yield flat[offset:], is_last
            offset = max(0, offset - len(flat))


def _each_task(row: Row) -> list[Row]:
    tasks = row["task"]
    if not isinstance(tasks, list):
        return [row]
    # With group_generations, the lists of all answers.
    flat = [task for each in tasks for task in (each if isinstance(each, list) else [each])]
    return [{**row, "task": task} for task in flat]

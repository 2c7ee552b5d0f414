"""GenerateSentencePair: a sentence that belongs to another one, and maybe one that does not."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field

from common.cells import words_of
from common.steps.base import Row, StepColumns
from common.steps.tasks.base import Task
from common.steps.tasks.examples import Example
from common.steps.tasks.reply_forms import schema_of
from common.steps.tasks.reply_parts import parts_in

GenerationAction = Literal["paraphrase", "semantically-similar", "query", "answer"]

_POSITIVE = {
    "paraphrase": "says the same as the anchor in other words, with its meaning unchanged",
    "semantically-similar": "is about the same thing as the anchor and close to it in meaning, but is no paraphrase",
    "query": "is a query of a person for whom the anchor is the right search result",
    "answer": "answers the question or the request in the anchor",
}
_NEGATIVE = "belongs to another subject, so that nobody would take it for a match of the anchor"
_HARD_NEGATIVE = (
    "looks like a match at first sight, with the subject and some of the words of the anchor, and yet is none"
)


class GenerateSentencePair(Task):
    """Sends `anchor`, and adds a `positive` for it; with `triplet` also a `negative`. Such rows train embeddings.

    The reply has its parts between tags, or is a JSON object. One without a part, or with two of a kind, is asked for
    again, `parse_retries` times; then the row fails.
    """

    _version: ClassVar[int] = 1

    inputs: ClassVar[list[str]] = ["anchor"]
    citations = (
        "@inproceedings{reimers2019sentencebert,\n"
        "  title={Sentence-{BERT}: Sentence Embeddings using Siamese {BERT}-Networks},\n"
        "  author={Reimers, Nils and Gurevych, Iryna},\n"
        "  booktitle={Proceedings of EMNLP-IJCNLP},\n"
        "  year={2019},\n"
        "  url={https://arxiv.org/abs/1908.10084}\n"
        "}",
    )
    worked_examples = (
        Example(
            row={"anchor": "A tide is the rise and fall of the sea, caused by the moon."},
            reply="<positive>why does the sea rise twice a day</positive>\n"
            "<negative>why does the moon look larger near the horizon</negative>",
            made={
                "positive": "why does the sea rise twice a day",
                "negative": "why does the moon look larger near the horizon",
            },
            parameters={"action": "query", "triplet": True, "hard_negative": True},
        ),
        Example(
            row={"anchor": "The ferry leaves at noon."},
            reply='{"positive": "At twelve the ferry departs."}',
            made={"positive": "At twelve the ferry departs."},
            parameters={"action": "paraphrase"},
        ),
    )

    action: GenerationAction = Field(description="What the positive is to the anchor.")
    triplet: bool = Field(default=False, description="Ask for a negative as well.")
    hard_negative: bool = Field(
        default=False, description="With triplet: the negative is close to the anchor, so that it is hard to tell."
    )
    context: str = Field(default="", description="What the data is for or about, as the model is told it.")

    @property
    def outputs(self) -> StepColumns:
        return self._parts

    @property
    def _parts(self) -> list[str]:
        return ["positive", "negative"] if self.triplet else ["positive"]

    def get_structured_output(self) -> dict[str, Any]:
        return schema_of(self._parts)

    def format_input(self, row: Row, /) -> str:
        wanted = [f"The positive {_POSITIVE[self.action]}."]
        if self.triplet:
            wanted.append(f"The negative {_HARD_NEGATIVE if self.hard_negative else _NEGATIVE}.")
        form = "\n".join(f"<{name}>the {name}</{name}>" for name in self._parts)
        if self.use_default_structured_output:
            form = f"A JSON object with {' and '.join(self._parts)}."
        context = f"\n\nWhat the data is for:\n{self.context}" if self.context.strip() else ""
        return (
            "You make data to train a model of sentence embeddings. You are given a text, the anchor. "
            f"{' '.join(wanted)} Write in the language of the anchor.{context}\n\n"
            f"Anchor:\n{words_of(row, 'anchor')}\n\n"
            f"Reply in this form, with nothing before or after it:\n{form}"
        )

    def format_output(self, text: str | None, row: Row, /) -> dict[str, Any]:
        return dict(parts_in(text or "", self._parts))

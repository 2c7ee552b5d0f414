"""TextClassification: the label of a text, or several."""

from __future__ import annotations

from collections import Counter
from typing import Any, ClassVar, Self

from pydantic import Field, PrivateAttr, field_validator, model_validator

from common.cells import words_of
from common.steps.base import Row
from common.steps.tasks.base import Task
from common.steps.tasks.examples import Example
from common.steps.tasks.labels import Labels

SYSTEM_PROMPT = "You classify texts. You reply with their labels alone."


class TextClassification(Task):
    """Has the model classify `text`, and adds `labels`: one label, or with `n` above 1 a list of `n` different ones.

    Labels are chosen among `available_labels`, or made up by the model if there are none; the case of their letters is
    corrected. For a text that says too little, `default_label` alone is right as well. A reply is a JSON object with
    `labels`, or nothing but an available label. One with other labels, or more or fewer, is asked for again,
    `parse_retries` times; then the row fails. `use_default_structured_output` lets the endpoint see to the form.
    """

    _version: ClassVar[int] = 1

    inputs: ClassVar[list[str]] = ["text"]
    outputs: ClassVar[list[str]] = ["labels"]
    citations = (
        "@misc{tam2024speak,\n"
        "  title={Let Me Speak Freely? A Study on the Impact of Format Restrictions on Performance of Large Language "
        "Models},\n"
        "  author={Zhi Rui Tam and Cheng-Kuang Wu and Yi-Lin Tsai and Chieh-Yen Lin and Hung-yi Lee and Yun-Nung "
        "Chen},\n"
        "  year={2024},\n"
        "  eprint={2408.02442},\n"
        "  archivePrefix={arXiv}\n"
        "}",
    )
    worked_examples = (
        Example(
            row={"text": "The soup was cold, and nobody said sorry."},
            reply='{"labels": "criticism"}',
            made={"labels": "criticism"},
            parameters={
                "query_title": "Review",
                "available_labels": {"praise": "the guest would come again", "criticism": "the guest would not"},
            },
        ),
        Example(
            row={"text": "Vega is a blue star in Lyra, 25 light years away."},
            reply='{"labels": ["astronomy", "stars"]}',
            made={"labels": ["astronomy", "stars"]},
            parameters={"n": 2, "context": "The labels become the tags of an encyclopedia.", "default_label": None},
        ),
        Example(
            row={"text": "Hm."},
            reply='{"labels": "neutral"}',
            made={"labels": "neutral"},
            parameters={
                "available_labels": ["happy", "sad"],
                "default_label": "neutral",
                "examples": ["I could hug the world: happy"],
                "use_default_structured_output": True,
            },
        ),
    )

    system_prompt: str | None = Field(
        default=SYSTEM_PROMPT, description="System message at the beginning of each conversation."
    )
    n: int = Field(default=1, ge=1, description="Labels of each text; above 1 the column holds a list.")
    context: str | None = Field(default=None, description="What the labels are for or about, as the model is told it.")
    examples: list[str] | None = Field(
        default=None, description="Texts with their labels, shown to the model, each as you write it."
    )
    available_labels: list[str] | dict[str, str] | None = Field(
        default=None, description="The labels to choose from, or a mapping of each to what it means; null for any."
    )
    default_label: str | list[str] | None = Field(
        default="Unclassified",
        description="The label, or with n above 1 the labels, of a text that says too little; null for none.",
    )
    query_title: str = Field(default="User Query", min_length=1, description="What the texts are, such as Review.")

    _labels: Labels | None = PrivateAttr(default=None)

    @field_validator("available_labels", "default_label")
    @classmethod
    def _are_labels(cls, given: Any) -> Any:
        labels = [given] if isinstance(given, str) else list(given or ())
        if given is not None and not labels:
            raise ValueError("there is no label in it; leave it out, or give null, for none")
        times = Counter(labels)
        for label in times:
            if not label.strip():
                raise ValueError("a label has no words")
            if times[label] > 1:
                raise ValueError(f"label '{label}' is there twice")
        return given

    @model_validator(mode="after")
    def _there_are_enough(self) -> Self:
        if self.available_labels is not None and self.n > len(self.available_labels):
            raise ValueError(f"n is {self.n}, but available_labels has only {len(self.available_labels)}")
        if self.n == 1 and len(self._default) > 1:
            raise ValueError("default_label is a list, but n is 1, so a text has one label; give one, or raise n")
        return self

    @property
    def _default(self) -> list[str]:
        return [self.default_label] if isinstance(self.default_label, str) else self.default_label or []

    def _choice(self) -> Labels:
        return Labels.of(self.n, list(self.available_labels or ()), self._default)

    def load(self) -> None:
        super().load()
        self._labels = self._choice()

    def get_structured_output(self) -> dict[str, Any]:
        return self._choice().schema()

    def format_input(self, row: Row, /) -> str:
        title = self.query_title
        wanted = "the label that fits it best" if self.n == 1 else f"the {self.n} labels that fit it best"
        parts = [f"Classify the text below, under the heading {title}. Find {wanted}."]
        if self.context and self.context.strip():
            parts.append(self.context)
        parts.append(self._what_there_is())
        if self._default:
            default = _quoted(self._default)
            parts.append(f"If the text says too little to classify it, give {default} and no other label.")
        if self.examples:
            parts.append("\n".join(["Examples:", *(f"- {example}" for example in self.examples)]))
        parts.append(f"{title}:\n{words_of(row, 'text')}")
        form = '"the label"' if self.n == 1 else "[" + ", ".join(f'"label {i + 1}"' for i in range(self.n)) + "]"
        parts.append(f'Reply with this JSON object, and with nothing else: {{"labels": {form}}}')
        return "\n\n".join(parts)

    def _what_there_is(self) -> str:
        if self.available_labels is None:
            return "The labels are yours to choose: short ones, which most readers know, and none rarer than need be."
        if isinstance(self.available_labels, dict):
            lines = [f"- {label}: {meaning}" for label, meaning in self.available_labels.items()]
        else:
            lines = [f"- {label}" for label in self.available_labels]
        return "\n".join(["There are these labels and no others:", *lines])

    def format_output(self, text: str | None, row: Row, /) -> dict[str, Any]:
        """Call `load` first, which prepares the labels."""
        assert self._labels is not None, "call load() before processing rows"
        found = self._labels.read(text or "")
        return {"labels": found if self.n > 1 else found[0]}


def _quoted(labels: list[str]) -> str:
    return " and ".join(f'"{label}"' for label in labels)

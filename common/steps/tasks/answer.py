"""Answer: what a task has read from one answer of a model, or from several that belong together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from common.llms.base import ChatMessage, Generation

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Answer(Generic[T]):
    """An answer that a row can keep.

    Args:
        messages: that it answers.
        found: what was read from it, such as the columns of the task.
        questions: the answers that it is made of, in order, in a task that asks several things for one row.
    """

    messages: list[ChatMessage]
    generation: Generation
    found: T
    questions: tuple[Answer[Any], ...] = ()

    @classmethod
    def of(cls, questions: Sequence[Answer[Any]], found: T) -> Answer[T]:
        """What comes of several questions for one row.

        Args:
            questions: their answers, in the order in which the metadata has them.
            found: the columns that come of all of them.
        """
        last = questions[-1]
        return cls(last.messages, last.generation, found, tuple(questions))

    @property
    def asked(self) -> list[ChatMessage] | list[list[ChatMessage]]:
        """The messages, or those of each question."""
        return [each.messages for each in self.questions] if self.questions else self.messages

    @property
    def said(self) -> str | list[str | None] | None:
        """The text, or those of all questions."""
        return [each.generation.text for each in self.questions] if self.questions else self.generation.text

    @property
    def tokens(self) -> dict[str, int | None]:
        """`input_tokens` and `output_tokens`, of all questions; None if those of one are unknown."""
        generations = [each.generation for each in self.questions] or [self.generation]
        return {
            "input_tokens": _sum([each.input_tokens for each in generations]),
            "output_tokens": _sum([each.output_tokens for each in generations]),
        }


def _sum(counts: Sequence[int | None]) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if len(known) == len(counts) else None


def metadata_of(
    step: str, answers: Sequence[Answer[Any]], *, raw_input: bool, raw_output: bool, grouped: bool
) -> dict[str, Any]:
    """A task's metadata about one row.

    Args:
        raw_input: keep the messages; those of several generations are the same, but for a task of several questions.
        raw_output: keep the texts.
        grouped: the row has all answers, so texts and token counts are lists.
    """
    first = answers[0]
    asked = [each.asked for each in answers] if grouped and first.questions else first.asked
    said = [each.said for each in answers] if grouped else first.said
    tokens = [each.tokens for each in answers]
    return {
        **({f"raw_input_{step}": list(asked)} if raw_input else {}),
        **({f"raw_output_{step}": said} if raw_output else {}),
        f"statistics_{step}": {name: [each[name] for each in tokens] for name in tokens[0]} if grouped else tokens[0],
    }

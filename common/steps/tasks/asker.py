"""What a loaded task does with each row: makes the conversation, asks for its answers, and makes rows of them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from common.cells import kind_of
from common.errors import RowError, UsageError, words_of
from common.llms.base import LLM, ChatMessage, Generation
from common.llms.media.parts import described, has_parts, with_media
from common.llms.structured.reading import WrongForm
from common.llms.structured.structured_output import StructuredOutput
from common.steps.base import Row
from common.steps.metadata import with_metadata
from common.steps.retry import OutOfRetries
from common.steps.tasks.answer import Answer, metadata_of
from common.steps.tasks.asking import SHOWN_CHARACTERS, Asking, BadAnswer, Unreadable, ask_and_read
from common.steps.tasks.conversation import formatted, with_system_prompt
from common.steps.tasks.forms import llm_with_form

T = TypeVar("T")


class PromptError(RowError):
    """A row from which no prompt can be made; retrying would not help."""


class Formats(Protocol):
    """What the author of a task writes."""

    def format_input(self, row: Row, /) -> Any:
        """The messages for a row."""

    def format_output(self, text: str | None, row: Row, /) -> dict[str, Any]:
        """The columns that an answer gives."""


@dataclass(frozen=True, slots=True)
class Ways:
    """What the parameters of a task say about its rows, read once.

    Args:
        name: of the step.
        system_prompt: of the step.
        columns: that each answer must give.
        reasoning: the column of the model's reasoning; empty for none.
        raw_input: keep the messages in the metadata.
        raw_output: keep the answers in the metadata.
        needs_text: an answer of tool calls alone is none.
    """

    name: str
    system_prompt: str | None
    use_row_system_prompt: bool
    num_generations: int
    group_generations: bool
    columns: Sequence[str]
    reasoning: str
    enable_metadata: bool
    raw_input: bool
    raw_output: bool
    media_folder: str | None
    needs_text: bool


@dataclass(frozen=True, slots=True)
class Prompt:
    """What is sent for a row.

    Args:
        messages: without the content of images, sounds and files, for the metadata.
        sent: with it.
        llm: that answers in the form that the row demands.
    """

    messages: list[ChatMessage]
    sent: list[ChatMessage]
    llm: LLM


class Asker:
    """Asks for the rows of one task. Made when the task is loaded, so that a row looks nothing up.

    Args:
        task: whose formats it uses.
    """

    __slots__ = ("_asking", "_forms", "_llm", "_model_name", "_task", "ways")

    def __init__(self, task: Formats, llm: LLM, asking: Asking, ways: Ways) -> None:
        self.ways = ways
        self._task = task
        self._llm = llm
        self._asking = asking
        self._model_name = llm.model_name
        self._forms: dict[bytes, LLM] = {}

    async def rows(self, row: Row) -> Row | list[Row]:
        """The row with its answer, or one row per answer.

        Raises:
            PromptError: no prompt can be made from the row.
            RowError: the model gave no answer that the row can keep.
        """
        return self.rows_of(row, await self.answers(row, await self.prompt(row)))

    def rows_of(self, row: Row, answers: Sequence[Answer[dict[str, Any]]]) -> Row | list[Row]:
        """The row with its answer, one row for each, or with `group_generations` one row with lists."""
        if self.ways.group_generations:
            return self.row(row, answers)
        rows = [self.row(row, [answer]) for answer in answers]
        return rows[0] if len(rows) == 1 else rows

    def messages(
        self, row: Row, made: Any = None
    ) -> tuple[list[ChatMessage], StructuredOutput | Mapping[str, Any] | None]:
        """(the conversation of a row, with its system prompt; the form that the row demands of the answer).

        Args:
            made: what `format_input` would return, of a task that asks several things for one row.

        Raises:
            PromptError: no prompt can be made from the row.
        """
        try:
            made = self._task.format_input(row) if made is None else made
            form = None
            if isinstance(made, tuple) and len(made) == 2:  # as distilabel has it
                made, form = made
            ways = self.ways
            messages = with_system_prompt(formatted(made), row, ways.system_prompt, use_row=ways.use_row_system_prompt)
            return messages, form
        except UsageError:
            raise
        except RowError as error:
            raise PromptError(str(error)) from None
        except Exception as error:  # of the author's code, which would raise it again
            raise PromptError(f"format_input: {type(error).__name__}: {words_of(error)}") from error

    async def prompt(self, row: Row, made: Any = None) -> Prompt:
        """What is sent for a row; see `messages`.

        Raises:
            PromptError: no prompt can be made from the row.
        """
        messages, form = self.messages(row, made)
        try:
            llm = self._llm if form is None else llm_with_form(self._llm, form, self._forms)
            if not has_parts(messages):
                return Prompt(messages, messages, llm)
            sent = await asyncio.to_thread(with_media, messages, row, self.ways.media_folder)
            return Prompt(described(messages), sent, llm)
        except RowError as error:
            raise PromptError(str(error)) from None

    async def ask(
        self, row: Row, made: Any, read: Callable[[str], T], after: Sequence[Answer[Any]] | None = None
    ) -> Answer[T]:
        """One answer, for a task with a `process_row` of its own; `Answer.of` makes one of several for a row.

        Args:
            made: what is asked, as `format_input` may return it.
            read: of the answer's text; one for which it raises is asked for again, `parse_retries` times.
            after: the answers to the questions before it, which a row that fails here keeps in its metadata; None in a
                task that asks one thing for a row.

        Raises:
            PromptError: nothing can be asked.
            RowError: no answer came that the row can keep; it has the metadata of the last one.
        """
        prompt = await self.prompt(row, made)
        try:
            return await self._answer(prompt, lambda answer: self.readable(answer, lambda: read(answer.text or "")))
        except Exception as error:
            self._note(error, row, prompt.messages, after=after)
            raise

    async def answers(self, row: Row, prompt: Prompt) -> Sequence[Answer[dict[str, Any]]]:
        """All that the row needs, each asked for, and retried, by itself.

        Raises:
            RowError: one of them did not come; carries the metadata of all that did.
        """

        def read(answer: Generation) -> dict[str, Any]:
            return self.readable(answer, lambda: self._columns(answer, row))

        count = self.ways.num_generations
        if count == 1:
            asked = [await _settled(self._answer(prompt, read))]
        else:
            asked = await asyncio.gather(*(_settled(self._answer(prompt, read)) for _ in range(count)))
        answers = [one for one in asked if isinstance(one, Answer)]
        for error in asked:
            if isinstance(error, Exception):
                self._note(error, row, prompt.messages, others=answers)
                raise error
        return answers

    async def _answer(self, prompt: Prompt, read: Callable[[Generation], T]) -> Answer[T]:
        generation, found = await ask_and_read(prompt.llm, prompt.sent, self._asking, read)
        return Answer(prompt.messages, generation, found)

    def readable(self, answer: Generation, read: Callable[[], T]) -> T:
        """What the author's code reads from an answer.

        Raises:
            Unreadable: the code has raised, with the answer's text.
            UsageError: the run must halt.
        """
        try:
            return read()
        except UsageError:
            raise
        except Exception as error:
            said = words_of(error)
            why = said if isinstance(error, RowError | WrongForm) else f"{type(error).__name__}: {said}"
            shown = (answer.text or "")[:SHOWN_CHARACTERS]
            raise Unreadable(
                f"the answer of model '{self._model_name}' cannot be read: {why}; the answer: {shown}", answer
            ) from error

    def _columns(self, answer: Generation, row: Row) -> dict[str, Any]:
        if answer.text is None and self.ways.needs_text:
            raise RowError("it has calls of tools and no text")
        found = self._task.format_output(answer.text, row)
        if not isinstance(found, dict):
            raise RowError(f"format_output returned {kind_of(found)} where a mapping of columns is expected")
        for name in self.ways.columns:
            if name not in found and name not in row:
                raise RowError(f"format_output returned no column '{name}'")
        return found

    def row(self, row: Row, answers: Sequence[Answer[dict[str, Any]]]) -> Row:
        """The row with the columns of these answers: of one, or with `group_generations` a list for each column."""
        ways = self.ways
        generations = [answer.generation for answer in answers]
        if ways.group_generations:
            names = dict.fromkeys(name for answer in answers for name in answer.found)
            found = {name: [answer.found.get(name) for answer in answers] for name in names}
        else:
            found = answers[0].found
        made = {**row, **found, "model_name": self._model_name}
        if ways.reasoning:
            thoughts = [answer.reasoning for answer in generations]
            made[ways.reasoning] = thoughts if ways.group_generations else thoughts[0]
        if ways.enable_metadata:
            made |= self.metadata(row, answers, grouped=ways.group_generations)
        return made

    def metadata(self, row: Row, answers: Sequence[Answer[Any]], *, grouped: bool) -> dict[str, Any]:
        """The metadata column of the row; empty in a pipeline without `enable_metadata`."""
        ways = self.ways
        if not ways.enable_metadata:
            return {}
        found = metadata_of(ways.name, answers, raw_input=ways.raw_input, raw_output=ways.raw_output, grouped=grouped)
        return with_metadata(row, found)

    def _note(
        self,
        error: Exception,
        row: Row,
        messages: list[ChatMessage],
        *,
        others: Sequence[Answer[Any]] = (),
        after: Sequence[Answer[Any]] | None = None,
    ) -> None:
        """Gives the error what the model was asked and has said, for the row that fails with it."""
        cause = error.cause if isinstance(error, OutOfRetries) else error
        if isinstance(error, RowError) and isinstance(cause, BadAnswer):
            ways = self.ways
            bad: Answer[Any] = Answer(messages, cause.answer, None)
            grouped = ways.group_generations or (after is None and ways.num_generations > 1)
            answers = [*others, bad] if after is None else [Answer.of([*after, bad], None)]
            error.columns = cause.columns = self.metadata(row, answers, grouped=grouped)


async def _settled(call: Awaitable[T]) -> T | Exception:
    """Its answer or its error, so that one that fails does not leave the others running."""
    try:
        return await call
    except Exception as error:
        return error

"""TextGeneration: a prompt made from each row's columns, and a language model's answer to it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Sequence
from typing import Any, ClassVar, Self

import orjson
from pydantic import Field, PrivateAttr, field_validator, model_validator

from common.cells import kind_of
from common.errors import RowError
from common.llms.base import LLM, ChatMessage, Generation
from common.llms.media.parts import described, has_parts, with_media
from common.parameters.runtime_parameters import RuntimeOption
from common.steps.base import AsyncStep, Row, StepColumns
from common.steps.metadata import METADATA, task_metadata, with_metadata
from common.steps.retry import OutOfRetries, RetryPolicy
from common.steps.tasks.asking import BadAnswer, ask
from common.templates.prompt import PromptTemplate
from common.words.faults import hint

_TEMPLATE = "{{ instruction }}"
_RENDERED_CHARACTERS = 1_000_000
"""A text that is the whole prompt needs no template up to here; beyond, the limits of templates apply."""
_ONLY_COLUMN = re.compile(r"\s*\{\{\s*(\w+)\s*\}\}\s*")


class PromptError(RowError):
    """A row from which no prompt can be made; retrying would not help."""


class TextGeneration(AsyncStep):
    """Renders `template` with the row's columns, calls `llm`, and adds the columns `generation` and `model_name`.

    If the template is a single column, such as `{{ instruction }}`, and the column holds a list of messages (`role`,
    `content`), that list is sent as the conversation. Print any other list or mapping with `{{ column | tojson }}`.

    The content of a message may be a list of parts: `{type: text, text: ...}`, and images, sounds and files as
    `{type: image, image: SOURCE}`, `audio` and `file` alike, or as OpenAI writes them. A source is a URL, a path below
    `media_folder`, bytes, or `{bytes: ..., path: ...}` as `datasets` has it; `{type: image, column: photo}` takes it
    from a column. A file that is missing, or has more than 20,000,000 bytes, fails its row.

    A row with a column `system_prompt` that is not empty uses that instead of the step's. An answer without words, cut
    short, filtered or refused is asked for again as another sample, each of several generations by itself; when its
    `retries` are used up, the row fails. `accept: [length]` keeps answers that are cut short. A row for which the
    template would print a missing column or None fails too; use `{{ context or "" }}` or `{% if context %}` where that
    is meant.

    An `llm` with a `structured_output` answers in a given form. `generation` is the text of the answer, without a code
    fence around it; `structured_columns` adds a column for each property of a JSON object, None where it has none. An
    answer of the wrong form is shown to the model once, with its fault; if that does not help, it is asked for again.

    Templates are sandboxed: they change nothing of the row, and call the methods of texts, lists and mappings that are
    good for prompts. A row fails of which one makes more than 20,000,000 characters that are there at one time (an item
    of a list counts as 50), or takes more than 1,000,000 steps (a turn of a loop, a call, a filter, or 10,000
    characters that one goes through); both grow with a row that is itself large.

    In a pipeline with `enable_metadata`, what the model was sent, what it answered and how many tokens that took go to
    the column `distilabel_metadata`, beside what earlier tasks put there.
    """

    _version: ClassVar[int] = 2

    final_errors = (PromptError,)
    path_fields: ClassVar[tuple[str, ...]] = ("media_folder",)

    llm: LLM = Field(description="The model's client: {type: OpenAILLM, model: ..., base_url: ...}.")
    system_prompt: str | None = Field(default=None, description="System message at the beginning of each conversation.")
    template: str = Field(default=_TEMPLATE, description="Jinja2 template of the prompt.")
    columns: list[str] = Field(
        default_factory=list, description="Columns that the template uses; derived from the template by default."
    )
    num_generations: RuntimeOption[int] = Field(default=1, ge=1, description="Answers for each row.")
    group_generations: RuntimeOption[bool] = Field(
        default=False, description="One row with the list of its generations, instead of one row per generation."
    )
    add_raw_input: RuntimeOption[bool] = Field(
        default=True, description="If the pipeline has enable_metadata: keep the messages sent to the model."
    )
    add_raw_output: RuntimeOption[bool] = Field(
        default=True, description="If the pipeline has enable_metadata: keep the model's raw answer."
    )

    accept: RuntimeOption[list[str]] = Field(
        default_factory=list,
        description="Reasons to finish with which an answer is kept although it is cut short, such as length.",
    )

    structured_columns: bool = Field(
        default=False,
        description="If the llm's structured_output is a JSON object: also a column for each of its properties.",
    )

    media_folder: str | None = Field(
        default=None, description="Folder of the images, sounds and files that conversations name by a path."
    )

    _policy: RetryPolicy | None = PrivateAttr(default=None)
    _compiled: PromptTemplate | None = PrivateAttr(default=None)
    _only_column: str = PrivateAttr(default="")

    @field_validator("columns", mode="before")
    @classmethod
    def _from_one_name(cls, columns: Any) -> Any:
        return [columns] if isinstance(columns, str) else columns

    @field_validator("template")
    @classmethod
    def _template_is_right(cls, template: str) -> str:
        # The default template is not parsed: jinja2 is slow to import.
        if template != _TEMPLATE and not PromptTemplate(template).columns:
            raise ValueError("the template uses no column, so every prompt would be the same; write {{ column }} in it")
        return template

    @model_validator(mode="after")
    def _columns_are_those_of_the_template(self) -> Self:
        used = ["instruction"] if self.template == _TEMPLATE else PromptTemplate(self.template).columns
        self.columns = self.columns or used
        for name in used:
            if name not in self.columns:
                raise ValueError(f"template uses '{name}'{hint(name, self.columns, 'columns are')}")
        return self

    @model_validator(mode="after")
    def _columns_are_those_of_the_form(self) -> Self:
        if self.structured_columns:
            form = self.llm.answer_form
            if form is None or not form.properties:
                raise ValueError(
                    "structured_columns needs an llm with a structured_output whose schema is a JSON object with "
                    "properties: each becomes a column"
                )
            for name in ("generation", "model_name", METADATA):
                if name in form.properties:
                    raise ValueError(f"structured_columns: the schema has '{name}', a column of the step: rename it")
        return self

    @property
    def inputs(self) -> StepColumns:
        return {**dict.fromkeys(self.columns, True), "system_prompt": False}

    @property
    def outputs(self) -> StepColumns:
        metadata = [METADATA] if self._enable_metadata else []
        return ["generation", "model_name", *self._properties, *metadata]

    @property
    def _properties(self) -> list[str]:
        """Columns of the structured answer."""
        form = self.llm.answer_form if self.structured_columns else None
        return list(form.properties or ()) if form else []

    def load(self) -> None:
        only = _ONLY_COLUMN.fullmatch(self.template)
        self._only_column = only[1] if only else ""
        self._compiled = PromptTemplate(self.template)
        self._policy = RetryPolicy.of(self, [self.llm])
        self.llm.load()

    async def aload(self) -> None:
        await self.llm.aload()

    async def aunload(self) -> None:
        await self.llm.aunload()

    def unload(self) -> None:
        self.llm.unload()

    async def process_row(self, row: Row) -> Row | list[Row]:
        """Returns the row with its generation, or one row per generation.

        Raises:
            PromptError: no prompt can be made from the row.
            RowError: the model gave no text.
        """
        try:
            messages = self.format_input(row)
            sent = messages
            if has_parts(messages):
                sent = await asyncio.to_thread(with_media, messages, row, self.media_folder)
                messages = described(messages)
        except RowError as error:
            raise PromptError(str(error)) from None
        found = await self._answers(row, messages, sent)
        if self.group_generations:
            return self._answered(row, messages, found)
        rows = [self._answered(row, messages, [answer]) for answer in found]
        return rows[0] if self.num_generations == 1 else rows

    async def _answers(self, row: Row, messages: list[ChatMessage], sent: list[ChatMessage]) -> Sequence[Generation]:
        """Each asked for, and retried, by itself.

        Args:
            messages: for the metadata.
            sent: the same, with the content of images, sounds and files.
        """
        assert self._policy is not None, "call load() before processing rows"
        options, policy = self.llm.generation_kwargs, self._policy
        if self.num_generations == 1:
            asked = [await _settled(ask(self.llm, sent, policy, self.accept, **options))]
        else:
            calls = (ask(self.llm, sent, policy, self.accept, **options) for _ in range(self.num_generations))
            asked = await asyncio.gather(*map(_settled, calls))
        answers = [one for one in asked if isinstance(one, Generation)]
        for error in asked:
            if isinstance(error, Exception):
                cause = error.cause if isinstance(error, OutOfRetries) else error
                if isinstance(error, RowError) and isinstance(cause, BadAnswer):
                    grouped = self.group_generations or self.num_generations > 1
                    error.columns = cause.columns = self._metadata(
                        row, messages, [*answers, cause.answer], grouped=grouped
                    )
                raise error
        return answers

    def _answered(self, row: Row, messages: list[ChatMessage], answers: Sequence[Generation]) -> Row:
        columns: dict[str, list[Any]] = {"generation": [answer.text for answer in answers]}
        if names := self._properties:
            parsed = [orjson.loads(answer.text or "") for answer in answers]
            columns |= {name: [each.get(name) for each in parsed] for name in names}
        found = columns if self.group_generations else {name: values[0] for name, values in columns.items()}
        metadata = self._metadata(row, messages, answers, grouped=self.group_generations)
        return {**row, **found, "model_name": self.llm.model_name, **metadata}

    def _metadata(
        self, row: Row, messages: list[ChatMessage], answers: Sequence[Generation], *, grouped: bool
    ) -> dict[str, Any]:
        if not self._enable_metadata:
            return {}
        asked = messages if self.add_raw_input else None
        found = task_metadata(self.name, asked, answers, raw_output=self.add_raw_output, grouped=grouped)
        return with_metadata(row, found)

    def format_input(self, row: Row) -> list[ChatMessage]:
        """The conversation that is sent to the model; call `load` first."""
        own = row.get("system_prompt")
        if own is not None and not isinstance(own, str):
            raise RowError(f"column 'system_prompt' holds {kind_of(own)} where text is expected")
        conversation = row.get(self._only_column) if self._only_column else None
        if isinstance(conversation, list):
            messages = conversation_of(conversation, self._only_column)
            if messages[0]["role"] == "system":
                if own:
                    raise RowError(
                        f"the row has two system prompts: in column 'system_prompt' and in '{self._only_column}'"
                    )
                return messages
        elif isinstance(conversation, str) and 0 < len(conversation) < _RENDERED_CHARACTERS:
            messages = [{"role": "user", "content": conversation}]
        else:
            messages = [{"role": "user", "content": self._prompt(row)}]
        system_prompt = own or self.system_prompt
        return [{"role": "system", "content": system_prompt}, *messages] if system_prompt else messages

    def _prompt(self, row: Row) -> str:
        assert self._compiled is not None, "call load() before processing rows"
        try:
            return self._compiled.render(row)
        except RowError as error:
            none = [name for name in self.columns if row.get(name) is None]
            raise RowError(f"{error}; None in this row: {none}" if none else str(error)) from None
        except Exception as error:  # a template may call and compute anything
            columns = ", ".join(map(repr, row))
            raise RowError(f"template: {error}; the row has the columns {columns or 'none'}") from None


async def _settled(call: Awaitable[Generation]) -> Generation | Exception:
    """Its answer or its error, so that one that fails does not leave the others running."""
    try:
        return await call
    except Exception as error:
        return error


def conversation_of(turns: list[Any], column: str) -> list[ChatMessage]:
    """A list of messages, as sent to a model. Raises RowError for anything else."""
    for index, turn in enumerate(turns):
        if not isinstance(turn, dict) or not {"role", "content"} <= turn.keys():
            raise RowError(
                f"{column}[{index}] must be a message, a mapping with 'role' and 'content', not {kind_of(turn)}; to "
                f"print a list in the prompt, write {{{{ {column} | tojson }}}} in the template"
            )
    if not turns:
        raise RowError(f"column '{column}' holds an empty list where a text or a conversation is expected")
    # Parquet gives every message the fields of all messages, None where one lacks a field.
    messages: Any = [
        {name: value for name, value in turn.items() if value is not None or name == "content"} for turn in turns
    ]
    return list(messages)

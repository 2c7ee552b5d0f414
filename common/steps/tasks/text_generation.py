"""TextGeneration: a prompt made of each row's columns, and what a language model answers to it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

from pydantic import Field, PrivateAttr, field_validator, model_validator

from common.errors import RowError
from common.faults import hint
from common.llms.base import LLM, ChatMessage, Generation
from common.runtime_parameters import RuntimeOption
from common.steps.base import AsyncStep, Row, StepColumns
from common.steps.metadata import METADATA, task_metadata, with_metadata

if TYPE_CHECKING:
    from jinja2 import Template
    from jinja2.sandbox import SandboxedEnvironment

_TEMPLATE = "{{ instruction }}"


class TextGeneration(AsyncStep):
    """Renders `template` with the row's columns, asks `llm`, and adds the columns `generation` and `model_name`.

    A row with a column `system_prompt` that is not empty uses that instead of the step's. A generation cut short or
    filtered is kept as it came; a row for which the model gives no text at all fails. So does a row for which the
    template would print a missing column or None; use `{{ context or "" }}` or `{% if context %}` where that is meant.

    In a pipeline with `enable_metadata`, what the model was sent, what it answered and how many tokens that took go to
    the column `distilabel_metadata`, beside what earlier tasks put there.
    """

    llm: LLM = Field(description="The model's client: {type: OpenAILLM, model: ..., base_url: ...}.")
    system_prompt: str | None = Field(default=None, description="The first message of each conversation.")
    template: str = Field(default=_TEMPLATE, description="Jinja2 template of the prompt.")
    columns: list[str] = Field(
        default_factory=list, description="Columns that the template uses; taken from the template if not given."
    )
    num_generations: RuntimeOption[int] = Field(default=1, ge=1, description="Answers for each row.")
    group_generations: RuntimeOption[bool] = Field(
        default=False, description="One row with the list of its generations, instead of one row for each of them."
    )
    add_raw_input: RuntimeOption[bool] = Field(
        default=True, description="Where the pipeline has enable_metadata: keep the messages that the model was sent."
    )
    add_raw_output: RuntimeOption[bool] = Field(
        default=True, description="Where the pipeline has enable_metadata: keep the model's answer as it came."
    )

    _compiled: Template | None = PrivateAttr(default=None)

    @field_validator("columns", mode="before")
    @classmethod
    def _from_one_name(cls, columns: Any) -> Any:
        return [columns] if isinstance(columns, str) else columns

    @field_validator("template")
    @classmethod
    def _template_is_right(cls, template: str) -> str:
        if template != _TEMPLATE and not _variables(template):
            raise ValueError("it uses no column, so every prompt would be the same; write {{ column }} in it")
        return template

    @model_validator(mode="after")
    def _columns_are_those_of_the_template(self) -> Self:
        # The default template is not parsed: jinja2 takes its time to import.
        used = ["instruction"] if self.template == _TEMPLATE else _variables(self.template)
        self.columns = self.columns or used
        for name in used:
            if name not in self.columns:
                raise ValueError(f"template uses '{name}'{hint(name, self.columns, 'columns are')}")
        return self

    @property
    def inputs(self) -> StepColumns:
        return {**dict.fromkeys(self.columns, True), "system_prompt": False}

    @property
    def outputs(self) -> StepColumns:
        return ["generation", "model_name", *([METADATA] if self._enable_metadata else [])]

    def load(self) -> None:
        self._compiled = _environment().from_string(self.template)
        self.llm.load()

    async def aload(self) -> None:
        await self.llm.aload()

    async def aunload(self) -> None:
        await self.llm.aunload()

    def unload(self) -> None:
        self.llm.unload()

    async def process_row(self, row: Row) -> Row | list[Row]:
        """Returns the row with its generation, or a row for each of several.

        Raises:
            RowError: the prompt cannot be made, or the model gave no text.
        """
        messages = self.format_input(row)
        found = await self._answers(messages)
        for answer in found:
            if answer.text is None:
                grouped = self.group_generations or len(found) > 1
                raise RowError(self._no_text(answer), self._metadata(row, messages, found, grouped=grouped))
        if self.group_generations:
            return self._answered(row, messages, [answer.text for answer in found], found)
        rows = [self._answered(row, messages, answer.text, [answer]) for answer in found]
        return rows[0] if self.num_generations == 1 else rows

    async def _answers(self, messages: list[ChatMessage]) -> Sequence[Generation]:
        options = self.llm.generation_kwargs
        if self.num_generations == 1:
            return [await self.llm.agenerate(messages, **options)]
        answers = await asyncio.gather(
            *(self.llm.agenerate(messages, **options) for _ in range(self.num_generations)), return_exceptions=True
        )
        for answer in answers:
            if isinstance(answer, BaseException):
                raise answer
        return [answer for answer in answers if isinstance(answer, Generation)]

    def _answered(self, row: Row, messages: list[ChatMessage], generation: Any, answers: Sequence[Generation]) -> Row:
        metadata = self._metadata(row, messages, answers, grouped=self.group_generations)
        return {**row, "generation": generation, "model_name": self.llm.model_name, **metadata}

    def _metadata(
        self, row: Row, messages: list[ChatMessage], answers: Sequence[Generation], *, grouped: bool
    ) -> dict[str, Any]:
        if not self._enable_metadata:
            return {}
        asked = messages if self.add_raw_input else None
        found = task_metadata(self.name, asked, answers, raw_output=self.add_raw_output, grouped=grouped)
        return with_metadata(row, found)

    def format_input(self, row: Row) -> list[ChatMessage]:
        """The conversation that the model is asked to go on with; `load` comes first."""
        prompt: ChatMessage = {"role": "user", "content": self._prompt(row)}
        system_prompt = row.get("system_prompt") or self.system_prompt
        return [{"role": "system", "content": system_prompt}, prompt] if system_prompt else [prompt]

    def _prompt(self, row: Row) -> str:
        assert self._compiled is not None, "load() comes before the rows"
        try:
            return self._compiled.render(row)
        except RowError as error:
            none = [name for name in self.columns if row.get(name) is None]
            raise RowError(f"{error}; None in this row: {none}") from None
        except Exception as error:  # a template may call and compute what it likes
            columns = ", ".join(map(repr, row))
            raise RowError(f"template: {error}; the row has the columns {columns or 'none'}") from None

    def _no_text(self, answer: Generation) -> str:
        return f"model '{self.llm.model_name}' gave no text (finish_reason: {answer.finish_reason or 'not given'})"


def _variables(template: str) -> list[str]:
    """The columns that a template uses, sorted. Raises ValueError for one that is wrong, with its line."""
    from jinja2 import TemplateSyntaxError, meta

    environment = _environment()
    try:
        environment.from_string(template)  # finds what parsing does not, such as an unknown filter
    except TemplateSyntaxError as error:
        raise ValueError(f"line {error.lineno} of the template: {error.message}") from None
    return sorted(meta.find_undeclared_variables(environment.parse(template)))


def _environment() -> SandboxedEnvironment:
    from jinja2 import StrictUndefined
    from jinja2.sandbox import SandboxedEnvironment

    # A template is data of the spec, so it gets no way to Python's own objects.
    return SandboxedEnvironment(undefined=StrictUndefined, finalize=_refuse_none)


def _refuse_none(value: Any) -> Any:
    if value is None:
        raise RowError('template would print None; write {{ column or "" }} where a column may be None')
    return value

"""TextGeneration: a prompt made from each row's columns, and a language model's answer to it."""

from __future__ import annotations

from typing import Any, ClassVar, Self

import orjson
from pydantic import Field, PrivateAttr, field_validator, model_validator

from common.llms.base import ChatMessage
from common.steps.base import Row, StepColumns
from common.steps.metadata import METADATA
from common.steps.tasks.asking_step import MODEL_NAME
from common.steps.tasks.base import Task
from common.steps.tasks.examples import Example
from common.steps.tasks.prompts import RowPrompts
from common.templates.prompt import PromptTemplate
from common.words.faults import hint

_TEMPLATE = "{{ instruction }}"


class TextGeneration(Task):
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

    worked_examples = (
        Example(
            row={"instruction": "Name a primary colour."},
            reply="Red is a primary colour.",
            made={"generation": "Red is a primary colour."},
        ),
    )
    needs_text: ClassVar[bool] = False

    use_row_system_prompt: bool = Field(
        default=True, description="A row's column system_prompt, if it has words, replaces that of the step."
    )
    template: str = Field(default=_TEMPLATE, description="Jinja2 template of the prompt.")
    columns: list[str] = Field(
        default_factory=list, description="Columns that the template uses; derived from the template by default."
    )
    structured_columns: bool = Field(
        default=False,
        description="If the llm's structured_output is a JSON object: also a column for each of its properties.",
    )

    _prompts: RowPrompts | None = PrivateAttr(default=None)

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
            for name in ("generation", MODEL_NAME, METADATA):
                if name in form.properties:
                    raise ValueError(f"structured_columns: the schema has '{name}', a column of the step: rename it")
        return self

    @property
    def inputs(self) -> StepColumns:
        return dict.fromkeys(self.columns, True)

    @property
    def outputs(self) -> StepColumns:
        return ["generation", MODEL_NAME, *self._properties]

    @property
    def _properties(self) -> list[str]:
        """Columns of the structured answer."""
        form = self.llm.answer_form if self.structured_columns else None
        return list(form.properties or ()) if form else []

    def load(self) -> None:
        self._prompts = RowPrompts.of(self.template, self.columns)
        super().load()

    def format_input(self, row: Row, /) -> list[ChatMessage]:
        """Call `load` first, which compiles the template."""
        assert self._prompts is not None, "call load() before processing rows"
        return self._prompts.messages(row)

    def format_output(self, text: str | None, row: Row, /) -> dict[str, Any]:
        """The answer as it is."""
        if not self.structured_columns:
            return {"generation": text}
        parsed = orjson.loads(text or "")
        return {"generation": text, **{name: parsed.get(name) for name in self._properties}}

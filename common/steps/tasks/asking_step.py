"""What all steps that ask a model have in common: their parameters, and the columns that they add beside their own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self, TypeVar

from pydantic import Field, PrivateAttr, model_validator

from common.llms.base import LLM, ChatMessage
from common.llms.structured.structured_output import StructuredOutput
from common.parameters.runtime_parameters import RuntimeOption
from common.steps.base import BaseStep, Row, StepColumns
from common.steps.metadata import METADATA
from common.steps.retry import RetryPolicy
from common.steps.tasks.asker import Asker, PromptError, Ways
from common.steps.tasks.asking import Asking
from common.steps.tasks.conversation import SYSTEM_PROMPT
from common.steps.tasks.examples import Example

T = TypeVar("T")
MODEL_NAME = "model_name"


class AskingStep(BaseStep):
    """The common part of `Task` and `GeneratorTask`."""

    final_errors = (PromptError,)
    path_fields: ClassVar[tuple[str, ...]] = ("media_folder",)
    worked_examples: ClassVar[tuple[Example, ...]] = ()
    """What the task makes of a reply; documents show it, and a test plays it."""
    needs_text: ClassVar[bool] = True
    """Whether an answer that has calls of tools and no text is none."""

    llm: LLM = Field(description="The model's client: {type: OpenAILLM, model: ..., base_url: ...}.")
    system_prompt: str | None = Field(default=None, description="System message at the beginning of each conversation.")
    use_row_system_prompt: bool = Field(
        default=False, description="A row's column system_prompt, if it has words, replaces that of the step."
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
    add_reasoning: bool | str = Field(
        default=False, description="Keep the model's reasoning in the column reasoning, or in one of this name."
    )
    accept: RuntimeOption[list[str]] = Field(
        default_factory=list,
        description="Reasons to finish with which an answer is kept although it is cut short, such as length.",
    )
    parse_retries: RuntimeOption[int] = Field(
        default=1, ge=0, description="How often an answer that the task cannot read is asked for again."
    )
    use_default_structured_output: bool = Field(
        default=False, description="The llm must answer in the form that the task has for it, if it has one."
    )
    media_folder: str | None = Field(
        default=None, description="Folder of the images, sounds and files that conversations name by a path."
    )

    _asker: Asker | None = PrivateAttr(default=None)

    @classmethod
    def __pydantic_init_subclass__(cls, **options: Any) -> None:
        """Adds the columns of every task to those that a class declares."""
        super().__pydantic_init_subclass__(**options)
        for name, added in (("inputs", "_common_inputs"), ("outputs", "_common_outputs")):
            if isinstance(own := vars(cls).get(name), property):
                setattr(cls, name, property(_with_common(own, added), doc=own.__doc__))

    @model_validator(mode="before")
    @classmethod
    def _from_other_spellings(cls, given: Any) -> Any:
        if isinstance(given, Mapping) and "use_system_prompt" in given:
            return {"use_row_system_prompt" if key == "use_system_prompt" else key: given[key] for key in given}
        return given

    @model_validator(mode="after")
    def _demands_its_form(self) -> Self:
        schema = self.get_structured_output() if self.use_default_structured_output else None
        if schema is not None and self.llm.answer_form is None:
            if "structured_output" not in type(self.llm).model_fields:
                raise ValueError(
                    f"use_default_structured_output: {type(self.llm).__name__} has no structured_output, so it cannot "
                    "demand a form of its answers; set use_default_structured_output: false to ask without"
                )
            form = StructuredOutput.model_validate({"format": "json", "schema": schema})
            self.llm = self.llm.model_copy(update={"structured_output": form})
        return self

    def get_structured_output(self) -> dict[str, Any] | None:
        """The JSON Schema of `use_default_structured_output`; None if the task has none."""
        return None

    @property
    def _common_inputs(self) -> list[str]:
        return [SYSTEM_PROMPT] if self.use_row_system_prompt else []

    @property
    def _common_outputs(self) -> list[str]:
        metadata = [METADATA] if self._enable_metadata else []
        return [MODEL_NAME, *([self._reasoning] if self._reasoning else []), *metadata]

    @property
    def _reasoning(self) -> str:
        return self.add_reasoning if isinstance(self.add_reasoning, str) else "reasoning" * self.add_reasoning

    def load(self) -> None:
        """A subclass that has more to load calls this as well."""
        policy = RetryPolicy.of(self, [self.llm])
        asking = Asking(policy, tuple(self.accept), self.parse_retries, self.llm.generation_kwargs)
        self._asker = Asker(self, self.llm, asking, self._ways())
        self.llm.load()

    async def aload(self) -> None:
        await self.llm.aload()

    async def aunload(self) -> None:
        await self.llm.aunload()

    def unload(self) -> None:
        self.llm.unload()

    def format_input(self, row: Row, /) -> list[ChatMessage] | str | tuple[Any, Any]:
        """The conversation of a row, without the system prompt of the step; a text is one message of the user.

        distilabel's spelling, `format_input(self, input)`, does too, and so does its pair `(messages,
        structured_output)` for a form of that row alone. Pure: it gets the columns under the step's own names.

        Raises:
            RowError: no prompt can be made from the row, which then fails without a retry.
        """
        raise NotImplementedError

    def format_output(self, text: str | None, row: Row, /) -> dict[str, Any]:
        """The columns that an answer gives; distilabel's spelling, `format_output(self, output, input)`, does too.

        Pure. `text` is None only in a task whose `needs_text` is False.

        Raises:
            Exception: the answer cannot be read. It is asked for again, `parse_retries` times; then the row fails.
            UsageError: no answer could be read, so the run halts.
        """
        raise NotImplementedError

    def _ways(self) -> Ways:
        own = self.outputs
        required = own if isinstance(own, list) else [name for name, is_required in own.items() if is_required]
        return Ways(
            name=self.name,
            system_prompt=self.system_prompt,
            use_row_system_prompt=self.use_row_system_prompt,
            num_generations=self.num_generations,
            group_generations=self.group_generations,
            columns=tuple(name for name in required if name not in self._common_outputs),
            reasoning=self._reasoning,
            enable_metadata=self._enable_metadata,
            raw_input=self.add_raw_input,
            raw_output=self.add_raw_output,
            media_folder=self.media_folder,
            needs_text=self.needs_text,
        )

    @property
    def asker(self) -> Asker:
        """Asks for the rows of the loaded step."""
        assert self._asker is not None, "call load() before processing rows"
        return self._asker


def _with_common(own: property, added: str) -> Any:
    def columns(self: AskingStep) -> StepColumns:
        assert own.fget is not None
        found: StepColumns = own.fget(self)
        more = getattr(self, added)
        if isinstance(found, dict):
            required = added == "_common_outputs"
            return {**found, **{name: found.get(name, required) for name in more}}
        if added == "_common_inputs" and more:
            return {**dict.fromkeys(found, True), **{name: name in found for name in more}}
        return [*found, *(name for name in more if name not in found)]

    return columns

"""The contract of a language model client: messages in, one generation out."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from inspect import Parameter, signature
from typing import Any, ClassVar, Literal, Required, Self, TypedDict

from pydantic import Field, ValidationInfo, model_validator

from common.errors import UsageError
from common.llms.messages import ChatMessage as ChatMessage
from common.llms.model_client import ModelClient
from common.llms.structured.structured_output import StructuredOutput
from common.naming.catalogue import paths
from common.naming.registry import Namespace
from common.parameters.runtime_parameters import RuntimeOption
from common.words.faults import hint

Cached = Literal["earlier", "elsewhere"]


@dataclass(frozen=True, slots=True)
class Generation:
    """The answer of a model.

    Args:
        text: the answer; None if there is none (a refusal, a filter).
        finish_reason: why the model stopped: `stop`, `length`, `content_filter`, `tool_calls`, or the endpoint's own.
        input_tokens: tokens of the prompt, if the endpoint reports them.
        output_tokens: tokens of the answer, if the endpoint reports them.
        reasoning: what the model thought before it answered, if that is sent apart or in `<think>` tags.
        refusal: why it does not answer, in its words.
        model: the model that answered, as the endpoint calls it.
        cached_tokens: of the prompt's tokens, those that the endpoint had in its cache.
        reasoning_tokens: of the answer's tokens, those of the reasoning.
        tool_calls: calls of tools that the model wants, in the shape of chat completions.
        logprobs: as the endpoint sends them.
        cached: None if it was paid for now; `earlier` if this run had paid for it, `elsewhere` if another run had.
    """

    text: str | None
    finish_reason: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    reasoning: str | None = None
    refusal: str | None = None
    model: str | None = None
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None
    tool_calls: Any = None
    logprobs: Any = None
    cached: Cached | None = None


class Statistics(TypedDict, total=False):
    """Tokens of each generation, as distilabel counts them."""

    input_tokens: list[int]
    output_tokens: list[int]


class GenerateOutput(TypedDict, total=False):
    """What `agenerate` of a class written for distilabel returns."""

    generations: Required[list[str | None]]
    statistics: Statistics
    logprobs: list[Any]


def _as_mapping(name: str) -> str:
    """What to write instead of the name of a model or client."""
    if name in paths("LLM") or ":" in name:
        options = ", model: ..." if name == "OpenAILLM" else ""
        return f"an LLM is a mapping with its type: {{type: '{name}'{options}}}"
    return f"an LLM is a mapping with its type: {{type: OpenAILLM, model: '{name}'}}"


class LLM(ModelClient):
    """A client of a language model.

    A subclass defines `model_name` and `agenerate`. See `ModelClient` for what is called when.
    """

    keeps_answers: ClassVar[bool] = False
    """Whether what `agenerate` returns may be kept and returned again for an equal call, in this run or another one:
    whether it depends on the class, the parameters, `model_identity`, the messages and the options alone. A client of
    an endpoint leaves it False: it keeps the replies itself."""

    generation_kwargs: RuntimeOption[dict[str, Any]] = Field(
        default_factory=dict, description="Sampling options of each call, such as temperature and max_tokens."
    )

    @model_validator(mode="after")
    def _options_are_known(self) -> Self:
        known, others = _options(type(self))
        for name in () if others else self.generation_kwargs:
            if name not in known:
                raise ValueError(f"generation_kwargs has '{name}', not an option{hint(name, known, 'there are')}")
        return self

    @classmethod
    def _namespace(cls) -> Namespace[LLM]:
        return LLM_NAMES

    @classmethod
    def _from_type(cls, value: Any, info: ValidationInfo) -> Any:
        if isinstance(value, str):
            raise ValueError(_as_mapping(value))
        return super()._from_type(value, info)

    @classmethod
    def _without_type(cls) -> str:
        return "llm needs a type, for example {type: OpenAILLM, model: ...} or {type: EchoLLM}"

    @classmethod
    def runtime_parameter_keys(cls, parameter: str) -> Mapping[str, bool]:
        """Checks `generation_kwargs`: its keys are the keyword arguments of `agenerate`."""
        return _options(cls)[0] if parameter == "generation_kwargs" else {}

    @classmethod
    def takes_option(cls, name: str) -> bool:
        """Whether `agenerate` can be given an option of this name."""
        named, takes_others = _options(cls)
        return takes_others or name in named

    @property
    def continues_text(self) -> bool:
        """Whether the text of the only message is continued as it is, without a chat template around it."""
        return False

    @property
    def answer_form(self) -> StructuredOutput | None:
        """The form that answers must have; a task checks each. None if any text will do."""
        return None

    def with_form(self, form: StructuredOutput) -> Self:
        """The same client, open as it is, whose answers have another form.

        Raises:
            UsageError: it cannot demand that form.
        """
        raise UsageError(f"{type(self).__name__} has no structured_output, so it cannot demand a form of its answers")

    @abstractmethod
    async def agenerate(
        self, messages: list[ChatMessage], **kwargs: Any
    ) -> Generation | GenerateOutput | list[str | None] | str | None:
        """Answers `messages`; `kwargs` take precedence over `generation_kwargs`, which a task passes with each call.

        If a class names its options (`temperature: float, top_p: float = 1.0`), they are listed, and those without a
        default are required before a run.

        Returns:
            One answer: as a `Generation`, as its text alone, or as distilabel has it, a `GenerateOutput` or a list, of
            one generation.

        Raises:
            RowError: the endpoint gave no answer; names endpoint, model and the next move.
        """


LLM_NAMES: Namespace[LLM] = Namespace("LLM", LLM, "LLM", ("LLM",), "penstock.llms")  # type: ignore[type-abstract]


def resolve_llm(type_name: str, allow: Sequence[str] = ()) -> type[LLM]:
    """The LLM class that a spec calls `type_name`; see `Namespace.resolve`."""
    return LLM_NAMES.resolve(type_name, allow)


def _options(cls: type[LLM]) -> tuple[dict[str, bool], bool]:
    """The keyword arguments of `agenerate` other than the messages (is each optional?), and whether it takes others."""
    parameters = list(signature(cls.agenerate).parameters.values())
    named = {Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY}
    options = {each.name: each.default is not Parameter.empty for each in parameters[2:] if each.kind in named}
    return options, any(each.kind is Parameter.VAR_KEYWORD for each in parameters)

"""The contract of a language model client: messages in, one generation out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypedDict

from pydantic import BaseModel, ConfigDict, Field

from common.steps.base import RuntimeParameterMarker


class ChatMessage(TypedDict):
    """One message of a conversation."""

    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True, slots=True)
class Generation:
    """What a model answered.

    Args:
        text: the answer; None if the model gave none (a refusal, a filter).
        finish_reason: why it stopped, in the words of the endpoint: `stop`, `length`, `content_filter`...
        input_tokens: tokens of the prompt, if the endpoint says.
        output_tokens: tokens of the answer, if the endpoint says.
    """

    text: str | None
    finish_reason: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None


class LLM(BaseModel, ABC):
    """A client of a language model.

    A worker calls `load`, then on its event loop `aload`, many `agenerate` at once, and `aunload`, then `unload`.
    """

    model_config = ConfigDict(
        extra="forbid", validate_default=True, arbitrary_types_allowed=True, protected_namespaces=()
    )

    generation_kwargs: Annotated[dict[str, Any], RuntimeParameterMarker()] = Field(
        default_factory=dict, description="Sampling options of each call, such as temperature and max_tokens."
    )

    @property
    @abstractmethod
    def model_name(self) -> str:
        """What the column `model_name` of the dataset says."""

    @abstractmethod
    async def agenerate(self, messages: list[ChatMessage], **kwargs: Any) -> Generation:
        """Answers `messages`; `kwargs` go before `generation_kwargs`.

        Raises:
            RowError: the endpoint gave no answer; says which endpoint and model, and what to do.
        """

    def load(self) -> None:
        """Called once per worker: check the options and import heavy packages here."""

    async def aload(self) -> None:
        """Called once on the event loop that will run `agenerate`: open clients here."""

    async def aunload(self) -> None:
        """Called once on the event loop that ran `agenerate`."""

    def unload(self) -> None:
        """Called once on an orderly end of the worker."""

"""The contract of a client of an embedding model: texts in, one vector for each out."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Sequence
from inspect import isabstract
from typing import Any, ClassVar

from pydantic import ConfigDict, GetCoreSchemaHandler, ValidationInfo
from pydantic_core import CoreSchema, core_schema

from common.errors import UsageError
from common.llms.messages import ChatMessage
from common.naming.plain_data import dump_value
from common.naming.registry import NamedByType, Namespace
from common.parameters.constructors import ExplainedType
from common.parameters.runtime_parameters import RuntimeParametersMixin

Vector = list[float]


def _from_type(value: Any, info: ValidationInfo) -> Any:
    """Builds the client named by `type`; a validation context may hold `allow`, the modules to import it from."""
    if not isinstance(value, dict):
        return value
    if not isinstance(type_name := value.get("type"), str):
        raise ValueError("embeddings need a type, for example {type: OpenAIEmbeddings, model: ...}")
    found = EMBEDDINGS_NAMES.resolve(type_name, (info.context or {}).get("allow", ()))
    options = {name: option for name, option in value.items() if name != "type"}
    return found.model_validate(options, context=info.context)


def _with_type(embeddings: Embeddings) -> dict[str, Any]:
    dumped: dict[str, Any] = dump_value(embeddings)
    return dumped


class Embeddings(NamedByType, RuntimeParametersMixin, ABC, metaclass=ExplainedType):
    """A client of an embedding model.

    A subclass defines `encode`, as with distilabel, or `aencode` as well, and `aencode_conversation` if it can apply a
    chat template. A step calls `load`; then, on its event loop,
    `aload`, many concurrent `aencode` and `aunload`; then `unload`. A field of a step that is annotated `Embeddings`
    takes a client, or a mapping with its `type`.
    """

    model_config = ConfigDict(
        extra="forbid", validate_default=True, arbitrary_types_allowed=True, protected_namespaces=()
    )

    citations: ClassVar[tuple[str, ...]] = ()
    """BibTeX entries of the model; the dataset's card lists them."""
    final_errors: ClassVar[tuple[type[Exception], ...]] = ()
    """Errors for texts that cannot succeed: their rows fail without a retry."""

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        schema = handler(source)
        if not isabstract(cls):
            return schema
        written = core_schema.plain_serializer_function_ser_schema(_with_type)
        return core_schema.with_info_before_validator_function(_from_type, schema, serialization=written)

    @classmethod
    def _namespace(cls) -> Namespace[Embeddings]:
        return EMBEDDINGS_NAMES

    @property
    @abstractmethod
    def model_name(self) -> str:
        """The name of the model."""

    @property
    def model_identity(self) -> str:
        """Identifies the model; where it is served is not part of it."""
        return self.model_name

    @property
    def served_at(self) -> str:
        """Where it is served, without user, password or query; empty if irrelevant."""
        return ""

    @abstractmethod
    def encode(self, inputs: Sequence[str]) -> list[Vector]:
        """A vector for each text, in their order. Not on an event loop, which has `aencode`."""

    async def aencode(self, inputs: Sequence[str]) -> list[Vector]:
        """The same on an event loop; by default `encode` in a thread.

        Raises:
            RowError: the endpoint gave no vectors; names endpoint, model and the next move.
        """
        return await asyncio.to_thread(self.encode, inputs)

    async def aencode_conversation(self, messages: Sequence[ChatMessage]) -> Vector:
        """A vector of a whole conversation, of a client that can do that; on an event loop.

        Raises:
            UsageError: it encodes texts alone.
            RowError: the endpoint gave no vector.
        """
        raise UsageError(f"{type(self).__name__} encodes texts alone, not conversations")

    @property
    def encodes_conversations(self) -> bool:
        """Whether the class has an `aencode_conversation` of its own."""
        return type(self).aencode_conversation is not Embeddings.aencode_conversation

    def check_here(self) -> None:
        """Called before a run with local workers: checks for what this host lacks. Quick, offline.

        Raises:
            UsageError: says what is missing, and how to supply it.
        """

    def load(self) -> None:
        """Called once per worker: check options and import heavy packages here."""

    async def aload(self) -> None:
        """Called once on the event loop that will run `aencode`: open clients here."""

    async def aunload(self) -> None:
        """Called once on the event loop that ran `aencode`."""

    def unload(self) -> None:
        """Called once when the worker ends in an orderly way."""


EMBEDDINGS_NAMES: Namespace[Embeddings] = Namespace(
    "embeddings client",
    Embeddings,  # type: ignore[type-abstract]
    "Embeddings",
    ("embeddings",),
    "penstock.embeddings",
)

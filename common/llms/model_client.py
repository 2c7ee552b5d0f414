"""The contract that clients of models have in common, whatever they ask for: how a spec names one, and its life."""

from __future__ import annotations

from abc import ABC, abstractmethod
from inspect import isabstract
from typing import Any, ClassVar

from pydantic import ConfigDict, GetCoreSchemaHandler, ValidationInfo
from pydantic_core import CoreSchema, core_schema

from common.naming.plain_data import dump_value
from common.naming.registry import NamedByType
from common.parameters.constructors import ExplainedType
from common.parameters.runtime_parameters import RuntimeParametersMixin


def _with_type(client: ModelClient) -> dict[str, Any]:
    dumped: dict[str, Any] = dump_value(client)
    return dumped


class ModelClient(NamedByType, RuntimeParametersMixin, ABC, metaclass=ExplainedType):
    """A client of a model: an `LLM` or `Embeddings`.

    A worker calls `load`; then, on its event loop, `aload`, many concurrent calls and `aunload`; then `unload`. A field
    of a step that is annotated with an abstract class takes a client, or a mapping with its `type`.
    """

    model_config = ConfigDict(
        extra="forbid", validate_default=True, arbitrary_types_allowed=True, protected_namespaces=()
    )

    citations: ClassVar[tuple[str, ...]] = ()
    """BibTeX entries of the model; the dataset's card lists them."""
    final_errors: ClassVar[tuple[type[Exception], ...]] = ()
    """Errors of a call that cannot succeed: its rows fail without a retry."""

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        schema = handler(source)
        if not isabstract(cls):
            return schema
        written = core_schema.plain_serializer_function_ser_schema(_with_type)
        return core_schema.with_info_before_validator_function(cls._from_type, schema, serialization=written)

    @classmethod
    def _from_type(cls, value: Any, info: ValidationInfo) -> Any:
        """Builds the client named by `type`; a validation context may hold `allow`, the modules to import it from."""
        if not isinstance(value, dict):
            return value
        if not isinstance(type_name := value.get("type"), str):
            raise ValueError(cls._without_type())
        found = cls._namespace().resolve(type_name, (info.context or {}).get("allow", ()))
        options = {name: option for name, option in value.items() if name != "type"}
        return found.model_validate(options, context=info.context)  # for the clients in it

    @classmethod
    def _without_type(cls) -> str:
        """What to say of a mapping without a `type`."""
        raise NotImplementedError

    @property
    @abstractmethod
    def model_name(self) -> str:
        """The value of the dataset's column `model_name`."""

    @property
    def model_identity(self) -> str:
        """Identifies the model; part of the run's signature. Where it is served is not part of it.

        A worker with another identity leaves, since it would call another model.
        """
        return self.model_name

    @property
    def served_at(self) -> str:
        """Where it is served, without user, password or query; empty if irrelevant."""
        return ""

    def check_here(self) -> None:
        """Called by `validate` and before a run with local workers: checks for what this host lacks. Quick, offline.

        Raises:
            UsageError: says what is missing, and how to supply it.
        """

    def load(self) -> None:
        """Called once per worker: check options and import heavy packages here."""

    async def aload(self) -> None:
        """Called once on the event loop that will ask the model: open clients here."""

    async def aunload(self) -> None:
        """Called once on the event loop that asked the model."""

    def unload(self) -> None:
        """Called once when the worker ends in an orderly way."""

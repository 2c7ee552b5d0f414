"""A worker's description of a step whose class the coordinator cannot import: all that checks and fold need.

The step's first worker writes it into the run, and it is valid from then on.
"""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from inspect import Parameter
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from common.building.columns import declared_columns, leaving_columns
from common.building.components import components, models_in
from common.building.cuda import devices_wanted
from common.code.source import Sources
from common.errors import WireError
from common.llms.model_client import ModelClient
from common.naming.registry import resolve_function
from common.protocol.fields import first_problem
from common.steps.base import AsyncStep, BaseStep, GeneratorStep, GlobalStep, Step, StepKind
from common.steps.process_signature import process_parameters, takes_rows

KINDS: Mapping[StepKind, type[BaseStep]] = {
    "generator": GeneratorStep,
    "step": Step,
    "global": GlobalStep,
    "async": AsyncStep,
}
SIZE_LIMIT = 4 << 20
"""Most bytes of a descriptor."""

_Identifier = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=200)]
_Column = Annotated[str, Field(max_length=1_000)]


@dataclass(frozen=True, slots=True)
class ProcessParameter:
    """A parameter of `process`.

    Args:
        form: "one" or "many" (`*inputs`).
        rows: is it a `StepInput`?
    """

    name: _Identifier
    form: Literal["one", "many"]
    rows: bool


@dataclass(frozen=True, slots=True)
class StepDescriptor:
    """A step, as described by the worker that built it.

    Args:
        class_name: for messages.
        digest: of its source; see `step_digest`.
        settings: the parameters that every step of its kind has, defaults included: batch size, mappings, `on_error`...
        inputs: column -> is it required.
        adds_columns: do its rows have the incoming columns and `outputs`? If not, it has its own `output_columns`, so
            the columns depend on the data, except for a generator that knows them.
        columns: of a generator's rows; None if they depend on the data, and for the other kinds.
        process: parameters of `process`; none for an asynchronous step.
        coroutine: is `process_row` asynchronous?
        devices: GPUs that each worker takes; see `common.building.cuda`.
        fingerprint: of a generator's data.
        parameters: JSON Schema of all its parameters; empty if there are none.
    """

    class_name: _Identifier
    kind: StepKind
    digest: Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]
    settings: dict[str, Any]
    inputs: dict[_Column, bool]
    outputs: tuple[_Column, ...]
    adds_columns: bool
    columns: tuple[_Column, ...] | None
    process: tuple[ProcessParameter, ...]
    coroutine: bool
    devices: int | list[int] = 0
    fingerprint: str = ""
    parameters: dict[str, Any] = field(default_factory=dict)

    __pydantic_config__ = ConfigDict(extra="forbid", strict=True)

    def encode(self) -> bytes:
        """JSON."""
        return _adapter().dump_json(self)

    @classmethod
    def decode(cls, step: str, data: bytes) -> StepDescriptor:
        """The inverse.

        Raises:
            WireError: it is not what this version writes.
        """
        try:
            if len(data) > SIZE_LIMIT:
                raise ValueError(f"it has {len(data)} bytes")
            return _adapter().validate_json(data)
        except ValidationError as error:
            raise unreadable_descriptor(step, first_problem(error)) from None
        except ValueError as error:
            raise unreadable_descriptor(step, str(error)) from None


def unreadable_descriptor(step: str, problem: str) -> WireError:
    """The error about a descriptor that no worker of this version wrote."""
    return WireError(
        f"the descriptor of step '{step}' in the broker is not one that this version of Penstock writes "
        f"({problem}); start over with --fresh, with the same version on all hosts"
    )


def describe_step(step: BaseStep, sources: Sources | None = None) -> StepDescriptor:
    """Describes a built step.

    Args:
        sources: where its class has been looked at already.

    Raises:
        SpecFault: its own properties raise.
        Exception: what `fingerprint` raises.
    """
    base = KINDS[step.kind]
    generator = isinstance(step, GeneratorStep)
    leaving = leaving_columns(step, set()) if generator else None
    return StepDescriptor(
        class_name=type(step).__name__,
        kind=step.kind,
        digest=step_digest(step, sources),
        settings=step.model_dump(mode="json", include=set(base.model_fields) - {"name", *_unset(step)}),
        inputs=declared_columns(step, "inputs"),
        outputs=tuple(declared_columns(step, "outputs")),
        adds_columns=type(step).output_columns is BaseStep.output_columns,
        columns=None if leaving is None else tuple(sorted(leaving)),
        process=tuple(_process(step)),
        coroutine=isinstance(step, AsyncStep) and inspect.iscoroutinefunction(inspect.unwrap(type(step).process_row)),
        devices=devices_wanted(step),
        fingerprint=step.fingerprint() if isinstance(step, GeneratorStep) else "",
        parameters=_schema(type(step)),
    )


def _unset(step: BaseStep) -> list[str]:
    """Settings that coordinators of earlier versions do not know, and need not: the step leaves them as they were."""
    return ["skip_when"] if step.skip_when is None else []


def step_digest(step: BaseStep, sources: Sources | None = None) -> str:
    """Identifies the source of a step and its parts, such as its LLM: 16 hex digits.

    Args:
        sources: where its class has been looked at already.
    """
    digests = source_digests(step, sources or Sources())
    return hashlib.blake2b("".join(digests).encode(), digest_size=8).hexdigest()


def source_digests(step: BaseStep, sources: Sources) -> list[str]:
    """Identifies the code of a step: of its class and those of its models, then of the functions that it calls."""
    named = [name for field in step.function_fields if (name := getattr(step, field)) is not None]
    functions = [sources.of_function(inspect.unwrap(resolve_function(name, ("*",)))) for name in named]
    return [*sources.of_classes(component_classes(step)), *functions]


def model_identities(step: BaseStep) -> list[str]:
    """The identities of the models that a step asks, in the order of its fields; see `ModelClient.model_identity`."""
    return [_identity(model) for _, model in models_in(step)]


def _identity(model: ModelClient) -> str:
    try:
        return model.model_identity
    except Exception:  # in the user's own property, which needs `load` first
        return ""


def endpoints(steps: Mapping[str, BaseStep]) -> dict[str, str]:
    """Step -> where its models are served, as seen from this process; steps that do not say are omitted."""
    served = {
        name: ", ".join(model.served_at for _, model in models_in(step) if model.served_at)
        for name, step in steps.items()
    }
    return {name: places for name, places in served.items() if places}


def component_classes(step: BaseStep) -> set[type]:
    """The class of a step and those of the models in it, such as its LLM."""
    return {type(model) for _, model in components(step)}


def _process(step: BaseStep) -> Iterator[ProcessParameter]:
    for parameter in process_parameters(type(step)).values():
        if parameter.name != "self" and parameter.kind is not Parameter.VAR_KEYWORD:
            form: Literal["one", "many"] = "many" if parameter.kind is Parameter.VAR_POSITIONAL else "one"
            yield ProcessParameter(parameter.name, form, takes_rows(parameter))


def _schema(cls: type[BaseStep]) -> dict[str, Any]:
    try:
        return cls.model_json_schema()
    except Exception:  # the user's own type, without a schema
        return {}


def _adapter() -> TypeAdapter[StepDescriptor]:
    return TypeAdapter(StepDescriptor)

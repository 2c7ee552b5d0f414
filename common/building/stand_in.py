"""Stand-ins for steps that this process cannot import: they answer questions about the step, and never run."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from inspect import Parameter
from types import new_class
from typing import Any, ClassVar

from pydantic import ConfigDict, ValidationError

from common.building.descriptor import KINDS, ProcessParameter, StepDescriptor, unreadable_descriptor
from common.errors import SpecFault
from common.spec.spec import StepSpec
from common.steps.base import AsyncStep, BaseStep, GeneratorStep, GeneratorStepOutput, Step, StepInput, StepOutput
from common.words.faults import dotted, validation_faults


class Undescribed:
    """Marks a step known only from the spec. Its output columns are unknown."""


class UndescribedGenerator(Undescribed, GeneratorStep):
    """Stands in for a step without predecessors, which must be a generator."""

    model_config = ConfigDict(extra="ignore")

    def output_columns(self, available: set[str] | None) -> set[str] | None:
        return None

    def process(self, offset: int = 0) -> GeneratorStepOutput:
        raise NotImplementedError


class UndescribedStep(Undescribed, Step):
    """Stands in for any other step, which may turn out to be asynchronous or global."""

    model_config = ConfigDict(extra="ignore")

    @property
    def inputs(self) -> dict[str, bool]:
        """The columns that the spec mentions."""
        return dict.fromkeys(self.input_mappings, False)

    def output_columns(self, available: set[str] | None) -> set[str] | None:
        return None

    def process(self, *inputs: StepInput) -> StepOutput:
        raise NotImplementedError


class StandIn:
    """Marks a step built from a worker's description."""

    descriptor: ClassVar[StepDescriptor]


def undescribed_step(name: str, spec: StepSpec) -> BaseStep:
    """Builds a stand-in from what is known of a step without its class.

    Raises:
        SpecFault: a parameter that every step has is invalid.
    """
    cls: type[BaseStep] = UndescribedStep if spec.after else UndescribedGenerator
    try:
        return cls.model_validate({**spec.params, "name": name})
    except ValidationError as error:
        fault = next(validation_faults(error, spec.type, {}, spec.params))
        raise SpecFault(f"step '{name}': {fault.message}", ("steps", name, *fault.loc)) from None


def stand_in(name: str, descriptor: StepDescriptor) -> BaseStep:
    """Builds a stand-in as `descriptor` describes it.

    Raises:
        WireError: no step matches the description.
    """
    try:
        step: BaseStep = _stand_in_class(descriptor).model_validate({**descriptor.settings, "name": name})
    except ValidationError as error:
        detail = error.errors(include_url=False, include_input=False)[0]
        raise unreadable_descriptor(name, f"settings.{dotted(detail['loc'])}: {detail['msg']}") from None
    except (ValueError, TypeError) as error:
        raise unreadable_descriptor(name, str(error)) from None
    return step


def _stand_in_class(descriptor: StepDescriptor) -> Any:
    base = KINDS[descriptor.kind]
    members: dict[str, Any] = {
        "__module__": __name__,
        "__annotations__": {"descriptor": ClassVar[StepDescriptor]},
        "descriptor": descriptor,
        "inputs": property(lambda self: dict(descriptor.inputs)),
        "outputs": property(lambda self: list(descriptor.outputs)),
    }
    if not descriptor.adds_columns:
        known = descriptor.columns
        members["output_columns"] = lambda self, available: None if known is None else set(known)
    if issubclass(base, AsyncStep):
        members["process_row"] = _process_row if descriptor.coroutine else lambda self, row: row
    else:
        members["process"] = _process(descriptor.process)
    return new_class(descriptor.class_name, (StandIn, base), exec_body=lambda body: body.update(members))


async def _process_row(self: BaseStep, row: Any) -> Any:
    raise NotImplementedError


def _process(parameters: Sequence[ProcessParameter]) -> Any:
    """A method with the parameters that the real one has."""

    def process(*_: Any, **__: Any) -> Any:
        raise NotImplementedError

    shown = [Parameter("self", Parameter.POSITIONAL_OR_KEYWORD)]
    behind = False
    for one in parameters:
        kind = Parameter.KEYWORD_ONLY if behind else Parameter.POSITIONAL_OR_KEYWORD
        shown.append(Parameter(one.name, Parameter.VAR_POSITIONAL if one.form == "many" else kind))
        behind = behind or one.form == "many"
    process.__signature__ = inspect.Signature(shown)  # type: ignore[attr-defined]
    process.__annotations__ = {one.name: StepInput for one in parameters if one.rows}
    return process

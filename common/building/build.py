"""From the spec of a step to the step: finds the class, makes paths absolute, validates parameters."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from common.errors import Loc, PenstockError, SpecFault, StepNotHere, UnknownType, describe
from common.naming.catalogue import STEP_KINDS
from common.naming.registry import Namespace, NotHere
from common.parameters.constructors import nested_fields
from common.spec.spec import PipelineSpec, StepSpec, absolute_path
from common.steps.base import BaseStep
from common.words.faults import known_fields, validation_faults

STEP_NAMES: Namespace[BaseStep] = Namespace(
    "step",
    BaseStep,
    "Step, GeneratorStep, GlobalStep or AsyncStep",
    STEP_KINDS,
    "penstock.steps",
)


def resolve_step(type_name: str, allow: Sequence[str] = ()) -> type[BaseStep]:
    """The step class that a spec calls `type_name`; see `Namespace.resolve`."""
    return STEP_NAMES.resolve(type_name, allow)


def build_steps(spec: PipelineSpec, *, allow: Sequence[str] = (), base_dir: Path) -> dict[str, BaseStep]:
    """All steps of a pipeline, by name, in the order of the spec; see `build_step`."""
    metadata = spec.enable_metadata
    return {
        name: build_step(name, step, allow=allow, base_dir=base_dir, enable_metadata=metadata)
        for name, step in spec.steps.items()
    }


def build_step(
    name: str, step_spec: StepSpec, *, allow: Sequence[str] = (), base_dir: Path, enable_metadata: bool = False
) -> BaseStep:
    """Builds one step without loading it.

    Args:
        allow: modules whose classes may be imported, see `Namespace.resolve`; available to the step's validators
            as `info.context["allow"]`.
        base_dir: absolute; the `path_fields` of the class are resolved against it.
        enable_metadata: the pipeline's setting; a task adds its column only if it is set.

    Raises:
        SpecFault: the type or a parameter is invalid; its `loc` is below ("steps", name).
        StepNotHere: no fault is known, but this process cannot import the step or its parts.
    """
    loc: Loc = ("steps", name)
    try:
        cls = resolve_step(step_spec.type, allow)
    except NotHere as error:
        raise StepNotHere(f"step '{name}': {error}", (*loc, "type"), forbidden=error.forbidden) from error
    except UnknownType as error:
        raise SpecFault(f"step '{name}': {error}", (*loc, "type")) from error
    if "name" in step_spec.params:
        raise SpecFault(f"step '{name}' has its own 'name'; the key above it is its name", (*loc, "name"))
    params = _with_paths(cls, step_spec.params, base_dir)
    try:
        step = cls.model_validate({"name": name, **params}, context={"allow": tuple(allow)})
        step._enable_metadata = enable_metadata
        return step
    except ValidationError as error:
        fields = nested_fields(cls, params, allow)
        fields[()] = [name for name in (*known_fields(cls), *StepSpec.model_fields) if name != "name"]
        fault = next(validation_faults(error, step_spec.type, fields, params))
        message, loc = f"step '{name}': {fault.message}", loc + fault.loc
        causes = [detail.get("ctx", {}).get("error") for detail in error.errors(include_url=False)]
        missing = [cause for cause in causes if isinstance(cause, NotHere)]
        if len(missing) == len(causes):  # else it is wrong on every host
            raise StepNotHere(message, loc, forbidden=any(cause.forbidden for cause in missing)) from None
        raise SpecFault(message, loc) from None
    except PenstockError as error:
        raise SpecFault(f"step '{name}': {error}", loc) from error
    except Exception as error:  # any error in the user's own validators
        message = f"step '{name}': {step_spec.type} cannot be built: {describe(error)}"
        raise SpecFault(message, loc) from error


def _with_paths(cls: type[BaseStep], params: dict[str, Any], base_dir: Path) -> dict[str, Any]:
    fields: Iterable[str] = getattr(cls, "path_fields", ())
    return params | {field: absolute_path(params[field], base_dir) for field in fields if field in params}

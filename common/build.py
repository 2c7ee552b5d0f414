"""From the spec of a step to the step: the class is found, paths are made absolute, parameters are validated."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from common.errors import PenstockError
from common.faults import Loc, SpecFault, known_fields, validation_faults
from common.registry import UnknownType, resolve_llm, resolve_step
from common.spec import PipelineSpec, StepSpec
from common.steps.base import BaseStep


def build_steps(spec: PipelineSpec, *, allow: Sequence[str] = (), base_dir: Path) -> dict[str, BaseStep]:
    """All steps of a pipeline, by name, in the order of the spec; see `build_step`."""
    return {name: build_step(name, step, allow=allow, base_dir=base_dir) for name, step in spec.steps.items()}


def build_step(name: str, step_spec: StepSpec, *, allow: Sequence[str] = (), base_dir: Path) -> BaseStep:
    """Makes one step; nothing of it is loaded yet.

    Args:
        allow: modules whose classes may be imported, see `registry.resolve_step`; validators of the step find it in
            their context, as `info.context["allow"]`.
        base_dir: absolute; relative paths in the parameters that the class names in `path_fields` start here.

    Raises:
        SpecFault: the type or a parameter is wrong; its `loc` is below ("steps", name).
    """
    loc: Loc = ("steps", name)
    try:
        cls = resolve_step(step_spec.type, allow)
    except UnknownType as error:
        raise SpecFault(f"step '{name}': {error}", (*loc, "type")) from error
    if "name" in step_spec.params:
        raise SpecFault(f"step '{name}' has a 'name' of its own; the key above it is its name", (*loc, "name"))
    params = _with_paths(cls, step_spec.params, base_dir)
    try:
        return cls.model_validate({"name": name, **params}, context={"allow": tuple(allow)})
    except ValidationError as error:
        fields = _nested_fields(cls, params, allow)
        fields[()] = known_fields(cls) - {"name"} | set(StepSpec.model_fields)
        fault = next(validation_faults(error, step_spec.type, fields, params))
        raise SpecFault(f"step '{name}': {fault.message}", loc + fault.loc) from None
    except PenstockError as error:
        raise SpecFault(f"step '{name}': {error}", loc) from error
    except Exception as error:  # any error of the user's own validators
        message = f"step '{name}': {step_spec.type} cannot be built: {type(error).__name__}: {error}"
        raise SpecFault(message, loc) from error


def _with_paths(cls: type[BaseStep], params: dict[str, Any], base_dir: Path) -> dict[str, Any]:
    fields: Iterable[str] = getattr(cls, "path_fields", ())
    return params | {field: _absolute(params[field], base_dir) for field in fields if field in params}


def _absolute(value: Any, base_dir: Path) -> Any:
    if isinstance(value, list):
        return [_absolute(item, base_dir) for item in value]
    if not isinstance(value, str) or not value or "://" in value:
        return value
    return str(base_dir / os.path.expanduser(value))


def _nested_fields(cls: type[BaseStep], params: dict[str, Any], allow: Sequence[str]) -> dict[Loc, set[str]]:
    """The names that a mapping with a model behind it knows: `llm` by its `type`, the others by their annotation."""
    found: dict[Loc, set[str]] = {}
    for name, value in params.items():
        field = cls.model_fields.get(name)
        if not isinstance(value, dict) or field is None:
            continue
        if isinstance(type_name := value.get("type"), str):
            try:
                found[(name,)] = known_fields(resolve_llm(type_name, allow)) | {"type"}
            except UnknownType:
                continue
        elif isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            found[(name,)] = known_fields(field.annotation)
    return found

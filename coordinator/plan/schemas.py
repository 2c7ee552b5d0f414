"""The classes that a spec names as the form of answers, replaced by their JSON Schemas."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

from common.building.components import Place, components
from common.llms.structured.structured_output import StructuredOutput
from common.naming.plain_data import dump_value
from common.spec.spec import PipelineSpec
from common.steps.base import BaseStep


def with_schemas(spec: PipelineSpec, steps: Mapping[str, BaseStep]) -> PipelineSpec:
    """The same pipeline as it is sent to workers, which then need not import the classes.

    Args:
        steps: built from it.
    """
    changed = {}
    for name, step in steps.items():
        forms = [(place, each) for place, each in components(step) if isinstance(each, StructuredOutput)]
        params: dict[str, Any] = deepcopy(dict(spec.steps[name].params)) if forms else {}
        for place, form in forms:
            holder = _at(params, place[:-1])
            if isinstance(holder, dict) and place[-1] in holder:  # else it is a default of the class
                holder[place[-1]] = dump_value(form)
        if forms:
            changed[name] = spec.steps[name].model_copy(update=params)
    return spec.model_copy(update={"steps": {**spec.steps, **changed}}) if changed else spec


def _at(params: Any, place: Place) -> Any:
    """What a specification has at a place; None if there is nothing."""
    for key in place:
        try:
            params = params[key]
        except (KeyError, IndexError, TypeError):
            return None
    return params

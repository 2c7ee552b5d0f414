"""The identity of a run: a hash over everything that determines the rows and their batches."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from common.building.data_files import data_files
from common.building.descriptor import model_identities, source_digests
from common.building.dump import dump_parameters, dump_routing
from common.building.signed_parameters import parameters_as_written, signed_parameters
from common.building.stand_in import Undescribed
from common.code.source import Sources
from common.errors import UsageError
from common.llms.model_client import ModelClient
from common.naming.registry import spec_type
from common.routing import RoutingBatchFunction
from common.spec.spec import PipelineSpec, StepSpec
from common.steps.base import AsyncStep, BaseStep, GeneratorStep, Step
from common.steps.loading.file_states import DataFiles

VERSION = 2
"""Version of the signature: a new version makes every run a new run."""
PARAMETER = "param:"
"""Prefix of a step's aspects that are parameters."""
_ALWAYS = ("input_mappings", "output_mappings", "on_error", "max_failure_rate")


@dataclass(frozen=True, slots=True)
class Identity:
    """Everything that determines the rows of a run, as plain data.

    Args:
        whole: aspects of the pipeline as a whole.
        steps: name -> aspect -> value; each parameter of a step or of a model in it is an aspect.
    """

    whole: Mapping[str, Any]
    steps: Mapping[str, Mapping[str, Any]]

    @classmethod
    def of(
        cls,
        spec: PipelineSpec,
        steps: Mapping[str, BaseStep],
        routing: Mapping[str, RoutingBatchFunction],
        options: Mapping[str, Any],
        data: Mapping[str, DataFiles] | None = None,
        sources: Sources | None = None,
    ) -> Identity:
        """The identity of a pipeline and how it is run.

        Args:
            steps: the built steps of `spec`, by name.
            routing: its routing functions, by routing step.
            options: options of the run that change its rows, such as the limit on generators, as plain data.
            data: the files of the steps (see `data_files`), if already known.
            sources: the code of the steps, as far as already read.
        """
        sources = sources or Sources()
        data = data_files(steps) if data is None else data
        return cls(
            whole={
                "pipeline": spec.name,
                "routing": {
                    name: {**dump_routing(function), "source": function.digest(sources)}
                    for name, function in routing.items()
                },
                "load_groups": spec.load_groups,
                "enable_metadata": spec.enable_metadata,
                "on_type_conflict": spec.on_type_conflict,
                **{name: value for name, value in options.items() if value is not None},
            },
            steps={
                name: _step(spec.steps[name], step, sources) | _contents(name, data) for name, step in steps.items()
            },
        )

    @property
    def signature(self) -> str:
        """32 hex digits, the same in every process and on every host."""
        return _digest({"version": VERSION, "whole": self.whole, "steps": self.steps}, 16)

    def digests(self) -> dict[str, dict[str, str]]:
        """Step -> aspect -> 8 hex digits; the aspects of the whole pipeline are under the empty name."""
        return {
            name: {aspect: _digest(value, 4) for aspect, value in aspects.items()}
            for name, aspects in {"": self.whole, **self.steps}.items()
        }


def run_signature(
    spec: PipelineSpec,
    steps: Mapping[str, BaseStep],
    routing: Mapping[str, RoutingBatchFunction],
    options: Mapping[str, Any],
    data: Mapping[str, DataFiles] | None = None,
) -> str:
    """See `Identity`."""
    return Identity.of(spec, steps, routing, options, data).signature


def _digest(content: Any, size: int) -> str:
    text = json.dumps(content, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=size).hexdigest()


def _step(spec: StepSpec, step: BaseStep, sources: Sources) -> dict[str, Any]:
    if isinstance(step, Undescribed):  # the same before and after a worker describes it
        given = parameters_as_written(spec.params)
        models = {name for name, value in given.items() if isinstance(value, dict) and "type" in value}
        return {"type": spec.type, "after": spec.after, **_aspects(given, models)}
    given = {
        name: value for name, value in signed_parameters(_parameters(spec, step), step).items() if name not in _ALWAYS
    }
    models = {
        field.alias or name
        for name, field in type(step).model_fields.items()
        if isinstance(getattr(step, name), ModelClient)
    }
    return {
        "type": spec_type(type(step)),
        "after": spec.after,
        **_aspects(given, models),
        **_batch_size(step),
        "models": model_identities(step),
        "source": source_digests(step, sources),
        "data": step.fingerprint() if isinstance(step, GeneratorStep) else "",
        **{name: getattr(step, name) for name in _ALWAYS},
    }


def _contents(step: str, data: Mapping[str, DataFiles]) -> dict[str, str]:
    """The content of the files that a step's parameters name."""
    named = {name.partition("."): files for name, files in data.items()}
    return {
        f"content of {field}": files.fingerprint() for (of, dot, field), files in named.items() if dot and of == step
    }


def _aspects(parameters: Mapping[str, Any], models: Collection[str]) -> dict[str, Any]:
    """Parameters as `param:template`, those of a model as `param:llm.model`. The prefix keeps their names unique,
    whatever a step calls its parameters.

    Args:
        models: names of parameters that are models.
    """
    found: dict[str, Any] = {}
    for name, value in parameters.items():
        if name in models and isinstance(value, dict):
            found |= {f"{PARAMETER}{name}.{option}": each for option, each in value.items()}
        else:
            found[f"{PARAMETER}{name}"] = value
    return found


def _parameters(spec: StepSpec, step: BaseStep) -> dict[str, Any]:
    """As the step holds them, so that spelling does not matter; as given if they have no text form."""
    try:
        return dump_parameters(step)
    except UsageError:
        return spec.params


def _batch_size(step: BaseStep) -> dict[str, int]:
    if isinstance(step, GeneratorStep):
        return {f"{PARAMETER}batch_size": step.batch_size}
    return {f"{PARAMETER}input_batch_size": step.input_batch_size} if isinstance(step, Step | AsyncStep) else {}

"""What makes two runs the same run: a hash over everything that decides the rows and how they are batched."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from common.data_files import data_files
from common.descriptor import component_classes, model_identities
from common.dump import dump_parameters
from common.errors import UsageError
from common.llms.base import LLM
from common.registry import spec_type
from common.routing import RoutingBatchFunction
from common.source import Sources
from common.spec import PipelineSpec, StepSpec
from common.stand_in import Undescribed
from common.steps.base import AsyncStep, BaseStep, GeneratorStep, Step
from common.steps.file_states import DataFiles

VERSION = 2
"""Of the signature: another one makes another run of everything."""
PARAMETER = "param:"
"""Begins the aspects of a step that are parameters."""
_PLACEMENT = frozenset({"cuda_devices", "disable_cuda_device_placement"})
_OUTSIDE = frozenset({"resources", "concurrency", "retries", "backoff", "max_deliveries", "batch_timeout"}) | _PLACEMENT
"""Parameters that change how fast or how stubbornly a run works; a resumed run takes their new values."""

_OUTSIDE_LLM = frozenset({"base_url", "timeout", "max_retries", "api_key_env"}) | _PLACEMENT

_ALWAYS = ("input_mappings", "output_mappings", "on_error", "max_failure_rate")


@dataclass(frozen=True, slots=True)
class Identity:
    """Everything that decides the rows of a run, as plain data.

    Args:
        whole: what is of the pipeline as a whole.
        steps: what is of each step: name -> aspect -> value; parameters and those of an LLM have an aspect each.
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
        """Of a pipeline and how it is run.

        Args:
            steps: the built steps of `spec`, by name.
            routing: its routing functions, by routing step.
            options: options of the run that change its rows, such as the limit on generators; plain data.
            data: the files of the steps, see `data_files`, where they have been looked at.
            sources: the code of the steps, where some of it has been looked at.
        """
        sources = sources or Sources()
        data = data_files(steps) if data is None else data
        return cls(
            whole={
                "pipeline": spec.name,
                "routing": {
                    name: {**function.spec(), "source": function.digest(sources)} for name, function in routing.items()
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
        """Step -> aspect -> 8 hex digits; what is of the whole pipeline stands below the empty name."""
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
    if isinstance(step, Undescribed):  # the same before and after a worker has said what it is
        given = {name: value for name, value in spec.params.items() if name not in _OUTSIDE}
        return {"type": spec.type, "after": spec.after, **_aspects(given)}
    parameters = {
        name: value for name, value in _parameters(spec, step).items() if name not in _OUTSIDE and name not in _ALWAYS
    }
    return {
        "type": spec_type(type(step)),
        "after": spec.after,
        **_aspects(parameters, step),
        **_batch_size(step),
        "models": model_identities(step),
        "source": sources.of_classes(component_classes(step)),
        "data": step.fingerprint() if isinstance(step, GeneratorStep) else "",
        **{name: getattr(step, name) for name in _ALWAYS},
    }


def _contents(step: str, data: Mapping[str, DataFiles]) -> dict[str, str]:
    """What the files hold that a step's parameters name."""
    named = {name.partition("."): files for name, files in data.items()}
    return {
        f"content of {field}": files.fingerprint() for (of, dot, field), files in named.items() if dot and of == step
    }


def _aspects(parameters: Mapping[str, Any], step: BaseStep | None = None) -> dict[str, Any]:
    """Parameters, as `param:template`; those of an LLM, without where it is and how patient its client is, as
    `param:llm.model`. They have a name of their own each, whatever a step calls its parameters.

    Args:
        step: has them; None where nobody here can build it.
    """
    found: dict[str, Any] = {}
    for name, value in parameters.items():
        is_llm = isinstance(value, dict) and "type" in value
        if step is not None:
            is_llm = is_llm and isinstance(getattr(step, name, None), LLM)
        if is_llm:
            found |= {
                f"{PARAMETER}{name}.{option}": each for option, each in value.items() if option not in _OUTSIDE_LLM
            }
        else:
            found[f"{PARAMETER}{name}"] = _without_place(value, getattr(step, name, None))
    return found


def _without_place(plain: Any, held: Any) -> Any:
    """A value as plain data, without where the LLMs in it are and how patient their clients are."""
    if isinstance(held, BaseModel) and isinstance(plain, dict):
        left_out = _OUTSIDE_LLM if isinstance(held, LLM) else frozenset()
        return {
            name: _without_place(value, getattr(held, name, None))
            for name, value in plain.items()
            if name not in left_out
        }
    if isinstance(held, dict) and isinstance(plain, dict):
        return {name: _without_place(value, held.get(name)) for name, value in plain.items()}
    if isinstance(held, list | tuple) and isinstance(plain, list) and len(held) == len(plain):
        return [_without_place(value, part) for value, part in zip(plain, held, strict=True)]
    return plain


def _parameters(spec: StepSpec, step: BaseStep) -> dict[str, Any]:
    """As the step has them, so that it does not matter how they were written; as given, where no text could say it."""
    try:
        return dump_parameters(step)
    except UsageError:
        return spec.params


def _batch_size(step: BaseStep) -> dict[str, int]:
    if isinstance(step, GeneratorStep):
        return {f"{PARAMETER}batch_size": step.batch_size}
    return {f"{PARAMETER}input_batch_size": step.input_batch_size} if isinstance(step, Step | AsyncStep) else {}

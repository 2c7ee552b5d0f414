"""What makes two runs the same run: a hash over everything that decides the rows and how they are batched."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel

from common.registry import source_digest
from common.spec import PipelineSpec, StepSpec
from common.steps.base import AsyncStep, BaseStep, GeneratorStep, Step

_OUTSIDE = frozenset({"resources", "concurrency", "retries", "backoff", "max_deliveries"})
"""Parameters that change how fast or how stubbornly a run works; a resumed run takes their new values."""

_OUTSIDE_LLM = frozenset({"timeout", "max_retries", "api_key_env"})

_ALWAYS = ("input_mappings", "output_mappings", "on_error", "max_failure_rate")


def run_signature(spec: PipelineSpec, steps: Mapping[str, BaseStep], options: Mapping[str, Any]) -> str:
    """32 hex digits, the same in every process and on every host.

    Args:
        steps: the built steps of `spec`, by name.
        options: options of the run that change its rows, such as the limit on generators; plain data.
    """
    content = {
        "pipeline": spec.name,
        "steps": {name: _step(spec.steps[name], step) for name, step in steps.items()},
        "routing": {name: routing.model_dump() for name, routing in spec.routing.items()},
        "load_groups": spec.load_groups,
        "enable_metadata": spec.enable_metadata,
        "options": {name: value for name, value in options.items() if value is not None},
    }
    text = json.dumps(content, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _step(spec: StepSpec, step: BaseStep) -> dict[str, Any]:
    defaults = _defaults(step)
    given = {
        name: _without_limits(value)
        for name, value in spec.params.items()
        # A default that is written out is no other run.
        if name not in _OUTSIDE and name not in _ALWAYS and not (name in defaults and value == defaults[name])
    }
    return {
        "type": spec.type,
        "after": spec.after,
        "params": given,
        "batch_size": step.batch_size if isinstance(step, GeneratorStep) else _input_batch_size(step),
        "source": sorted({source_digest(cls) for cls in _classes(step)}),
        "fingerprint": step.fingerprint() if isinstance(step, GeneratorStep) else "",
        **{name: getattr(step, name) for name in _ALWAYS},
    }


def _without_limits(value: Any) -> Any:
    """An LLM's options without how patient its client is."""
    if not isinstance(value, dict) or "type" not in value:
        return value
    return {name: option for name, option in value.items() if name not in _OUTSIDE_LLM}


def _defaults(step: BaseStep) -> dict[str, Any]:
    return {
        field.alias or name: field.get_default(call_default_factory=True)
        for name, field in type(step).model_fields.items()
        if not field.is_required()
    }


def _input_batch_size(step: BaseStep) -> int | None:
    return step.input_batch_size if isinstance(step, Step | AsyncStep) else None


def _classes(model: BaseModel) -> Iterator[type]:
    """The class of a step and of the models in its fields, such as its LLM."""
    yield type(model)
    for value in vars(model).values():
        if isinstance(value, BaseModel):
            yield from _classes(value)

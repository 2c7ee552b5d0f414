"""What makes two runs the same run: a hash over everything that decides the rows and how they are batched."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from common.data_files import data_files
from common.descriptor import component_classes
from common.dump import dump_parameters
from common.errors import UsageError
from common.registry import source_digest, spec_type
from common.routing import RoutingBatchFunction
from common.spec import PipelineSpec, StepSpec
from common.stand_in import Undescribed
from common.steps.base import AsyncStep, BaseStep, GeneratorStep, Step
from common.steps.file_states import DataFiles

_PLACEMENT = frozenset({"cuda_devices", "disable_cuda_device_placement"})
_OUTSIDE = frozenset({"resources", "concurrency", "retries", "backoff", "max_deliveries", "batch_timeout"}) | _PLACEMENT
"""Parameters that change how fast or how stubbornly a run works; a resumed run takes their new values."""

_OUTSIDE_LLM = frozenset({"timeout", "max_retries", "api_key_env"}) | _PLACEMENT

_ALWAYS = ("input_mappings", "output_mappings", "on_error", "max_failure_rate")


def run_signature(
    spec: PipelineSpec,
    steps: Mapping[str, BaseStep],
    routing: Mapping[str, RoutingBatchFunction],
    options: Mapping[str, Any],
    data: Mapping[str, DataFiles] | None = None,
) -> str:
    """32 hex digits, the same in every process and on every host.

    Args:
        steps: the built steps of `spec`, by name.
        routing: its routing functions, by routing step.
        options: options of the run that change its rows, such as the limit on generators; plain data.
        data: the files of the steps, see `data_files`, where they have been looked at.
    """
    data = data_files(steps) if data is None else data
    content = {
        "pipeline": spec.name,
        "steps": {name: _step(spec.steps[name], step) for name, step in steps.items()},
        "routing": {name: {**function.spec(), "source": function.digest()} for name, function in routing.items()},
        "files": {name: files.fingerprint() for name, files in data.items()},
        "load_groups": spec.load_groups,
        "enable_metadata": spec.enable_metadata,
        "on_type_conflict": spec.on_type_conflict,
        "options": {name: value for name, value in options.items() if value is not None},
    }
    text = json.dumps(content, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _step(spec: StepSpec, step: BaseStep) -> dict[str, Any]:
    if isinstance(step, Undescribed):  # the same before and after a worker has said what it is
        given = {name: _without_limits(value) for name, value in spec.params.items() if name not in _OUTSIDE}
        return {"type": spec.type, "after": spec.after, "params": given}
    return {
        "type": spec_type(type(step)),
        "after": spec.after,
        "params": {
            name: _without_limits(value)
            for name, value in _parameters(spec, step).items()
            if name not in _OUTSIDE and name not in _ALWAYS
        },
        "batch_size": step.batch_size if isinstance(step, GeneratorStep) else _input_batch_size(step),
        "source": sorted({source_digest(cls) for cls in component_classes(step)}),
        "fingerprint": step.fingerprint() if isinstance(step, GeneratorStep) else "",
        **{name: getattr(step, name) for name in _ALWAYS},
    }


def _parameters(spec: StepSpec, step: BaseStep) -> dict[str, Any]:
    """As the step has them, so that it does not matter how they were written; as given, where no text could say it."""
    try:
        return dump_parameters(step)
    except UsageError:
        return spec.params


def _without_limits(value: Any) -> Any:
    """An LLM's options without how patient its client is."""
    if not isinstance(value, dict) or "type" not in value:
        return value
    return {name: option for name, option in value.items() if name not in _OUTSIDE_LLM}


def _input_batch_size(step: BaseStep) -> int | None:
    return step.input_batch_size if isinstance(step, Step | AsyncStep) else None

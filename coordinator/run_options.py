"""What workers are told of a pipeline, beside its spec."""

from __future__ import annotations

from typing import Any

from common.cuda import DevicesWanted, devices_wanted
from common.descriptor import model_identities, step_digest
from common.source import Sources
from common.stand_in import StandIn, Undescribed
from common.steps.base import BaseStep, GeneratorStep
from coordinator.load import Prepared
from coordinator.routing import Routing
from coordinator.stages import load_stages


def pipeline_options(prepared: Prepared, routing: Routing, sources: Sources | None = None) -> dict[str, Any]:
    """Plain data, by name; `sources` is where the code of the steps has been looked at already.

    stages: the steps of each.
    spill: steps whose payloads wait long, so that they go to the file store.
    routing: what the worker of a routing step needs to know, where it chooses.
    digests: the source of each step that this process has imported; a worker's must be the same.
    models: what names the models of each such step's LLMs; a worker's must be the same.
    described: steps that it has not, and that workers have described; `undescribed` those that none has so far.
    unchecked: steps whose columns nobody knows before the first batch.
    fingerprints: what generators are to read, where they can read data as it was.
    devices: GPUs that a worker of each step takes.
    """
    steps, plan, sources = prepared.steps, prepared.plan, sources or Sources()
    columns = prepared.columns()
    imported = {name: step for name, step in steps.items() if not isinstance(step, StandIn | Undescribed)}
    return {
        "stages": load_stages(plan),
        "spill": [step for step in plan.steps if plan.waits_for_a_stage(step)],
        "routing": routing.for_workers(sources),
        "digests": {name: step_digest(step, sources) for name, step in imported.items()},
        "models": {name: models for name, step in imported.items() if (models := model_identities(step))},
        "described": [name for name, step in steps.items() if isinstance(step, StandIn)],
        "undescribed": list(prepared.undescribed),
        "unchecked": [
            name for name, step in plan.steps.items() if any(columns[before] is None for before in step.predecessors)
        ],
        "fingerprints": {
            name: step.snapshot()
            for name, step in steps.items()
            if isinstance(step, GeneratorStep) and type(step).pin is not GeneratorStep.pin
        },
        "devices": {name: _devices(step) for name, step in steps.items()},
    }


def _devices(step: BaseStep) -> DevicesWanted:
    return step.descriptor.devices if isinstance(step, StandIn) else devices_wanted(step)

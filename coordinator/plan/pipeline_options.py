"""What workers are told about a pipeline, besides its spec."""

from __future__ import annotations

from common.building.cuda import DevicesWanted, devices_wanted
from common.building.descriptor import model_identities, step_digest
from common.building.stand_in import StandIn, Undescribed
from common.code.source import Sources
from common.protocol.run_options import RunOptions
from common.steps.base import BaseStep, GeneratorStep
from coordinator.plan.load import Prepared
from coordinator.plan.routing import Routing


def pipeline_options(prepared: Prepared, routing: Routing, sources: Sources | None = None) -> RunOptions:
    """The options that follow from the pipeline; `sources` caches the code of the steps."""
    steps, plan, sources = prepared.steps, prepared.plan, sources or Sources()
    columns = prepared.columns()
    imported = {name: step for name, step in steps.items() if not isinstance(step, StandIn | Undescribed)}
    return RunOptions(
        base_dir=str(prepared.folder),
        stages=plan.stages,
        spill=tuple(step for step in plan.steps if plan.waits_for_a_stage(step)),
        routing=routing.for_workers(sources),
        digests={name: step_digest(step, sources) for name, step in imported.items()},
        models={name: tuple(models) for name, step in imported.items() if (models := model_identities(step))},
        described=tuple(name for name, step in steps.items() if isinstance(step, StandIn)),
        undescribed=tuple(prepared.undescribed),
        unchecked=tuple(
            name for name, step in plan.steps.items() if any(columns[before] is None for before in step.predecessors)
        ),
        fingerprints={
            name: step.snapshot()
            for name, step in steps.items()
            if isinstance(step, GeneratorStep) and type(step).pin is not GeneratorStep.pin
        },
        devices={name: _devices(step) for name, step in steps.items()},
        counts_usage=True,
    )


def _devices(step: BaseStep) -> DevicesWanted:
    return step.descriptor.devices if isinstance(step, StandIn) else devices_wanted(step)

"""From the path of a spec to a pipeline that can run, or one error with file and line."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from common.building.build import build_step
from common.building.build_routing import build_routing
from common.building.cuda import devices_wanted
from common.building.descriptor import StepDescriptor
from common.building.stand_in import stand_in, undescribed_step
from common.errors import SpecFault, StepNotHere
from common.naming.registry import check_shadowing, folder_modules
from common.parameters.runtime_parameters import check_runtime_parameters
from common.routing import RoutingBatchFunction
from common.spec.spec import LoadedSpec, PipelineSpec, SpecSource, load_spec
from common.steps.base import BaseStep
from coordinator.plan.columns import Columns, check_columns
from coordinator.plan.dag import build_plan
from coordinator.plan.plan import Plan
from coordinator.plan.schemas import with_schemas


@dataclass(frozen=True, slots=True)
class Prepared:
    """A validated pipeline.

    Args:
        steps: built, not loaded.
        routing: routing functions by routing step.
        folder: the absolute folder of the spec: on `sys.path`, and the start of relative paths.
        allow: modules that steps and routing functions may come from: those of the command line and of the folder.
        text: the spec as it was written.
        undescribed: steps that this process cannot import, and why. Until a worker has described them, `steps` holds
            stand-ins for them, and `plan` is only as good as these.
    """

    spec: PipelineSpec
    steps: Mapping[str, BaseStep]
    routing: Mapping[str, RoutingBatchFunction]
    plan: Plan
    folder: Path
    source: SpecSource
    allow: tuple[str, ...]
    text: str
    undescribed: Mapping[str, str] = field(default_factory=dict)

    def with_descriptors(self, descriptors: Mapping[str, StepDescriptor]) -> Prepared:
        """The whole pipeline, fully checked, once all undescribed steps have been described.

        Raises:
            SpecError: with file and line.
            WireError: a descriptor is malformed.
        """
        described = {name: stand_in(name, descriptors[name]) for name in self.undescribed}
        steps = {name: described.get(name, step) for name, step in self.steps.items()}
        try:
            plan = _checked_plan(self.spec, steps, self.routing)
        except SpecFault as fault:
            raise self.source.error(fault) from fault.__cause__
        return replace(self, steps=steps, plan=plan, undescribed={})

    def requirements(self) -> list[tuple[str, list[str]]]:
        """The packages that must be installed, and what needs them."""
        return [
            ("the pipeline", self.spec.requirements),
            *((f"step '{name}'", step.requirements) for name, step in self.steps.items()),
        ]

    def columns(self) -> dict[str, Columns]:
        """The columns that leave each step; None if they depend on the data."""
        before = {name: step.predecessors for name, step in self.plan.steps.items()}
        return check_columns({name: self.steps[name] for name in before}, before)


def prepare(
    path: Path,
    overrides: Sequence[str] = (),
    allow: Sequence[str] = (),
    *,
    external: bool = False,
    to_run: bool = True,
) -> Prepared:
    """Reads, builds and validates the pipeline at `path`. Puts its folder at the end of `sys.path`.

    Args:
        overrides: `step.param=value`, see `load_spec`.
        allow: modules that steps may come from, besides built-in steps, entry points and the spec's own folder.
        external: workers are started elsewhere, so a worker that can import a step may describe it.
        to_run: runtime parameters without a default must have values.

    Raises:
        SpecError: with file and line.
        UsageError: the folder holds a module with the name of a Penstock package.
    """
    loaded = load_spec(path, overrides)
    return prepare_loaded(loaded, (*allow, *folder_modules(loaded.folder)), external=external, to_run=to_run)


def prepare_loaded(
    loaded: LoadedSpec, allow: Sequence[str], *, external: bool = False, to_run: bool = True
) -> Prepared:
    """Builds and validates a pipeline that has been read; see `prepare`.

    Args:
        allow: every module that steps may come from, besides built-in steps and entry points.
    """
    check_shadowing(loaded.folder)
    # At the end: a file next to the spec must not shadow an installed module.
    if str(loaded.folder) not in sys.path:
        sys.path.append(str(loaded.folder))
    try:
        steps, undescribed = _build(loaded, allow, external=external)
        if to_run:
            check_runtime_parameters(steps)
        routing = build_routing(loaded.spec, allow=allow)
        plan = _checked_plan(loaded.spec, steps, routing)
    except SpecFault as fault:
        raise loaded.source.error(fault) from fault.__cause__
    spec = with_schemas(loaded.spec, steps)
    return Prepared(spec, steps, routing, plan, loaded.folder, loaded.source, tuple(allow), loaded.text, undescribed)


def _checked_plan(
    spec: PipelineSpec, steps: Mapping[str, BaseStep], routing: Mapping[str, RoutingBatchFunction]
) -> Plan:
    """Raises SpecFault for any mistake that can be found without data."""
    plan = build_plan(spec, steps, routing)
    for step in steps.values():
        devices_wanted(step)  # raises if resources and cuda_devices contradict each other
    return plan


def _build(loaded: LoadedSpec, allow: Sequence[str], *, external: bool) -> tuple[dict[str, BaseStep], dict[str, str]]:
    """The steps, and for each step that a worker has to describe, why."""
    steps: dict[str, BaseStep] = {}
    undescribed: dict[str, str] = {}
    for name, spec in loaded.spec.steps.items():
        try:
            steps[name] = build_step(
                name, spec, allow=allow, base_dir=loaded.folder, enable_metadata=loaded.spec.enable_metadata
            )
        except StepNotHere as fault:
            if fault.forbidden or not external:
                raise
            steps[name] = undescribed_step(name, spec)
            undescribed[name] = str(loaded.source.error(fault))
    return steps, undescribed

"""From the path of a spec to a pipeline that can run, or one error with file and line."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from common.build import build_steps
from common.faults import SpecFault
from common.registry import check_shadowing, folder_modules
from common.spec import PipelineSpec, SpecSource, load_spec
from common.steps.base import BaseStep
from coordinator.dag import build_plan
from coordinator.plan import Plan


@dataclass(frozen=True, slots=True)
class Prepared:
    """A validated pipeline.

    Args:
        steps: built, not loaded.
        folder: the spec's folder, absolute: on `sys.path`, and where relative paths start.
        allow: modules that steps may come from: those of the command line, and those of the folder.
    """

    spec: PipelineSpec
    steps: Mapping[str, BaseStep]
    plan: Plan
    folder: Path
    source: SpecSource
    allow: tuple[str, ...]


def refuse_what_is_not_there_yet(spec: PipelineSpec, steps: Mapping[str, BaseStep]) -> None:
    """Parts of the format that this version reads and does not carry out: a run must not pretend that it does.

    Raises:
        SpecFault: the spec asks for one of them.
    """
    if spec.enable_metadata:
        raise SpecFault("enable_metadata is not carried out by this version yet; take it out", ("enable_metadata",))
    if spec.load_groups:
        raise SpecFault("load_groups are not carried out by this version yet; take them out", ("load_groups",))
    for name, step in steps.items():
        if step.resources.gpus:
            raise SpecFault(
                f"step '{name}': resources.gpus is not carried out by this version yet; set CUDA_VISIBLE_DEVICES for "
                "its workers instead",
                ("steps", name, "resources", "gpus"),
            )


def prepare(path: Path, overrides: Sequence[str] = (), allow: Sequence[str] = ()) -> Prepared:
    """Reads, builds and validates the pipeline at `path`. Puts its folder at the end of `sys.path`.

    Args:
        overrides: `step.param=value`, see `load_spec`.
        allow: modules that steps may come from, beside built-in steps, entry points and the spec's own folder.

    Raises:
        SpecError: with file and line.
        UsageError: the folder holds a module with the name of one of our packages.
    """
    loaded = load_spec(path, overrides)
    check_shadowing(loaded.folder)
    # At the end: a file beside the spec must not take the place of an installed module.
    if str(loaded.folder) not in sys.path:
        sys.path.append(str(loaded.folder))
    allowed = (*allow, *folder_modules(loaded.folder))
    try:
        steps = build_steps(loaded.spec, allow=allowed, base_dir=loaded.folder)
        plan = build_plan(loaded.spec, steps)
        refuse_what_is_not_there_yet(loaded.spec, steps)
    except SpecFault as fault:
        raise loaded.source.error(fault) from fault.__cause__
    return Prepared(loaded.spec, steps, plan, loaded.folder, loaded.source, allowed)

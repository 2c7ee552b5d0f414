"""A pipeline as services: a coordinator, and workers for each step with what they need."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from common.building.cuda import devices_wanted
from common.building.stand_in import Undescribed
from common.errors import UsageError
from common.location import OUR_PACKAGES
from common.naming.registry import folder_modules
from common.settings import ENVIRONMENT_PREFIX, Settings
from common.spec.spec import StepSpec
from common.steps.base import BaseStep
from common.words.faults import hint
from coordinator.identity.request import RunRequest
from coordinator.identity.run_command import option_words
from coordinator.plan.load import Prepared, prepare
from coordinator.plan.worker_command import step_modules, worker_words

OF_A_HOST = frozenset({"devices"})
"""Settings that describe one host and mean nothing on another."""
RUN_ID_DIGITS = 12


@dataclass(frozen=True, slots=True)
class StepService:
    """Workers of one step.

    Args:
        replicas: most workers.
        gpus: devices per worker.
        memory: bytes.
        modules: modules to allow.
        beside: whether any of those modules is next to the spec.
        files: paths that the step reads, as in the spec, relative to its folder.
        described: whether its class could be imported here. If not, its first worker describes it.
    """

    step: str
    replicas: int
    gpus: int
    cpus: float | None
    memory: int | None
    modules: tuple[str, ...]
    beside: bool
    files: tuple[str, ...]
    described: bool

    @property
    def needs_folder(self) -> bool:
        """Whether a worker needs the spec's folder."""
        return self.beside or bool(self.files)

    def command(self, *options: str, base_dir: str, elsewhere: bool = False) -> list[str]:
        """The command that starts a worker that serves run after run.

        Args:
            base_dir: the spec's folder on the worker's host.
            elsewhere: whether that path may differ from the coordinator's.
        """
        named = self.beside or (elsewhere and self.needs_folder)
        return worker_words(self.step, ("--stay", *options), self.modules, base_dir if named else None)


@dataclass(frozen=True, slots=True)
class PipelineServices:
    """A pipeline as services.

    Args:
        name: name of the pipeline.
        file: name of the spec's file in `folder`.
        modules: the modules next to the spec that it needs: path below `folder` -> source.
        stages: number of load stages.
        request: what every coordinator of it is asked for.
        settings: environment variables for every process, as they are set here.
        limits: the same settings, parsed.
    """

    name: str
    file: str
    folder: Path
    text: str
    modules: Mapping[str, str]
    steps: tuple[StepService, ...]
    stages: int
    request: RunRequest
    settings: Mapping[str, str]
    limits: Settings

    def new_run_id(self) -> str:
        """An id for its run, which changes with the spec, the options or the modules."""
        rows = replace(self.request, workers="local")  # where the workers are does not change the rows
        text = json.dumps([self.text, list(option_words(rows)), self.modules], sort_keys=True)
        return f"{self.name}-{hashlib.blake2b(text.encode()).hexdigest()[:RUN_ID_DIGITS]}"


def pipeline_services(
    spec: Path,
    overrides: Sequence[str] = (),
    allow: Sequence[str] = (),
    replicas: Mapping[str, int] | None = None,
) -> PipelineServices:
    """Reads and validates the pipeline at `spec`.

    Args:
        overrides: `step.param=value`.
        allow: modules that steps may come from, besides the spec's folder.
        replicas: workers of a step, instead of the spec's `resources.replicas`.

    Raises:
        SpecError: with file and line.
        UsageError: `replicas` names an unknown step, or a setting in the environment is invalid.
    """
    prepared = prepare(spec, overrides, allow, external=True)
    wanted = dict(replicas or {})
    for name in wanted:
        if name not in prepared.steps:
            raise UsageError(f"--replicas {name}: there is no such step{hint(name, prepared.steps, 'the steps are')}")
    return PipelineServices(
        name=prepared.spec.name,
        file=spec.name,
        folder=prepared.folder,
        text=prepared.text,
        modules=dict(_sources(prepared.folder)),
        steps=tuple(_service(prepared, name, wanted.get(name)) for name in prepared.plan.steps),
        stages=len(prepared.plan.stages),
        request=RunRequest(overrides=tuple(overrides), allow=tuple(allow), workers="external"),
        settings={
            variable: os.environ[variable]
            for name in Settings.model_fields
            if name not in OF_A_HOST and (variable := ENVIRONMENT_PREFIX + name.upper()) in os.environ
        },
        limits=Settings.from_environment(),
    )


def _service(prepared: Prepared, name: str, replicas: int | None) -> StepService:
    step, modules = prepared.steps[name], step_modules(prepared, name)
    there = folder_modules(prepared.folder)
    devices = devices_wanted(step)
    return StepService(
        step=name,
        replicas=replicas or step.resources.replicas,
        # A step that does not place itself has what the platform gives it.
        gpus=max(step.resources.gpus, devices if isinstance(devices, int) else len(devices)),
        cpus=step.resources.cpus,
        memory=step.resources.memory,
        modules=modules,
        beside=any(module.partition(".")[0] in there for module in modules),
        files=tuple(_relative_files(step, prepared.spec.steps[name])),
        described=not isinstance(step, Undescribed),
    )


def _relative_files(step: BaseStep, spec: StepSpec) -> Iterator[str]:
    for field in step.path_fields:
        value = spec.params.get(field)
        for path in _texts(value):
            if path and "://" not in path and not path.startswith(("/", "~")):
                yield path


def _texts(value: object) -> Iterator[str]:
    """The texts in a parameter: itself, or those of a list or mapping."""
    if isinstance(value, list | dict):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _texts(inner)
    elif isinstance(value, str):
        yield value


def _sources(folder: Path) -> Iterator[tuple[str, str]]:
    """The modules of the folder that building the steps has imported: those that the steps need, and so on."""
    files = (getattr(module, "__file__", None) for module in list(sys.modules.values()))
    paths = {Path(file).resolve() for file in files if file and file.endswith(".py")}
    ours = Path(__file__).resolve().parents[2]
    for path in sorted(path for path in paths if path.is_relative_to(folder)):
        if not any(path.is_relative_to(ours / package) for package in OUR_PACKAGES):
            yield path.relative_to(folder).as_posix(), path.read_text(encoding="utf-8")

"""The shape of what a run hash holds as JSON. Whoever can write to the broker can put anything there."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from common.step_name import StepName


class SpecShape(BaseModel):
    """As much of a spec as is read before it is built."""

    steps: dict[StepName, dict[str, Any]]


class RoutingOptions(BaseModel):
    """What the workers of a routing step are told."""

    successors: list[StepName]
    digest: str


class OptionsShape(BaseModel):
    """What workers are told of a run, see `coordinator/run_options.py`."""

    model_config = ConfigDict(strict=True)

    base_dir: str = "."
    limit: int | None = None
    dry_run: bool = False
    payloads: list[str] = []
    payloads_of_size: bool = False
    artifacts: dict[str, str | None] = {}
    stages: list[list[StepName]] = []
    spill: list[StepName] = []
    routing: dict[StepName, RoutingOptions] = {}
    digests: dict[StepName, str] = {}
    models: dict[StepName, list[str]] = {}
    described: list[StepName] = []
    undescribed: list[StepName] = []
    unchecked: list[StepName] = []
    fingerprints: dict[StepName, str] = {}
    files: dict[str, str] = {}
    devices: dict[StepName, int | list[int]] = {}


def check_run_json(spec: object, options: object) -> None:
    """Raises ValueError: one of them has another shape; says where."""
    for name, shape, found in (("spec", SpecShape, spec), ("options", OptionsShape, options)):
        try:
            shape.model_validate(found)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            where = ".".join([name, *map(str, first["loc"])])[:100]
            raise ValueError(f"{where}: {first['msg']}") from None

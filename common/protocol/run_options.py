"""What the workers of a run are told of it beside its spec: a field of the run hash, as JSON."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from functools import cache

from pydantic import ConfigDict, TypeAdapter, ValidationError

from common.protocol.fields import first_problem
from common.protocol.step_name import StepName


@dataclass(frozen=True, slots=True)
class RowRoutingOptions:
    """For the workers of a step whose routing function reads rows.

    Args:
        successors: of the step, in the order of the plan.
        digest: of the function's source.
    """

    successors: tuple[StepName, ...]
    digest: str


@dataclass(frozen=True, slots=True)
class ArtifactFolders:
    """Where steps keep artifacts.

    Args:
        local: for workers that the coordinator has started.
        shared: for all others; None where no folder is reached by all hosts.
    """

    local: str | None = None
    shared: str | None = None


@dataclass(frozen=True, slots=True)
class RunOptions:
    """Versions of one protocol read each other's: a field that one does not know is left out, or has its default.

    Args:
        base_dir: the folder where relative paths of the spec start, as the coordinator has it.
        limit: rows of each generator, at most.
        files: what the data files that parameters name are like, by path.
        payloads: folders of payloads, the one in use first; empty where all is in the broker.
        payloads_of_size: do large payloads go there as well, beside those that wait long?
        stages: the steps of each, in the order in which they are loaded.
        spill: steps whose payloads wait long, so that they go to the file store.
        routing: what the workers of a routing step need to know, where they choose.
        digests: the source of each step that the coordinator has imported; a worker's must be the same.
        models: what names the models of each such step's LLMs; a worker's must be the same.
        described: steps that it has not, and that workers have described.
        undescribed: those that none has so far.
        unchecked: steps whose columns nobody knows before the first batch.
        fingerprints: what generators are to read, where they can read data as it was.
        devices: GPUs that a worker of each step takes.
    """

    base_dir: str = "."
    limit: int | None = None
    dry_run: bool = False
    files: dict[str, str] = field(default_factory=dict)
    payloads: tuple[str, ...] = ()
    payloads_of_size: bool = False
    artifacts: ArtifactFolders = ArtifactFolders()
    stages: tuple[tuple[StepName, ...], ...] = ()
    spill: tuple[StepName, ...] = ()
    routing: dict[StepName, RowRoutingOptions] = field(default_factory=dict)
    digests: dict[StepName, str] = field(default_factory=dict)
    models: dict[StepName, tuple[str, ...]] = field(default_factory=dict)
    described: tuple[StepName, ...] = ()
    undescribed: tuple[StepName, ...] = ()
    unchecked: tuple[StepName, ...] = ()
    fingerprints: dict[StepName, str] = field(default_factory=dict)
    devices: dict[StepName, int | list[int]] = field(default_factory=dict)

    __pydantic_config__ = ConfigDict(strict=True)

    def encode(self) -> str:
        """JSON."""
        return json.dumps(asdict(self))

    @classmethod
    def decode(cls, text: bytes) -> RunOptions:
        """The inverse.

        Raises:
            ValueError: it is not what any version writes; says where.
        """
        try:
            return _adapter().validate_json(text)
        except ValidationError as error:
            raise ValueError(first_problem(error, "options")) from None


@cache
def _adapter() -> TypeAdapter[RunOptions]:
    return TypeAdapter(RunOptions)

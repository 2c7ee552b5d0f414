"""What a run tells its workers in addition to its spec: a field of the run hash, as JSON."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from functools import cache

from pydantic import ConfigDict, TypeAdapter, ValidationError

from common.protocol.fields import first_problem
from common.protocol.step_name import StepName


@dataclass(frozen=True, slots=True)
class RowRoutingOptions:
    """Options for workers of a step whose routing function reads rows.

    Args:
        successors: of the step, in the order of the plan.
        digest: of the function's source.
    """

    successors: tuple[StepName, ...]
    digest: str


@dataclass(frozen=True, slots=True)
class ArtifactFolders:
    """The storage for steps' artifacts.

    Args:
        local: for workers started by the coordinator.
        shared: for all others; None if no folder is reachable from all hosts.
    """

    local: str | None = None
    shared: str | None = None


@dataclass(frozen=True, slots=True)
class KeptAnswers:
    """Where the answers of models are kept.

    Args:
        kind: `sqlite`, a file on each host; `broker`; or `off`.
        folder: of the file, for workers started by the coordinator; all others use their own cache folder.
    """

    kind: str = "sqlite"
    folder: str | None = None


@dataclass(frozen=True, slots=True)
class RunOptions:
    """Versions with the same protocol read each other's options: unknown fields are ignored, missing ones default.

    Args:
        base_dir: the folder that the spec's relative paths start from, on the coordinator's host.
        limit: rows of each generator, at most.
        files: the state of the data files that parameters name, by path.
        payloads: folders of payloads, the current one first; empty if all are in the broker.
        payloads_of_size: do large payloads go there too, in addition to those that wait long?
        stages: the steps of each, in the order in which they are loaded.
        spill: steps whose payloads wait long and therefore go to the file store.
        routing: what workers of a routing step need if they choose.
        digests: the source digest of each step that the coordinator has imported; a worker's must be equal.
        models: the identities of the models of each such step's LLMs; a worker's must be equal.
        described: steps that it has not imported, and that workers have described.
        undescribed: those not described so far.
        unchecked: steps whose columns are unknown before the first batch.
        fingerprints: the data that generators must read, if they can read earlier data.
        devices: GPUs that a worker of each step takes.
        counts_usage: the coordinator reads what calls of models took; older ones do not.
    """

    base_dir: str = "."
    limit: int | None = None
    dry_run: bool = False
    files: dict[str, str] = field(default_factory=dict)
    payloads: tuple[str, ...] = ()
    payloads_of_size: bool = False
    artifacts: ArtifactFolders = ArtifactFolders()
    answers: KeptAnswers = KeptAnswers()
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
    counts_usage: bool = False

    __pydantic_config__ = ConfigDict(strict=True)

    def encode(self) -> str:
        """JSON."""
        return json.dumps(asdict(self))

    @classmethod
    def decode(cls, text: bytes) -> RunOptions:
        """The inverse.

        Raises:
            ValueError: no version writes it; says where.
        """
        try:
            return _adapter().validate_json(text)
        except ValidationError as error:
            raise ValueError(first_problem(error, "options")) from None


@cache
def _adapter() -> TypeAdapter[RunOptions]:
    return TypeAdapter(RunOptions)

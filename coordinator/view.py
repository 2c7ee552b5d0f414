"""What a run looks like from outside: the facts that progress, status and the summary show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from coordinator.run_directory import DATASET

Status = Literal["complete", "stopped", "halted", "failed"]


@dataclass(frozen=True, slots=True)
class StepView:
    """One step, now.

    Args:
        kind: "generator", "step" or "global".
        batches_done: results applied; `batches` those cut so far.
        batches_total: how many there will be, once the input has ended; None before.
        rows_out: whole rows put out; `rows_failed` dead letters; `rows_lost` lost at a join.
        in_flight: batches sent and not done; `waiting` those planned and not sent.
        workers: live workers that have loaded it; `loading` those that have not.
        seconds: time that workers spent in it.
    """

    name: str
    kind: str
    batches_done: int
    batches: int
    batches_total: int | None
    rows_in: int
    rows_out: int
    rows_failed: int
    rows_lost: int
    in_flight: int
    waiting: int
    workers: int
    loading: int
    seconds: float


@dataclass(frozen=True, slots=True)
class RunView:
    """A run, now.

    Args:
        state: a few words: "loading steps 2/3", "running", "stopping", "waiting for the disk"...
        elapsed: seconds since this coordinator began.
        payload_bytes: in the broker.
        rows_written: per leaf, on disk.
    """

    run_id: str
    state: str
    elapsed: float
    payload_bytes: int
    rows_written: Mapping[str, int]
    steps: Sequence[StepView]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended.

    Args:
        exit_code: of the command, see `common.errors`.
        reason: why it is not complete, and what to do; empty when it is.
        dataset: the folder, when it is complete; `partial` the folder of what there is, when it is not.
        rows: per leaf.
        failed: per step, rows that ended as dead letters.
        errors: per step with such rows, what the first of them failed of.
        reused: the run had been complete before; nothing was done.
        pushed: URL of the dataset on the hub; empty if it was not pushed.
        push_error: why it is not on the hub although it should be; the run is complete all the same.
    """

    run_id: str
    status: Status
    exit_code: int
    reason: str = ""
    dataset: Path | None = None
    partial: Path | None = None
    rows: Mapping[str, int] = field(default_factory=dict)
    failed: Mapping[str, int] = field(default_factory=dict)
    errors: Mapping[str, str] = field(default_factory=dict)
    elapsed: float = 0.0
    reused: bool = False
    run_directory: Path | None = None
    pushed: str = ""
    push_error: str = ""

    @property
    def own_dataset(self) -> Path | None:
        """The dataset in the run directory: where the run has put it as well, another one may be by now."""
        if self.dataset is None or self.run_directory is None:
            return None
        return self.run_directory / DATASET


class Reporter(Protocol):
    """Shows a run to a person. Every call returns at once."""

    def update(self, view: RunView) -> None:
        """The run as it is now; called a few times per second."""

    def say(self, line: str) -> None:
        """Something worth a line of its own: a warning, what is waited for."""

    def finish(self, outcome: Outcome) -> None:
        """The last call."""

"""What a run looks like from outside: the one record that progress, `status` and other viewers show."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from common.protocol.status import EndStatus
from coordinator.runs.bill import NO_BILL, Bill
from coordinator.runs.run_directory import DATASET


@dataclass(frozen=True, slots=True)
class StepView:
    """The current state of one step.

    Args:
        kind: "generator", "step" or "global".
        batches_done: results applied; `batches` counts those cut so far.
        batches_total: how many there will be, known once the input has ended; None before.
        rows_out: whole rows in the output; `rows_failed` are dead letters, `rows_lost` were lost at a join.
        rows_skipped: rows of `rows_in` that passed it by.
        in_flight: batches sent and not done; `waiting` counts those planned and not sent.
        workers: live workers that have loaded it; `busy` of them have a batch in hand, and `loading` counts those still
            loading.
        seconds: time that workers have spent in it.
        rows_per_second: output of the last few seconds; None while too little time has been observed.
        waits_for: why nothing of it is in flight although it has not ended; otherwise empty.
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
    busy: int = 0
    rows_per_second: float | None = None
    waits_for: str = ""
    rows_skipped: int = 0

    @property
    def is_done(self) -> bool:
        """Whether it will produce nothing more."""
        return self.batches_total is not None and self.batches_done >= self.batches_total

    @property
    def is_active(self) -> bool:
        """Whether it is at work, or about to be."""
        return not self.is_done and bool(self.in_flight or self.waiting)


@dataclass(frozen=True, slots=True)
class WorkerView:
    """A worker that has joined and not left.

    Args:
        in_hand: batches or tickets that it has taken and not committed.
        says: what it waits for, or why it cannot serve its step; empty if all is well.
    """

    worker_id: str
    step: str
    host: str
    alive: bool
    loaded: bool
    in_hand: int = 0
    says: str = ""


@dataclass(frozen=True, slots=True)
class RunView:
    """The current state of a run, as its coordinator sees it.

    Args:
        status: as in the run hash: "running", and at the end "complete", "stopped", "halted" or "failed".
        state: a few words: "loading steps 2/3", "running", "stopping", "waiting for the disk"...
        reason: why it ended, if it is not complete.
        epoch, host, pid: of the coordinator.
        started: when this coordinator started, in seconds since 1970 by its clock; `elapsed` is seconds since then.
        position: journal entries folded so far.
        payload_bytes: in the broker; `store_bytes` are in the payload store.
        memory: bytes that the broker uses; `memory_limit` is what it may use, 0 if unlimited.
        rows_written: per leaf, on disk.
        stage: current stage, from 0.
        seconds_left: until the slowest step is done; None if unknown.
        steps: in the order of the pipeline; `more_steps` and `more_workers` count those left out.
        bill: what calls of models took and cost.
    """

    run_id: str
    state: str
    elapsed: float
    payload_bytes: int
    rows_written: Mapping[str, int]
    steps: tuple[StepView, ...]
    pipeline: str = ""
    status: str = "running"
    reason: str = ""
    epoch: str = ""
    host: str = ""
    pid: int = 0
    started: float = 0.0
    position: int = 0
    store_bytes: int = 0
    memory: int = 0
    memory_limit: int = 0
    stage: int = 0
    stages: int = 1
    seconds_left: float | None = None
    workers: tuple[WorkerView, ...] = ()
    more_steps: int = 0
    more_workers: int = 0
    bill: Bill = NO_BILL


@dataclass(frozen=True, slots=True)
class StepPoint:
    """What the history keeps of a step; fields as in `StepView`."""

    rows_out: int
    rows_failed: int
    in_flight: int
    workers: int
    busy: int


@dataclass(frozen=True, slots=True)
class Point:
    """What the history keeps of a view: the numbers to plot. Steps are in the order of the view."""

    payload_bytes: int
    memory: int
    steps: tuple[StepPoint, ...]

    @classmethod
    def of(cls, view: RunView) -> Point:
        """The point of one moment."""
        steps = (StepPoint(one.rows_out, one.rows_failed, one.in_flight, one.workers, one.busy) for one in view.steps)
        return cls(view.payload_bytes, view.memory, tuple(steps))


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended.

    Args:
        exit_code: of the command, see `common.errors`.
        reason: why it is not complete, and what to do; empty if it is.
        dataset: its folder, if the run is complete; `partial` is the folder of partial results, if it is not.
        rows: per leaf.
        failed: per step, rows that ended as dead letters.
        skipped: per step, rows that passed it by.
        errors: per step with such rows, why the first of them failed.
        reused: the run was already complete; nothing was done.
        pushed: URL of the dataset on the hub; empty if it was not pushed.
        push_error: why it is not on the hub although it should be; the run is complete nevertheless.
        bill: what its calls of models took and cost.
    """

    run_id: str
    status: EndStatus
    exit_code: int
    reason: str = ""
    dataset: Path | None = None
    partial: Path | None = None
    rows: Mapping[str, int] = field(default_factory=dict)
    failed: Mapping[str, int] = field(default_factory=dict)
    errors: Mapping[str, str] = field(default_factory=dict)
    skipped: Mapping[str, int] = field(default_factory=dict)
    elapsed: float = 0.0
    reused: bool = False
    run_directory: Path | None = None
    pushed: str = ""
    push_error: str = ""
    bill: Bill = NO_BILL

    @property
    def own_dataset(self) -> Path | None:
        """The dataset in the run directory: the copy elsewhere may have been replaced by now."""
        if self.dataset is None or self.run_directory is None:
            return None
        return self.run_directory / DATASET


class Reporter(Protocol):
    """Shows a run to a person. Every call returns at once."""

    def update(self, view: RunView) -> None:
        """Shows the run as it is now; called a few times per second."""

    def say(self, line: str) -> None:
        """Reports something worth a line: a warning, or what the run waits for."""

    def finish(self, outcome: Outcome) -> None:
        """Reports the outcome. This is the last call."""

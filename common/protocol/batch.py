"""The messages: the work of a worker (`Batch`), its answers (`Result`, `Failure`), the coordinator's decisions.

A batch is (run, step, seq), with seq dense from 0 per step. `attempt` counts how often a batch was reopened after a
halt; it is part of a payload's name, so that a late writer can never overwrite what a newer attempt wrote.
"""

from __future__ import annotations

from dataclasses import dataclass

from common.protocol.usage import NO_USAGE, Usage


@dataclass(frozen=True, slots=True)
class Payload:
    """A reference to the rows of one output batch.

    Args:
        step, seq, attempt: what produced them.
        external: name in the file store, or None for a key in the broker.
    """

    step: str
    seq: int
    attempt: int = 0
    external: str | None = None


@dataclass(frozen=True, slots=True)
class Slice:
    """Rows `start` to `stop` of a payload, holes counted."""

    payload: Payload
    start: int
    stop: int

    @property
    def rows(self) -> int:
        return self.stop - self.start


@dataclass(frozen=True, slots=True)
class Input:
    """A predecessor's part of a batch: its slices, in order."""

    step: str
    slices: tuple[Slice, ...]

    @property
    def rows(self) -> int:
        return sum(piece.rows for piece in self.slices)


@dataclass(frozen=True, slots=True)
class Batch:
    """Work for one step. A generator's batch has no inputs: it is a ticket, the permission to make one batch."""

    step: str
    seq: int
    attempt: int = 0
    inputs: tuple[Input, ...] = ()

    @property
    def rows(self) -> int:
        """Rows of the longest input, holes counted."""
        return max((source.rows for source in self.inputs), default=0)


@dataclass(frozen=True, slots=True)
class Chunk:
    """Rows that a result stored. A global step stores many, every other step at most one.

    Args:
        rows: rows in the payload, holes counted.
        size: bytes of the payload.
        external: name in the file store, or None for a key in the broker.
    """

    rows: int
    size: int
    external: str | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """A batch that is done, in the journal.

    Args:
        chunks: what it stored; chunk i of a global step is output batch i.
        taken: whole rows of the batch.
        failed: rows of `taken` that ended as dead letters.
        skipped: rows of `taken` that passed the step by.
        lost: positions of a join left out because a predecessor has a hole there.
        holes: holes among the rows of `chunks`.
        last: a generator has nothing more to give.
        routed: per chunk the successors that a routing function which reads rows has chosen in the worker; None without
            such a function.
        worker: short id of who did it.
        seconds: time that the step took.
        usage: of the models' answers that these rows hold.
        saved: of answers that these rows hold and that another run has paid for.
    """

    step: str
    seq: int
    attempt: int
    chunks: tuple[Chunk, ...] = ()
    taken: int = 0
    failed: int = 0
    lost: int = 0
    holes: int = 0
    last: bool = False
    routed: tuple[tuple[str, ...], ...] | None = None
    worker: str = ""
    seconds: float = 0.0
    usage: Usage = NO_USAGE
    saved: Usage = NO_USAGE
    skipped: int = 0

    @property
    def given(self) -> int:
        """Rows of `taken` that the step was to process."""
        return self.taken - self.skipped

    @property
    def rows(self) -> int:
        """Rows stored, holes counted."""
        return sum(chunk.rows for chunk in self.chunks)


@dataclass(frozen=True, slots=True)
class Failure:
    """A batch that ends the run unless it is reopened: `on_error: fail`, a generator or a global step that raises."""

    step: str
    seq: int
    attempt: int
    error: str
    worker: str = ""


@dataclass(frozen=True, slots=True)
class Routed:
    """The coordinator's choice of successors for output `seq` of a routing step."""

    step: str
    seq: int
    successors: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PartWritten:
    """Outputs `first_seq` to `last_seq` of a leaf are on disk.

    Args:
        name: file name in the run's parts folder.
        rows: rows in the file.
        failed: rows left out because their values cannot join the leaf's schema.
        digest: of the file's bytes.
        schema: the leaf's schema so far, serialized by Arrow.
        size: bytes of the file.
    """

    step: str
    first_seq: int
    last_seq: int
    name: str
    rows: int
    failed: int
    digest: str
    schema: bytes
    size: int = 0


@dataclass(frozen=True, slots=True)
class Reopened:
    """A halted run is resumed: failed and held batches are done again."""


Entry = Result | Failure | Routed | PartWritten | Reopened
"""What the journal holds."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A row that finally failed, on its way to the run directory.

    Args:
        row: the row as given to the step; None if it could not be stored.
        attempts: how often it was tried, alone or in a batch.
    """

    step: str
    seq: int
    attempt: int
    position: int
    error: str
    attempts: int
    worker: str
    row: dict[str, object] | None = None

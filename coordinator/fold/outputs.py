"""The output of a step as its successors see it: outputs in seq order, cut into spans, one edge per successor.

A span holds the rows that may share a batch. Without routing, the whole output of a step is one span. Below a routing
step, each routed batch is a separate span, named by its seq, so no batch mixes rows of two routed batches.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from common.protocol.batch import Input, PartWritten, Payload, Result, Slice


@dataclass(slots=True, eq=False)
class Output:
    """One stored output batch.

    Args:
        size: bytes.
        holders: what still needs it: the edges on which it waits, and the open batches cut from it.
    """

    payload: Payload
    rows: int
    size: int
    origin: int | None = None
    holders: int = 0


@dataclass(slots=True)
class Span:
    """Rows of one origin on one edge, without those already cut from its head."""

    origin: int | None
    rows: int = 0
    closed: bool = False
    outputs: deque[Output] = field(default_factory=deque)


class Edge:
    """The edge from a step to one successor: uncut spans, in order.

    Args:
        source, target: the predecessor and its successor.
        branch: the child of the routing step through which the rows came, for an edge into a convergence step.
    """

    def __init__(self, source: str, target: str, branch: str | None = None) -> None:
        self.source = source
        self.target = target
        self.branch = branch
        self.ended = False
        self.rows_in = 0
        self.rows_out = 0
        self._spans: deque[Span] = deque()
        self._offset = 0

    @property
    def head(self) -> Span | None:
        """The span that is being cut."""
        return self._spans[0] if self._spans else None

    @property
    def exhausted(self) -> bool:
        """Whether nothing is left and nothing more will come."""
        return self.ended and not self._spans

    @property
    def waiting(self) -> int:
        """Outputs that are waiting here."""
        return sum(len(span.outputs) for span in self._spans)

    def short_of(self, rows: float) -> bool:
        """Whether `rows` rows are more than can be cut now, so the successor needs more from here."""
        head = self.head
        return not self.ended and (head is None or (not head.closed and head.rows < rows))

    def push(self, output: Output, origin: int | None) -> None:
        """Adds an output to the open span of `origin`, which must be the last one."""
        if not self._spans or self._spans[-1].closed:
            self._spans.append(Span(origin))
        span = self._spans[-1]
        span.outputs.append(output)
        span.rows += output.rows
        self.rows_in += output.rows
        output.holders += 1

    def close(self, origin: int | None) -> None:
        """Closes the span of `origin`, for which no more rows will come; a span may have no rows."""
        if not self._spans or self._spans[-1].closed:
            self._spans.append(Span(origin))
        self._spans[-1].closed = True

    def end(self) -> None:
        """Ends the edge: no more outputs will come."""
        self.ended = True

    def pop(self) -> None:
        """Drops the head span, which is closed and empty."""
        self._spans.popleft()

    def take(self, rows: int, holds: list[Output]) -> Input:
        """Cuts up to `rows` rows from the head span and adds every output touched to `holds`, with one holder each."""
        span = self._spans[0]
        slices: list[Slice] = []
        wanted = min(rows, span.rows)
        span.rows -= wanted
        self.rows_out += wanted
        while wanted:
            output = span.outputs[0]
            stop = min(output.rows, self._offset + wanted)
            slices.append(Slice(output.payload, self._offset, stop))
            output.holders += 1
            holds.append(output)
            wanted -= stop - self._offset
            self._offset = stop
            if stop == output.rows:
                span.outputs.popleft()
                output.holders -= 1
                self._offset = 0
        return Input(self.source, tuple(slices))

    def take_all(self, holds: list[Output]) -> Input:
        """Cuts everything from all spans."""
        slices: list[Slice] = []
        while self._spans:
            slices.extend(self.take(self._spans[0].rows, holds).slices)
            self._spans.popleft()
        return Input(self.source, tuple(slices))


@dataclass(frozen=True, slots=True)
class Closing:
    """The span of `origin` has no more rows."""

    origin: int | None


class OutputLog:
    """Outputs of one step, restored to seq order, with the marks that close spans and end the stream."""

    def __init__(self) -> None:
        self.next_seq = 0
        self.ended = False
        self._early: dict[int, Output] = {}
        self._closings: deque[tuple[int, Closing]] = deque()
        self._end: int | None = None

    @property
    def early(self) -> int:
        """Outputs that wait for an earlier one."""
        return len(self._early)

    def append(self, output: Output) -> None:
        """Records an output, in any order."""
        self._early[output.payload.seq] = output

    def close_at(self, seq: int, origin: int | None) -> None:
        """Closes the span of `origin` as soon as all outputs below `seq` are in."""
        self._closings.append((seq, Closing(origin)))

    def end_at(self, seq: int) -> None:
        """Ends the stream as soon as all outputs below `seq` are in."""
        self._end = seq

    def advance(self) -> Iterator[Output | Closing]:
        """Yields what has become contiguous, in order, and sets `ended` after the last output."""
        while True:
            while self._closings and self._closings[0][0] == self.next_seq:
                yield self._closings.popleft()[1]
            output = self._early.pop(self.next_seq, None)
            if output is None:
                break
            self.next_seq += 1
            yield output
        self.ended = self._end == self.next_seq


@dataclass(slots=True, eq=False)
class Unwritten:
    """Outputs of a leaf that are not on disk yet.

    Args:
        failed_in_a_row: rows that could not be written since the last one that could, or since the run was reopened.
    """

    outputs: deque[Output] = field(default_factory=deque)
    failed_in_a_row: int = 0

    def take(self, part: PartWritten) -> list[Output]:
        """Takes out those that the part holds; none for a part that was already journaled."""
        written: list[Output] = []
        while self.outputs and self.outputs[0].payload.seq <= part.last_seq:
            written.append(self.outputs.popleft())
        if written:
            self.failed_in_a_row = 0 if part.rows else self.failed_in_a_row + part.failed
        return written


def payloads_of(result: Result) -> list[Payload]:
    """The payloads of a result. A global step has one batch, of seq 0, and its chunk i is its output batch i."""
    return [
        Payload(result.step, result.seq + place, result.attempt, chunk.external)
        for place, chunk in enumerate(result.chunks)
    ]

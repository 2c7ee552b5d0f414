"""What coordinators have done, in a run of the fold."""

from __future__ import annotations

from collections import Counter

from common.protocol.batch import Batch
from coordinator.fold.effects import Dispatch, Effect, Emit, Redo, Release, Route
from tests.support.fold.fold_words import Finish
from tests.support.fold.payload_store import PayloadStore
from tests.support.fold.sink import Sink


class Done:
    """Effects that were performed, by whichever coordinator: the next one leaves them out.

    Attributes:
        finished: the end of the run is among them.
    """

    def __init__(self, payloads: PayloadStore, sink: Sink) -> None:
        self.finished = False
        self._payloads = payloads
        self._sink = sink
        self._sent: Counter[str] = Counter()
        self._sent_again: set[tuple[str, int, int]] = set()
        self._routed: set[tuple[str, int]] = set()

    def __contains__(self, effect: Effect | Finish) -> bool:
        match effect:
            case Dispatch(batch):
                return batch.seq < self._sent[batch.step]
            case Redo(batch):
                return (batch.step, batch.seq, batch.attempt) in self._sent_again
            case Release(payload):
                return self._payloads.was_deleted(payload)
            case Emit(payload, _, _):
                return self._sink.has_written(payload)
            case Route(step, seq, _):
                return (step, seq) in self._routed
            case Finish():
                return self.finished

    def dispatch(self, batch: Batch) -> None:
        assert batch.attempt == 0
        assert batch.seq == self._sent[batch.step], f"not dense: {batch}"
        self._sent[batch.step] += 1

    def redo(self, batch: Batch) -> None:
        self._sent_again.add((batch.step, batch.seq, batch.attempt))

    def route(self, step: str, seq: int) -> None:
        assert (step, seq) not in self._routed
        self._routed.add((step, seq))

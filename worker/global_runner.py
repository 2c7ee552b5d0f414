"""Runs `GlobalStep.process`: everything in, everything out, stored in chunks that one commit links."""

from __future__ import annotations

import logging
from collections.abc import Callable

from common.batch import Chunk, Payload, Result
from common.broker.commits import Done
from common.broker.inbox import Taken
from common.broker.staging import Staging
from common.errors import BrokerFull, StepFailed, StoreError
from worker.holes import put_back
from worker.outcome import FailedRow, Outcome
from worker.sync_runner import SyncRunner
from worker.work import Work

logger = logging.getLogger("penstock.worker")


class GlobalRunner(SyncRunner):
    """For steps that take all rows at once."""

    def room(self) -> int:
        """There is one batch in all."""
        return 1 - self.intake.held

    def pack(self, work: Work, outcome: Outcome, seconds: float) -> Done:
        """Stores the output ahead of the commit, `input_batch_size` rows to a payload."""
        staged: list[Payload] = []
        try:
            return self._pack(work, outcome, seconds, staged)
        except (StepFailed, StoreError):
            self._insist(lambda: Staging(self.bench.consumer).unstage(work.taken, staged))
            raise

    def _insist(self, act: Callable[[], None]) -> None:
        self.bench.consumer.connection.insist(act, self.bench.settings.patience, logger.warning)

    def _stage(self, taken: Taken, payload: Payload, data: bytes) -> None:
        """Other branches of the graph may make room in a broker that is full; this step's input stays until the commit.

        Raises:
            StepFailed: none has come for all the patience.
        """
        try:
            self._insist(lambda: Staging(self.bench.consumer).stage(taken, payload, data))
        except BrokerFull as error:
            raise StepFailed(
                f"{error}: it has no room for what step '{self._step.name}' gave. Give it more memory, or keep such "
                "rows elsewhere with --payloads URL"
            ) from error

    def _pack(self, work: Work, outcome: Outcome, seconds: float, staged: list[Payload]) -> Done:
        packer, batch = self.bench.packer, work.taken.batch
        rows = put_back(outcome.rows(), work.whole)
        failed: list[FailedRow] = list(outcome.failed)
        chunks: list[Chunk] = []
        routed: list[tuple[str, ...]] = []
        holes = 0
        size = self._step.input_batch_size
        for seq, start in enumerate(range(0, len(rows), size)):
            some = rows[start : start + size]
            unstorable: list[FailedRow] = []
            data = packer.encode(some, work.whole, unstorable, work.again)
            failed.extend(FailedRow(start + one.place, one.error, one.attempts, one.row) for one in unstorable)
            holes += some.count(None)
            routed.extend(packer.choose(seq, some, data) or ())
            stored, payload = packer.store(seq, batch.attempt, some, data)
            if payload is not None:
                staged.append(Payload(batch.step, seq, batch.attempt))
                self._stage(work.taken, staged[-1], payload)
            chunks.extend(stored)
        result = Result(
            batch.step,
            batch.seq,
            batch.attempt,
            tuple(chunks),
            taken=outcome.taken,
            failed=len(failed),
            lost=work.whole.lost,
            holes=holes,
            routed=tuple(routed) if packer.routing else None,
            worker=self.bench.consumer.worker_id,
            seconds=seconds,
        )
        return Done(work.taken, result, letters=tuple(packer.letter(batch, work.whole, one) for one in failed))

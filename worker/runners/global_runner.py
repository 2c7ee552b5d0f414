"""Runs `GlobalStep.process`: everything in, everything out, stored in chunks that one commit links."""

from __future__ import annotations

from common.broker.commits import Done
from common.broker.inbox import Taken
from common.broker.staging import Staging
from common.errors import BrokerFull, StepFailed, StoreError
from common.protocol.batch import Payload
from worker.batches.batch_work import Pieces, Work
from worker.batches.outcome import Outcome
from worker.runners.sync_runner import SyncRunner


class GlobalRunner(SyncRunner):
    """For steps that take all rows at once."""

    def room(self) -> int:
        """There is only one batch."""
        return 1 - self.intake.held

    def pack(self, work: Work, outcome: Outcome, seconds: float) -> Done:
        """Stores the output ahead of the commit, `input_batch_size` rows to a payload."""
        staged: list[Payload] = []

        def stage(payload: Payload, data: bytes) -> None:
            staged.append(payload)
            self._stage(work.taken, payload, data)

        try:
            pieces = Pieces(self._step.input_batch_size, stage)
            return self.bench.packer.pack(work, outcome, seconds, pieces=pieces)
        except (StepFailed, StoreError):
            self.bench.patience.insist(lambda: Staging(self.bench.consumer).unstage(work.taken, staged))
            raise

    def _stage(self, taken: Taken, payload: Payload, data: bytes) -> None:
        """Other branches of the graph may make room in a full broker; this step's input stays until the commit.

        Raises:
            StepFailed: patience ran out without room.
        """
        try:
            self.bench.patience.insist(lambda: Staging(self.bench.consumer).stage(taken, payload, data))
        except BrokerFull as error:
            raise StepFailed(
                f"{error}: it has no room for the rows of step '{self._step.name}'. Give it more memory, or store "
                "such rows elsewhere with --payloads URL"
            ) from error

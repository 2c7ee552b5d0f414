"""Flow control: *when* planned batches are sent. Nothing here changes the rows of a run or their order.

A step has no more open batches than its workers can soon use. A step whose successors cannot keep up waits, and so do
the sources of payloads while the payloads in the broker or in the payload store exceed their budget. There are no
deadlocks: with nothing in flight, one batch that some successor needs is always sent.

Only the steps of one stage get work: the first stage with a step that has not produced all its rows. Rows that wait for
a later stage are not limited, since the stage could not end otherwise.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

from common.protocol.batch import Batch
from common.settings import Settings
from coordinator.fold.batch_manager import BatchManager

SENT_AT_ONCE = 256
"""Most batches of a step that one round trip sends."""


class FlowControl:
    """Queues planned batches per step.

    Args:
        windows: per step, batches that one worker has in hand at a time.
        sent: per step, batches sent during the life of the run; tickets for a generator.
    """

    def __init__(
        self, manager: BatchManager, windows: Mapping[str, int], settings: Settings, sent: Mapping[str, int]
    ) -> None:
        self._manager = manager
        self._windows = windows
        self._settings = settings
        self.sent = dict(sent)
        self._sources = {name for name in manager.steps if self._is_source(name)}
        self._planned: dict[str, deque[Batch]] = {name: deque() for name in manager.steps}
        self._lost_tickets = dict.fromkeys(manager.steps, 0)
        self._stage = 0

    @property
    def stage(self) -> int:
        """The first stage with a step that has not produced all its rows; the last one if all have."""
        stages, states = self._manager.plan.stages, self._manager.steps
        while self._stage < len(stages) - 1 and all(states[name].output_ended for name in stages[self._stage]):
            self._stage += 1
        return self._stage

    @property
    def _steps(self) -> tuple[str, ...]:
        return self._manager.plan.stages[self.stage]

    def plan(self, batch: Batch) -> None:
        """Queues a batch, unless it was sent earlier in the life of the run."""
        if batch.seq >= self.sent[batch.step]:
            self._planned[batch.step].append(batch)

    def waiting(self, name: str) -> int:
        """Batches of the step that are planned but not sent."""
        return len(self._planned[name])

    def in_flight(self, name: str) -> int:
        """Batches or tickets of the step that were sent but are not done."""
        state = self._manager.steps[name]
        if state.plan.kind == "generator":
            return 0 if state.input_ended else max(0, self.sent[name] - self._lost_tickets[name] - state.counts.tickets)
        return state.in_flight - len(self._planned[name])

    def forget_tickets(self, name: str, number: int) -> None:
        """Notes that this many tickets of a generator are gone from the broker, so that they are sent again."""
        self._lost_tickets[name] += max(0, number)

    @property
    def busy(self) -> bool:
        """Whether anything is in flight."""
        return any(self.in_flight(name) for name in self._manager.steps)

    def over_budget(self, released_bytes: int = 0) -> bool:
        """Whether payloads exceed their budget.

        Args:
            released_bytes: of files that are no longer needed but not deleted yet.
        """
        holdings, settings = self._manager.holdings, self._settings
        return (
            holdings.in_broker >= settings.payload_budget or holdings.in_store + released_bytes >= settings.store_budget
        )

    def choose(
        self, workers: Mapping[str, int], *, start_rows: bool, released_bytes: int = 0
    ) -> dict[str, list[Batch]]:
        """Batches to send now, per step.

        Args:
            workers: live workers per step.
            start_rows: whether generators may be asked for more.
            released_bytes: see `over_budget`.
        """
        over_budget = self.over_budget(released_bytes)
        chosen: dict[str, list[Batch]] = {}
        for name in self._steps:
            if self._manager.steps[name].plan.kind == "generator" and not start_rows:
                continue
            count = min(self._room(name, workers.get(name, 0), over_budget), SENT_AT_ONCE)
            if count > 0 and (batches := self._next(name, count)):
                chosen[name] = batches
        if not chosen and not self.busy:
            chosen = self._one_needed()
        return chosen

    def _one_needed(self) -> dict[str, list[Batch]]:
        for name in self._steps:
            if self._manager.is_lacked(name) and (batches := self._next(name, 1)):
                return {name: batches}
        return {}

    def choose_to_drain(self) -> dict[str, list[Batch]]:
        """The one batch to send to a full broker with nothing in flight: far downstream, so that it frees memory."""
        if self.busy:
            return {}
        return next(({name: [planned[0]]} for name in reversed(self._steps) if (planned := self._planned[name])), {})

    def mark_sent(self, name: str, sent: int) -> None:
        """Notes that the broker has accepted batches of the step up to this number."""
        self.sent[name] = max(self.sent[name], sent)
        planned = self._planned[name]
        while planned and planned[0].seq < self.sent[name]:
            planned.popleft()

    def _room(self, name: str, workers: int, over_budget: bool) -> int:
        in_hand = max(1, workers) * self._windows[name]
        room = in_hand + self._settings.dispatch_slack - self.in_flight(name)
        if not self._manager.plan.successors(name):
            return room
        if over_budget and name in self._sources:
            return 0
        return min(room, in_hand + self._settings.step_backlog - self._behind(name) - self.in_flight(name))

    def _is_source(self, name: str) -> bool:
        """Whether the step only adds payloads that count, and releases none."""
        plan = self._manager.plan
        return not plan.waits_for_a_stage(name) and all(
            plan.waits_for_a_stage(predecessor) for predecessor in plan.steps[name].predecessors
        )

    def _behind(self, name: str) -> int:
        """Outputs of the step, or batches cut from them, that wait for its slowest successor."""
        plan = self._manager.plan
        now = [successor for successor in plan.successors(name) if plan.stage(successor) == plan.stage(name)]
        planned = (len(self._planned[successor]) for successor in now)
        return self._manager.backlog(name) + max(planned, default=0)

    def _next(self, name: str, count: int) -> list[Batch]:
        state = self._manager.steps[name]
        if state.plan.kind == "generator":
            if state.input_ended:
                return []
            return [Batch(name, self.sent[name] + number) for number in range(count)]
        planned = self._planned[name]
        return [planned[place] for place in range(min(count, len(planned)))]

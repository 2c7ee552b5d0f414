"""Builds the view of a run, shows it to the user who started the run, and publishes it for viewers elsewhere."""

from __future__ import annotations

import os
import socket
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from common.broker.connection import Connection
from common.broker.control import Control
from common.broker.runs import WorkerRecord
from common.broker.server_facts import ServerFacts
from common.broker.views import Views
from common.errors import BrokerError, BrokerFull, Disconnected, ForeignData
from common.protocol.keys import HISTORIES
from common.words.printable import printable
from coordinator.engine.billing import Billing
from coordinator.engine.crew import Crew
from coordinator.engine.session import Session
from coordinator.view.pace import Pace
from coordinator.view.view import Outcome, Reporter, RunView, StepView, WorkerView
from coordinator.view.view_codec import encode_point, encode_view

LOOK_SECONDS = 1.0
TOLERANCE = 0.5
"""Tolerance in seconds: a ten-second history takes its entry from the nearest update."""


@dataclass(frozen=True, slots=True)
class Situation:
    """What the loop of the coordinator knows besides its session.

    Args:
        stopping: nothing new starts.
        waits_for: what the whole run waits for, such as a full disk; empty if nothing.
        start_rows: whether generators may be asked for more.
        broker: its latest description of itself.
    """

    stopping: bool
    waits_for: str
    start_rows: bool
    broker: ServerFacts


class ViewPublisher:
    """Shows and publishes one view per second.

    Args:
        pipeline: its name.
    """

    def __init__(
        self,
        connection: Connection,
        control: Control,
        pipeline: str,
        crew: Crew,
        reporter: Reporter,
        billing: Billing,
    ) -> None:
        self._views = Views(connection, control.keys.run_id)
        self._control = control
        self._pipeline = pipeline
        self._crew = crew
        self._reporter = reporter
        self._billing = billing
        self._pace = Pace()
        self._began, self._started = time.monotonic(), time.time()
        self._noted = dict.fromkeys(HISTORIES, float("-inf"))
        self._view: RunView | None = None
        self._is_refused = False

    def look(self, session: Session, situation: Situation, *, force: bool = False) -> None:
        """Updates the view, if that was not done within the last second.

        Raises:
            Disconnected: the broker is unreachable.
        """
        elapsed = time.monotonic() - self._began
        if self._view is not None and not force and elapsed - self._view.elapsed < LOOK_SECONDS:
            return
        in_hand = self._views.in_hand(list(session.manager.steps))
        self._view = self._pace.see(self._build(session, situation, in_hand, elapsed))
        self._reporter.update(self._view)
        self._publish(self._view)

    def end(self, outcome: Outcome, keep: float) -> None:
        """Publishes how the run ended; if the broker refuses, only the run hash says so.

        Args:
            keep: seconds that a complete run is kept.
        """
        if self._view is None:
            return
        steps = tuple(replace(step, waits_for="", rows_per_second=None) for step in self._view.steps)
        last = replace(
            self._view,
            status=outcome.status,
            state=outcome.status,
            reason=outcome.reason,
            elapsed=time.monotonic() - self._began,
            steps=steps,
            seconds_left=None,
            bill=outcome.bill or self._view.bill,
        )
        with suppress(Disconnected):
            self._publish(last, keep if outcome.status == "complete" else 0.0)

    def _publish(self, view: RunView, expires: float = 0.0) -> None:
        """A run continues even if its view cannot be published. A takeover is noticed where it matters."""
        due = [each for each, noted in self._noted.items() if view.elapsed - noted >= each - TOLERANCE]
        try:
            self._views.publish(self._control.epoch, encode_view(view), encode_point(view), due or [1], expires)
        except Disconnected:
            raise
        except BrokerFull:
            return
        except (BrokerError, ForeignData) as error:
            if not self._is_refused:
                self._reporter.say(
                    f"`status` shows less of this run elsewhere, since its view cannot be published: {error}"
                )
            self._is_refused = True
            return
        self._noted.update(dict.fromkeys(due, view.elapsed))

    def _build(self, session: Session, situation: Situation, in_hand: Mapping[str, int], elapsed: float) -> RunView:
        manager, broker = session.manager, situation.broker
        hands = _Hands.of(self._crew.records, in_hand)
        return RunView(
            run_id=self._control.keys.run_id,
            pipeline=self._pipeline,
            state=_state(session, situation, hands),
            epoch=self._control.epoch,
            host=socket.gethostname(),
            pid=os.getpid(),
            started=self._started,
            elapsed=elapsed,
            position=session.position,
            payload_bytes=manager.payload_bytes,
            store_bytes=manager.holdings.in_store,
            memory=broker.used_memory,
            memory_limit=broker.maxmemory,
            rows_written=session.sink.rows,
            stage=session.flow.stage,
            stages=len(manager.plan.stages),
            steps=tuple(_step(session, name, situation, hands) for name in manager.steps),
            workers=_workers(self._crew.records, in_hand),
            bill=self._billing.bill(session),
        )


@dataclass(frozen=True, slots=True)
class _Hands:
    """Live workers per step: those that have loaded it, those of them with a batch in hand, and those still loading."""

    loaded: Counter[str]
    busy: Counter[str]
    loading: Counter[str]

    @classmethod
    def of(cls, records: Sequence[WorkerRecord], in_hand: Mapping[str, int]) -> _Hands:
        alive = [record for record in records if record.alive]
        return cls(
            Counter(record.step for record in alive if record.loaded),
            Counter(record.step for record in alive if record.loaded and record.worker_id in in_hand),
            Counter(record.step for record in alive if not record.loaded),
        )


def _state(session: Session, situation: Situation, hands: _Hands) -> str:
    if situation.stopping:
        return "stopping: finishing the batches in hand"
    if situation.waits_for:
        return f"waiting for {situation.waits_for}"
    stages, stage = session.manager.plan.stages, session.flow.stage
    steps = stages[stage]
    ready = sum(1 for step in steps if hands.loaded[step] or session.manager.steps[step].is_over)
    state = "running" if ready == len(steps) else f"loading steps {ready}/{len(steps)}"
    return state if len(stages) == 1 else f"stage {stage + 1}/{len(stages)}: {state}"


def _step(session: Session, name: str, situation: Situation, hands: _Hands) -> StepView:
    state = session.manager.steps[name]
    counts = state.counts
    return StepView(
        name=name,
        kind=state.plan.kind,
        batches_done=counts.done,
        batches=counts.batches,
        batches_total=counts.batches if state.input_ended else None,
        rows_in=counts.taken,
        rows_out=counts.out,
        rows_failed=state.rows_failed,
        rows_skipped=counts.skipped,
        rows_lost=counts.lost,
        in_flight=session.flow.in_flight(name),
        waiting=session.flow.waiting(name),
        workers=hands.loaded[name],
        busy=hands.busy[name],
        loading=hands.loading[name],
        seconds=counts.seconds,
        waits_for="" if situation.stopping else _waits_for(session, name, situation, hands),
    )


def _waits_for(session: Session, name: str, situation: Situation, hands: _Hands) -> str:
    """Why a step that has not ended has no batch at work."""
    flow, plan, loaded = session.flow, session.manager.plan, hands.loaded[name]
    is_generator = plan.steps[name].kind == "generator"
    if session.manager.steps[name].is_over or (loaded and flow.in_flight(name)):
        return ""
    if plan.stage(name) > flow.stage:
        return f"stage {plan.stage(name) + 1}"
    if not loaded:
        return "its workers to load it" if hands.loading[name] else "a worker"
    if is_generator and not situation.start_rows:
        return "room in the broker"
    if is_generator or flow.waiting(name):
        return "payloads to be consumed" if flow.over_budget() else "the steps after it"
    return f"rows of {', '.join(plan.steps[name].predecessors)}"


def _workers(records: Sequence[WorkerRecord], in_hand: Mapping[str, int]) -> tuple[WorkerView, ...]:
    """Workers with something to report first, so that they are not left out of many."""
    shown = (
        WorkerView(
            record.worker_id,
            record.step,
            record.host,
            record.alive,
            record.loaded,
            in_hand.get(record.worker_id, 0),
            _says(record),
        )
        for record in records
    )
    return tuple(sorted((one for one in shown if one.alive or one.says), key=lambda one: not one.says))


def _says(record: WorkerRecord) -> str:
    """What keeps a worker from serving its step, in one line."""
    if record.waits and record.alive:
        return printable(record.waits)
    if record.alive and (held_up := record.away or record.busy):
        return f"waits for {held_up}"
    return next(iter(record.troubles), "")

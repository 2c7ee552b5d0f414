"""One reading of a run's journal, from its start onwards: the fold, the effects it asks for, and their execution.

When the connection to the broker breaks, the session ends and a new one reads the journal again: memory is only ever a
cache of the fold.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from common.broker.control import Control, Tick
from common.broker.journal import Journaled
from common.payloads.stores import FileStore
from common.protocol.batch import Batch, DeadLetter, Failure, PartWritten, Payload, Routed
from common.settings import Settings
from coordinator.dataset.sink import Sink
from coordinator.engine.file_keeper import FileKeeper
from coordinator.engine.flow import FlowControl
from coordinator.engine.replay import replay
from coordinator.fold.batch_manager import BatchManager
from coordinator.fold.effects import Dispatch, Effect, Emit, Redo, Release, Route
from coordinator.fold.journal_check import what_is_foreign
from coordinator.plan.plan import Plan
from coordinator.runs.failures import FailureLog

ENTRIES_AT_ONCE = 256
"""Entries folded before their effects are executed; unread entries count as in flight."""

FOREIGN = (
    "something other than Penstock has written to the stream of its step, see `failures`; the batch will be redone"
)

ChooseSuccessors = Callable[[str, int, int], tuple[str, ...]]
"""(routing step, seq, rows) -> successors."""


@dataclass(frozen=True, slots=True)
class RunFacts:
    """What a session needs to know about a run.

    Args:
        pipeline: its name.
        windows: per step, batches that one worker has in hand at a time.
        files: the payload store outside the broker, if there is one.
        file_delay: seconds that a file is kept there after its release.
        texts: a column with values of several types becomes text.
    """

    pipeline: str
    plan: Plan
    windows: Mapping[str, int]
    parts: Path
    failures: FailureLog
    settings: Settings
    choose_successors: ChooseSuccessors
    files: FileStore | None = None
    file_delay: float = 0.0
    texts: bool = False


@dataclass(slots=True)
class Due:
    """What the fold asked for that is not done yet.

    Args:
        release: payloads in the broker that are no longer needed.
        redo: batches to redo after the run was reopened.
        routes: outputs that wait for a choice of successors, by step and seq.
    """

    release: list[Payload] = field(default_factory=list)
    redo: list[Batch] = field(default_factory=list)
    routes: dict[tuple[str, int], Route] = field(default_factory=dict)


class Session:
    """The journal as read so far, see `replay`; `advance` executes the effects, a round trip or two at a time.

    Args:
        cursor: position up to which payloads were released.
        sent: batches sent during the life of the run, by step.
    """

    def __init__(self, control: Control, facts: RunFacts, cursor: int, sent: Mapping[str, int]) -> None:
        self.manager = BatchManager(facts.plan)
        self._control = control
        self._facts = facts
        self._cursor = cursor
        self.flow = FlowControl(self.manager, facts.windows, facts.settings, sent)
        token = control.epoch.replace(":", "-")
        self.sink = Sink(control, facts.plan.leaves, facts.parts, token, facts.files, facts.settings, texts=facts.texts)
        self.position = 0
        self.broker_full = False
        self._discarded = 0
        self._due = Due()
        self._file_keeper = FileKeeper(facts.files, facts.file_delay, self.manager) if facts.files else None

    @classmethod
    def replay(cls, control: Control, facts: RunFacts) -> Session:
        """Reads the journal from its start, and checks that the parts it names exist.

        Raises:
            Disconnected, RunError: the broker has lost some of it, or a part is gone.
            WireError: it has an entry that was not written by Penstock.
        """
        end, cursor, sent = control.journal.marks(list(facts.plan.steps))
        session = cls(control, facts, cursor, sent)
        for entries in replay(control.journal, end):
            session._fold(entries)
        session._due.redo = [batch for batch in session._due.redo if session._is_current(batch)]
        session.sink.open()
        return session

    def advance(self, block: float, workers: Mapping[str, int], *, start_work: bool, start_rows: bool) -> bool:
        """Reads the journal, writes parts and sends work.

        Args:
            block: seconds to wait for an entry when there is nothing else to do.
            workers: live workers per step.
            start_work: whether batches may be sent; False while the run is stopping or halted.
            start_rows: whether generators may be asked for more; False when the broker is nearly full.

        Returns:
            Whether anything happened.

        Raises:
            Disconnected, Fenced, OSError (full disk), StoreAway, PayloadLost
        """
        entries = self._control.journal.read(self.position, ENTRIES_AT_ONCE, block)
        self._fold(entries)
        now = time.monotonic()
        while self.sink.take_in(now):
            continue
        if self.flow.over_budget() or self.broker_full or self._only_sink_left():
            self.sink.flush()
        if self._due.routes and start_work:
            self._choose_routes()
        sent = self._send(workers, start_work, start_rows)
        if self._file_keeper is not None:
            self._file_keeper.tend(now)
        return bool(entries) or sent

    def drain(self) -> None:
        """Reads the journal to its end and writes every possible part, because the run stops here."""
        self.catch_up()
        while self.sink.take_in(time.monotonic()):
            continue
        self.sink.flush()
        self.catch_up()
        self._send({}, start_work=False, start_rows=False)

    def look_for_lost(self) -> None:
        """Fails batches that were overwritten, after workers found entries in the streams that were not batches.

        A batch that was sent and has no result is in its step's stream, or its result is in the journal by now. If
        neither is the case, the batch fails: the run halts, and redoes the batch when it is resumed.
        """
        discarded = self._control.discarded()
        if discarded == self._discarded or self._due.redo or self.broker_full:
            return
        self._discarded = discarded
        open_before = {name: self.flow.in_flight(name) for name in self.manager.steps}
        there = {name: self._control.sent_batches(name) for name in self.manager.steps}
        self.catch_up()
        lost = []
        for name, state in self.manager.steps.items():
            if state.plan.kind == "generator":
                self.flow.forget_tickets(name, open_before[name] - len(there[name]))
                continue
            sent = [opened.batch for seq, opened in state.open.items() if seq < self.flow.sent[name]]
            lost += [
                Failure(name, batch.seq, batch.attempt, f"batch {batch.seq} is gone from the broker: {FOREIGN}")
                for batch in sent
                if (batch.seq, batch.attempt) not in there[name] and self._is_current(batch)
            ]
        if lost:
            self._control.append(lost)

    def _only_sink_left(self) -> bool:
        states = self.manager.steps
        return all(state.output_ended for state in states.values()) and not self.manager.finished

    def catch_up(self) -> None:
        """Reads the journal to its end."""
        while entries := self._control.journal.read(self.position, ENTRIES_AT_ONCE):
            self._fold(entries)

    def _fold(self, entries: list[Journaled]) -> None:
        for journaled in entries:
            entry = journaled.entry
            if problem := what_is_foreign(entry, self._facts.plan):
                raise self._control.journal.foreign_entry(journaled.position, problem)
            if isinstance(entry, Failure):
                self._keep_why(entry)  # first, since a full disk makes this entry be read again
            self.position = journaled.position
            if isinstance(entry, PartWritten):
                self.sink.written(entry)
            elif isinstance(entry, Routed):
                self._due.routes.pop((entry.step, entry.seq), None)
            for effect in self.manager.apply(entry):
                self._note(effect)

    def _keep_why(self, failure: Failure) -> None:
        """If the run continues without the rows of a global step, one dead letter says why, also after rereading."""
        state = self.manager.steps[failure.step]
        if state.plan.optional and state.awaits(failure.seq, failure.attempt):
            why = f"all {state.open[failure.seq].batch.rows} rows at once: {failure.error}"
            letter = DeadLetter(failure.step, failure.seq, failure.attempt, 0, why, 1, failure.worker)
            self._facts.failures.append([letter])

    def _note(self, effect: Effect) -> None:
        match effect:
            case Dispatch(batch):
                self.flow.plan(batch)
            case Redo(batch):
                self._due.redo.append(batch)
            case Release(payload, size):
                if self.position <= self._cursor:
                    return
                if payload.external is None:
                    self._due.release.append(payload)
                elif self._file_keeper is not None:
                    self._file_keeper.release(payload.external, size, time.monotonic())
            case Emit():
                self.sink.emit(effect)
            case Route():
                self._due.routes[effect.step, effect.seq] = effect

    def _choose_routes(self) -> None:
        choices = [
            Routed(route.step, route.seq, self._facts.choose_successors(route.step, route.seq, route.rows))
            for route in self._due.routes.values()
        ]
        self._control.append(choices)
        self._due.routes.clear()

    def _is_current(self, batch: Batch) -> bool:
        return self.manager.steps[batch.step].awaits(batch.seq, batch.attempt)

    def _send(self, workers: Mapping[str, int], start_work: bool, start_rows: bool) -> bool:
        tick = Tick(cursor=self.position)
        if start_work:
            kept = self._file_keeper.bytes if self._file_keeper else 0
            tick.dispatch = self.flow.choose(workers, start_rows=start_rows, released_bytes=kept)
            tick.redo = self._due.redo
            for batch in tick.redo:
                self._facts.failures.redone(batch.step, batch.seq, batch.attempt)
        tick.release = self._due.release
        if not (tick.dispatch or tick.redo or tick.release):
            return False
        sent, self.broker_full = self._control.tick(tick)
        if start_work and self.broker_full and (needed := self.flow.choose_to_drain()):
            sent |= self._control.tick(Tick(dispatch=needed, cursor=self.position, drain=True))[0]
        for step, number in sent.items():
            self.flow.mark_sent(step, number)
        if start_work and not self.broker_full:
            self._due.redo = []
        self._due.release = []
        return bool(sent) or bool(tick.redo)

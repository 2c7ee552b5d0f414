"""The coordinator: holds the lease of a run, advances it, watches its workers, and ends it one way or another."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress

from common.batch import Reopened
from common.broker.connection import Connection
from common.broker.control import Control
from common.broker.reports import Reports
from common.broker.runs import RunRegistry
from common.broker.server_facts import ServerFacts
from common.errors import BrokerError, BrokerFull, Disconnected, Fenced, RunError, Stopped, StoreAway
from common.printable import one_line
from common.settings import Settings
from coordinator.crew import Crew, collect_reports
from coordinator.logfile import PipelineLog
from coordinator.publisher import Situation, ViewPublisher
from coordinator.session import RunFacts, Session
from coordinator.view import Outcome, Reporter

WATCH_SECONDS = 0.25
BLOCK_SECONDS = 0.1
FULL_BROKER = "the broker: it is full (maxmemory reached)"
FULL_SHARE = 0.75
"""Share of `maxmemory` above which no new rows are asked for."""
RETRY_SECONDS = 1.0
LAST_WORDS_SECONDS = 3.0
"""How long a run that is complete waits for its workers to leave."""


class Halted(Exception):
    """The fold halted the run; what was in hand is done."""


def wait_for_broker(recover: Callable[[threading.Event], None], stop_asked: threading.Event) -> None:
    """A stop that is asked for meanwhile cannot be a good one: what is in hand stays with its workers.

    Args:
        recover: see `Coordinator`.
    """
    try:
        recover(stop_asked)
    except Disconnected as error:
        if stop_asked.is_set():
            raise Stopped from error
        raise


class Coordinator:
    """Runs one run to its end.

    Args:
        recover: called when the broker cannot be reached, or has forgotten something; returns when it can be and this
            coordinator has the run again, or raises what ends the run: Disconnected when the event that it is given
            is set, since a stop was asked for.
        start_command: step -> what a user types to start a worker for it.
        poll_workers: raises RunError when the local workers have ended for good; None with external ones.
        stop_workers: ends local workers within so many seconds, batches in hand finished; None with external ones.
    """

    def __init__(
        self,
        connection: Connection,
        control: Control,
        facts: RunFacts,
        settings: Settings,
        reporter: Reporter,
        log: PipelineLog,
        *,
        recover: Callable[[threading.Event], None],
        start_command: Callable[[str], str],
        poll_workers: Callable[[], None] | None = None,
        stop_workers: Callable[[float], None] | None = None,
    ) -> None:
        self._connection = connection
        self._control = control
        self._registry = RunRegistry(connection)
        self._reports = Reports(connection, control.keys.run_id)
        self._facts = facts
        self._settings = settings
        self._reporter = reporter
        self._log = log
        self._recover = recover
        self._poll_workers = poll_workers
        self._stop_workers = stop_workers
        self._steps = list(facts.plan.steps)
        self._stop_asked = threading.Event()
        self._watched = 0.0
        self._crew = Crew(self._registry, control.keys.run_id, settings, reporter, start_command)
        self._publisher = ViewPublisher(connection, control, facts.pipeline, self._crew, reporter)
        self._stopping = False
        self._waits_for = ""
        self._broker = ServerFacts.parse({})
        self._disk_full = False
        self._waiting_since = 0.0
        self._fenced: Fenced | None = None
        self._reopened = False
        self._stage = -1
        self.session: Session | None = None

    def stop(self) -> None:
        """Asks the run to stop; from any thread."""
        self._stop_asked.set()

    def fence(self, error: Fenced) -> None:
        """Another coordinator has the run: `run` raises `error` soon; from any thread."""
        self._fenced = error

    def run(self) -> Session:
        """Advances the run until every row is on disk, and returns the session that shows how it went.

        Raises:
            Stopped, Halted: `session` shows how far the run came.
            Fenced: another coordinator has it.
            RunError: it cannot go on.
        """
        while True:
            try:
                session = self.session = Session(self._control, self._facts)
                self._control.update(status="running", stage=session.flow.stage)
                if session.manager.halted is not None and not self._reopened:
                    self._reporter.say(f"going on after: {session.manager.halted.reason}")
                    self._control.append([Reopened()])
                    session.advance(0, {}, start_work=False, start_rows=False)
                self._reopened = True
                self._loop_or_unload(session)
                return session
            except Disconnected as error:
                self._reporter.say(str(error))
                wait_for_broker(self._recover, self._stop_asked)

    def insist(self, act: Callable[[], None]) -> None:
        """Does something at the broker that may be done twice, also where it has to be got back first.

        Raises:
            Stopped: the run was asked to stop, and the broker is away.
            Fenced: another coordinator has it.
            RunError: the broker stays away.
        """
        while True:
            try:
                return act()
            except Disconnected as error:
                self._reporter.say(str(error))
                wait_for_broker(self._recover, self._stop_asked)

    def _loop_or_unload(self, session: Session) -> None:
        """A run that fails ends in good order: workers finish what they have in hand and unload their steps."""
        try:
            self._loop(session)
        except BrokerError:
            raise  # there is no way to tell them
        except RunError as error:
            if not self._stopping:
                why = one_line(str(error).splitlines()[0].rstrip(":"), 80)
                self._reporter.say(f"the run cannot go on: {why}; its workers are told to leave")
                with suppress(RunError, OSError):
                    self._wind_down(session)
            raise

    def _loop(self, session: Session) -> None:
        while not session.manager.finished:
            if self._fenced is not None:
                raise self._fenced
            if self._stop_asked.is_set():
                self._wind_down(session)
                raise Stopped
            if session.manager.halted is not None:
                self._wind_down(session)
                raise Halted
            self._enter_stage(session)
            self._advance(session)
        self._watch(session, force=True)

    def _enter_stage(self, session: Session) -> None:
        """Workers read in the run hash which steps are to be loaded."""
        stage, stages = session.flow.stage, self._facts.plan.stages
        if stage != self._stage:
            self._control.update(stage=stage)
            self._stage = stage
            if len(stages) > 1:
                self._reporter.say(f"stage {stage + 1}/{len(stages)}: {', '.join(stages[stage])}")

    def _advance(self, session: Session) -> None:
        """A full disk or broker is waited for: what is in hand drains, new work does not start."""
        workers = {step: self._crew.alive(step) for step in self._steps}
        try:
            self._watch(session)
            session.advance(BLOCK_SECONDS, workers, start_work=not self._disk_full, start_rows=self._start_rows)
            self._disk_full = False
        except OSError as error:
            self._disk_full = True
            self._wait_for(f"the disk: {error}; make room in {self._facts.parts.parent}")
            self._stop_asked.wait(RETRY_SECONDS)
        except StoreAway as error:
            self._wait_for(f"the payload store: {error}")
            self._stop_asked.wait(RETRY_SECONDS)
        except BrokerFull:
            self._wait_for(FULL_BROKER, draining=session.flow.busy)
            self._stop_asked.wait(RETRY_SECONDS)
        else:
            self._wait_for(FULL_BROKER if session.broker_full else "", draining=session.flow.busy)

    def _wait_for(self, what: str, *, draining: bool = False) -> None:
        """Says what is waited for, once, and gives up when that takes longer than patience.

        Args:
            draining: work in hand makes room meanwhile, so that patience does not run out.

        Raises:
            RunError: it has.
        """
        now = time.monotonic()
        if what and what != self._waits_for:
            self._reporter.say(f"waiting for {what}")
        if not what or not self._waits_for or draining:
            self._waiting_since = now
        self._waits_for = what
        if now - self._waiting_since > self._settings.patience:
            raise RunError(
                f"waited {self._settings.patience:.0f} s for {what}; run the command again when it is mended"
            )

    # stopping

    def _wind_down(self, session: Session) -> None:
        """Nothing new starts; batches in hand are finished within the grace, or handed back."""
        self._stopping = True
        self._look(session, force=True)
        self._control.update(want="stop")
        deadline = time.monotonic() + self._settings.grace
        if self._stop_workers is not None:
            self._stop_workers(self._settings.grace)
        while time.monotonic() < deadline and self._control.in_hand(self._steps):
            session.advance(BLOCK_SECONDS, {}, start_work=False, start_rows=False)
            self._watch(session)
        with suppress(OSError, StoreAway):  # what cannot be written, or read, now is still where it is
            session.drain()
            self._watch(session, force=True)

    def dismiss(self) -> None:
        """The run is complete: workers unload their steps, and what they had left to say goes to the log."""
        with suppress(RunError, OSError):  # it stays complete without their last words
            if self._stop_workers is not None:
                self._stop_workers(self._settings.grace)
            deadline = time.monotonic() + LAST_WORDS_SECONDS
            while self._any_alive() and time.monotonic() < deadline:
                time.sleep(BLOCK_SECONDS)
            self._collect_reports()
            self._connection.insist(self._make_sure_that_it_ended, LAST_WORDS_SECONDS)

    def _make_sure_that_it_ended(self) -> None:
        """A broker that dies within a second may forget how the run ended, and nobody would tell it again."""
        # Refused before 7.2, without an AOF, and where an ACL does not have it: then that second is not waited for.
        self._connection.batch([("WAITAOF", 1, 0, round(LAST_WORDS_SECONDS * 1000))])
        if self._registry.status(self._control.keys.run_id)[0] not in ("complete", ""):
            self._control.finish("complete", self._steps, self._settings.keep_finished)

    def _any_alive(self) -> bool:
        return any(record.alive for record in self._registry.workers(self._control.keys.run_id))

    # watching

    def _watch(self, session: Session, *, force: bool = False) -> None:
        now = time.monotonic()
        if not force and now - self._watched < WATCH_SECONDS:
            return
        self._watched = now
        self._collect_reports()
        session.look_for_lost()
        if self._control.want() == "stop" and not self._stopping:
            self._stop_asked.set()
        self._broker = self._connection.facts()
        self._crew.look(self._steps)
        if not self._stopping:
            self._check_workers(session)
        self._look(session, force=force)

    @property
    def _start_rows(self) -> bool:
        return not self._broker.maxmemory or self._broker.used_memory < FULL_SHARE * self._broker.maxmemory

    def _look(self, session: Session, *, force: bool) -> None:
        situation = Situation(self._stopping, self._waits_for, self._start_rows, self._broker)
        self._publisher.look(session, situation, force=force)

    def publish_end(self, outcome: Outcome) -> None:
        """Lets whoever looks later see how the run ended."""
        self._publisher.end(outcome, self._settings.keep_finished)

    def _check_workers(self, session: Session) -> None:
        """Local workers come with their stage; others may be started at any time and wait for theirs."""
        needed = [step for step in self._steps if not session.manager.steps[step].is_over]
        due = self._facts.plan.stages[session.flow.stage] if self._poll_workers is not None else needed
        self._crew.check(needed, due)
        if self._poll_workers is not None:
            self._poll_workers()

    def _collect_reports(self) -> None:
        collect_reports(self._reports, self._log, self._facts.failures)

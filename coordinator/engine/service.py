"""The coordinator: advances a run, watches its workers, and stops it gracefully."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress

from common.broker.patience import Patience
from common.errors import BrokerError, BrokerFull, RunError, Stopped, StoreAway
from common.protocol.batch import Reopened
from common.words.printable import one_line
from coordinator.engine.crew import Crew
from coordinator.engine.obstacle import Obstacle
from coordinator.engine.session import RunFacts, Session
from coordinator.engine.tenure import Tenure
from coordinator.engine.watch import Watch
from coordinator.local.host import LocalHost
from coordinator.view.view import Outcome

BLOCK_SECONDS = 0.1
FULL_BROKER = "the broker: it is full (maxmemory reached)"
RETRY_SECONDS = 1.0
LAST_WORDS_SECONDS = 3.0
"""How long a complete run waits for its workers to leave."""


class Halted(Exception):
    """The fold halted the run; work in hand is done."""


class Coordinator:
    """Runs one run to its end.

    Args:
        start_command: step -> what a user types to start a worker for it.
        host: has started local workers; None with external workers.
    """

    def __init__(
        self, tenure: Tenure, facts: RunFacts, start_command: Callable[[str], str], host: LocalHost | None = None
    ) -> None:
        self._tenure = tenure
        self._facts = facts
        self._host = host
        crew = Crew(tenure.registry, tenure.run_id, tenure.settings, tenure.reporter, start_command)
        self._watch = Watch(tenure, facts, crew, host)
        self._obstacle = Obstacle(tenure.settings.patience, tenure.reporter.say)
        self._disk_full = False
        self._stopping = False
        self._reopened = False
        self._stage = -1
        self.session: Session | None = None

    def run(self) -> Session:
        """Advances the run until every row is on disk, and returns the session that shows the result.

        Raises:
            Stopped, Halted: `session` shows how far the run got.
            Fenced: another coordinator has the run.
            RunError: the run cannot continue.
        """
        return self._tenure.insist(self._advance_to_the_end)

    def _advance_to_the_end(self) -> Session:
        session = self.session = Session.replay(self._tenure.control, self._facts)
        self._tenure.control.update(status="running", stage=session.flow.stage)
        if session.manager.halted is not None and not self._reopened:
            self._tenure.reporter.say(f"resuming after: {session.manager.halted.reason}")
            self._tenure.control.append([Reopened()])
            session.advance(0, {}, start_work=False, start_rows=False)
        self._reopened = True
        self._loop_or_unload(session)
        return session

    def _loop_or_unload(self, session: Session) -> None:
        """A run that fails ends gracefully: workers finish the batches in hand and unload their steps."""
        try:
            self._loop(session)
        except BrokerError:
            raise  # the workers cannot be told
        except RunError as error:
            if not self._stopping:
                why = one_line(str(error).splitlines()[0].rstrip(":"), 80)
                self._tenure.reporter.say(f"the run cannot continue: {why}; telling its workers to leave")
                with suppress(RunError, OSError):
                    self._wind_down(session)
            raise

    def _loop(self, session: Session) -> None:
        while not session.manager.finished:
            self._tenure.check()
            if self._tenure.stop_asked.is_set():
                self._wind_down(session)
                raise Stopped
            if session.manager.halted is not None:
                self._wind_down(session)
                raise Halted
            self._enter_stage(session)
            self._advance(session)
        self._watch.look(session, self._obstacle.what, force=True)

    def _enter_stage(self, session: Session) -> None:
        """Tells workers, in the run hash, which steps to load."""
        stage, stages = session.flow.stage, self._facts.plan.stages
        if stage != self._stage:
            self._tenure.control.update(stage=stage)
            self._stage = stage
            if len(stages) > 1:
                self._tenure.reporter.say(f"stage {stage + 1}/{len(stages)}: {', '.join(stages[stage])}")

    def _advance(self, session: Session) -> None:
        """Waits for a full disk or broker: work in hand drains, and no new work starts."""
        workers, watch = self._watch.workers(), self._watch
        try:
            watch.look(session, self._obstacle.what)
            session.advance(BLOCK_SECONDS, workers, start_work=not self._disk_full, start_rows=watch.start_rows)
            self._disk_full = False
        except OSError as error:
            self._disk_full = True
            self._wait_for(f"the disk: {error}; free space in {self._facts.parts.parent}")
        except StoreAway as error:
            self._wait_for(f"the payload store: {error}")
        except BrokerFull:
            self._wait_for(FULL_BROKER, draining=session.flow.busy)
        else:
            if session.broker_full:
                self._obstacle.meet(FULL_BROKER, time.monotonic(), draining=session.flow.busy)
            elif away := watch.away(session):
                self._obstacle.meet(away, time.monotonic())
            else:
                self._obstacle.clear()

    def _wait_for(self, what: str, *, draining: bool = False) -> None:
        self._obstacle.meet(what, time.monotonic(), draining=draining)
        self._tenure.stop_asked.wait(RETRY_SECONDS)

    # stopping

    def _wind_down(self, session: Session) -> None:
        """Starts nothing new; batches in hand are finished within the grace period, or handed back."""
        self._stopping = True
        self._watch.show(session, self._obstacle.what, stopping=True)
        self._tenure.control.update(want="stop")
        deadline = time.monotonic() + self._tenure.settings.grace
        if self._host is not None:
            self._host.stop_workers(self._tenure.settings.grace)
        steps = list(self._facts.plan.steps)
        while time.monotonic() < deadline and self._tenure.control.in_hand(steps):
            session.advance(BLOCK_SECONDS, {}, start_work=False, start_rows=False)
            self._watch.look(session, self._obstacle.what, stopping=True)
        with suppress(OSError, StoreAway):  # what cannot be written or read now is not lost
            session.drain()
            self._watch.look(session, self._obstacle.what, stopping=True, force=True)

    def publish_end(self, outcome: Outcome) -> None:
        """Records how the run ended, for later viewers."""
        self._watch.end(outcome)

    def dismiss(self) -> None:
        """Ends a complete run: workers unload their steps, and their last messages go to the log."""
        with suppress(RunError, OSError):  # it stays complete without their last messages
            if self._host is not None:
                self._host.stop_workers(self._tenure.settings.grace)
            deadline = time.monotonic() + LAST_WORDS_SECONDS
            while self._any_alive() and time.monotonic() < deadline:
                time.sleep(BLOCK_SECONDS)
            self._tenure.collect_reports()
            Patience(self._tenure.connection, LAST_WORDS_SECONDS).insist(self._make_sure_that_it_ended)

    def _make_sure_that_it_ended(self) -> None:
        """Waits until the end is on disk: a broker that dies within a second may lose how the run ended."""
        # Refused before 7.2, without an AOF, and if the ACL does not allow it: then this does not wait.
        self._tenure.connection.batch([("WAITAOF", 1, 0, round(LAST_WORDS_SECONDS * 1000))])
        if self._tenure.registry.status(self._tenure.run_id)[0] not in ("complete", ""):
            self._tenure.control.finish("complete", list(self._facts.plan.steps), self._tenure.settings.keep_finished)

    def _any_alive(self) -> bool:
        return any(record.alive for record in self._tenure.registry.workers(self._tenure.run_id))

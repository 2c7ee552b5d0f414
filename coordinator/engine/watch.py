"""What a coordinator monitors and shows during a run."""

from __future__ import annotations

import time
from collections.abc import Mapping

from common.broker.server_facts import ServerFacts
from common.broker.views import Views
from coordinator.engine.billing import Billing
from coordinator.engine.crew import Crew
from coordinator.engine.publisher import Situation, ViewPublisher
from coordinator.engine.session import RunFacts, Session
from coordinator.engine.tenure import Tenure
from coordinator.local.host import LocalHost
from coordinator.view.view import Outcome

WATCH_SECONDS = 0.25
FULL_SHARE = 0.75
"""Share of `maxmemory` above which no new rows are requested."""


class Watch:
    """Monitors the workers and their reports, requests to the run, and the memory of the broker.

    Args:
        host: has started local workers; None with external workers.
    """

    def __init__(self, tenure: Tenure, facts: RunFacts, crew: Crew, host: LocalHost | None) -> None:
        self._tenure = tenure
        self._plan = facts.plan
        self._crew = crew
        self._host = host
        self._publisher = ViewPublisher(
            tenure.connection,
            tenure.control,
            facts.pipeline,
            crew,
            tenure.reporter,
            Billing.of(tenure.connection, tenure.control.keys.run_id, tenure.prepared.spec),
        )
        self._views = Views(tenure.connection, tenure.control.keys.run_id)
        self._busy: Mapping[str, int] = {}
        self._looked = 0.0
        self._broker = ServerFacts.parse({})

    def workers(self) -> dict[str, int]:
        """Live workers per step at the last check."""
        return {step: self._crew.alive(step) for step in self._plan.steps}

    @property
    def start_rows(self) -> bool:
        """Whether generators may be asked for more; False when the broker is nearly full."""
        return not self._broker.maxmemory or self._broker.used_memory < FULL_SHARE * self._broker.maxmemory

    def look(self, session: Session, waits_for: str = "", *, stopping: bool = False, force: bool = False) -> None:
        """Checks four times a second, however often it is called.

        Args:
            waits_for: what the whole run waits for, such as a full disk.
            stopping: nothing new starts, and workers may leave.
            force: check in any case.

        Raises:
            RunError: the workers cannot finish the run.
        """
        now = time.monotonic()
        if not force and now - self._looked < WATCH_SECONDS:
            return
        self._looked = now
        self._tenure.collect_reports()
        session.look_for_lost()
        if self._tenure.control.want() == "stop" and not stopping:
            self._tenure.stop()
        self._broker = self._tenure.connection.facts()
        steps = list(self._plan.steps)
        self._crew.look(steps)
        self._busy = self._views.in_hand(steps) if self._crew.anyone_waits else {}
        if not stopping:
            self._check_workers(session)
        self.show(session, waits_for, stopping=stopping, force=force)

    def show(self, session: Session, waits_for: str = "", *, stopping: bool = False, force: bool = True) -> None:
        """Shows the run as it is now; arguments as for `look`."""
        stopping = stopping or self._tenure.stop_asked.is_set()
        self._publisher.look(session, Situation(stopping, waits_for, self.start_rows, self._broker), force=force)

    def away(self, session: Session) -> str:
        """What all workers with rows of an unfinished step wait for, such as an endpoint; empty if nothing."""
        steps = [step for step, state in session.manager.steps.items() if not state.is_over]
        return self._crew.away(steps, self._busy)

    def end(self, outcome: Outcome) -> None:
        """Records how the run ended, for later viewers."""
        self._publisher.end(outcome, self._tenure.settings.keep_finished)

    def _check_workers(self, session: Session) -> None:
        """Starts local workers with their stage; external workers may start at any time and wait for their stage."""
        needed = [step for step in self._plan.steps if not session.manager.steps[step].is_over]
        self._crew.check(needed, needed if self._host is None else self._plan.stages[session.flow.stage])
        if self._host is not None:
            self._host.check_workers()

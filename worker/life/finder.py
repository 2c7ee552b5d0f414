"""Which run a worker joins."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from contextlib import suppress

from common.broker.connection import Connection
from common.broker.patience import Patience
from common.broker.runs import RunRecord, RunRegistry
from common.errors import CannotServe, Disconnected, OtherProtocol, UsageError
from common.protocol.status import UNDER_WAY
from common.words.faults import nearest

POLL_SECONDS = 0.5

logger = logging.getLogger("penstock.worker")


class Finder:
    """Finds the run that needs this worker. Of several, it is the one with a coordinator.

    Args:
        step: the worker's step; None for a worker of all steps.
        run_id: the run, if named.
        pipeline: only runs of this pipeline.
        patience: seconds to wait for a broker that goes away meanwhile.
        stay: wait for a coordinator; if several runs with one match, wait until one is left.
    """

    def __init__(
        self,
        connection: Connection,
        step: str | None,
        run_id: str | None,
        pipeline: str | None,
        patience: float,
        *,
        stay: bool = False,
    ) -> None:
        self._connection = connection
        self._registry = RunRegistry(connection)
        self._step = step
        self._run_id = run_id
        self._pipeline = pipeline
        self._seconds = patience
        self._stay = stay
        self._said: set[str] = set()

    def find(self, stopped: threading.Event) -> RunRecord | None:
        """Waits for the run.

        Returns:
            The run, or None if there is nothing to do or `stopped` was set meanwhile.

        Raises:
            UsageError: several runs match, and not exactly one has a coordinator; or the named run, or,
                without `stay`, every running run, lacks the step.
            CannotServe: the named run was created by another version.
            BrokerError: the broker is unusable, or stayed away.
        """
        self._said.clear()
        patience = Patience(self._connection, self._seconds, _say_broker_away, stopped)
        while True:
            try:
                if self._run_id and self._registry.status(self._run_id)[0] == "complete":
                    logger.warning("run '%s' is complete: there is nothing left to do", self._run_id)
                    return None
                if (found := self._look()) is not None:
                    return found
            except Disconnected as error:
                if patience.outlast(error):
                    with suppress(Disconnected):  # away again: the next look reports it
                        self._connection.check()
            if stopped.wait(POLL_SECONDS):
                return None

    def _look(self) -> RunRecord | None:
        found = [
            record
            for record in ([self._named(self._run_id)] if self._run_id else self._registry.all(self._pass_over))
            if record is not None and record.status in UNDER_WAY and self._pipeline in (None, record.pipeline)
        ]
        if self._step:
            others = [record for record in found if self._step not in record.spec["steps"]]
            found = [record for record in found if record not in others]
            if others and not found:
                self._check_misspelt(self._step, others)
        if self._stay or len(found) > 1:
            found = self._choose_coordinated(found)
        if len(found) == 1:
            return found[0]
        wanted = f"step '{self._step}'" if self._step else "workers"
        if found:
            several = f"several runs need {wanted}: {', '.join(record.run_id for record in found)}"
            if not self._stay:
                raise UsageError(f"{several}; choose one with --run RUN")
            self._say_once(f"{several}; waiting until one is left (or choose one with --run RUN)")
        else:
            which = f"run '{self._run_id}'" if self._run_id else "a run"
            if self._pipeline and not self._run_id:
                which += f" of '{self._pipeline}'"
            self._say_once(f"waiting for {which} that needs {wanted} at {self._connection.shown_url}")
        return None

    def _named(self, run_id: str) -> RunRecord | None:
        try:
            return self._registry.read(run_id)
        except OtherProtocol as error:
            raise CannotServe(str(error)) from error

    def _check_misspelt(self, step: str, runs: Sequence[RunRecord]) -> None:
        if self._run_id:
            raise UsageError(_no_such_step(step, runs))
        going_on = [record for record in runs if self._registry.is_coordinated(record.run_id)]
        if going_on and not self._stay:
            raise UsageError(f"{_no_such_step(step, going_on)} (--stay waits for a run with this step)")

    def _choose_coordinated(self, found: list[RunRecord]) -> list[RunRecord]:
        coordinated = [record for record in found if self._registry.is_coordinated(record.run_id)]
        if not self._stay and len(coordinated) != 1:
            return found
        for record in found:
            if record not in coordinated:
                self._pass_over(f"run '{record.run_id}' has no coordinator")
        return coordinated

    def _pass_over(self, why: str) -> None:
        self._say_once(f"skipped: {why}")

    def _say_once(self, text: str) -> None:
        if text not in self._said:
            self._said.add(text)
            logger.warning("%s", text)


def _say_broker_away(why: str) -> None:
    logger.warning("%s; waiting for it", why)


def _no_such_step(step: str, runs: Sequence[RunRecord]) -> str:
    steps_of = {one.run_id: list(one.spec["steps"]) for one in runs}
    lacks = [f"run '{run}' has no step '{step}'; its steps are: {', '.join(steps)}" for run, steps in steps_of.items()]
    close = nearest(step, {name for steps in steps_of.values() for name in steps})
    return "; ".join(lacks) + (f"; did you mean '{close}'?" if close else "")

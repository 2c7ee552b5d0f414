"""One worker: joins a run, loads its step, runs batches until the run ends or the worker is told to stop."""

from __future__ import annotations

import logging
import os
import secrets
import socket
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace

from common.broker.connection import Connection
from common.broker.consumer import Consumer
from common.broker.membership import Membership
from common.broker.patience import Patience
from common.broker.reports import LogLines
from common.broker.runs import RunRecord, RunRegistry
from common.broker.step_notes import StepNotes
from common.building.cuda import devices_wanted
from common.building.descriptor import step_digest
from common.errors import PenstockError, RunError, RunGone, SpecFault, StepNotHere, UsageError
from common.settings import Settings
from common.steps.base import BaseStep
from worker.host.devices import host_devices
from worker.host.log import LogShipper, collect_records
from worker.host.placement import Placement, check_untouched
from worker.host.standard_streams import StandardStreams
from worker.life.absence import Absence
from worker.life.assembly import Assembly, Place
from worker.life.departure import NOT_LOADED, OUT_OF_TURN, Departure, Leaving
from worker.life.introduction import Introduction
from worker.life.lease import Heard, Keeper
from worker.life.loading import Loading
from worker.life.serving import Serving
from worker.life.turns import Turns
from worker.life.watch import Watch
from worker.runners.runner import Runner

LOADED_SECONDS = 0.5
"""Seconds within which a returned `load` is noticed when the worker is told to stop."""

logger = logging.getLogger("penstock.worker")


def end_process(departure: Departure) -> None:
    """Ends this process abruptly."""
    os._exit(departure.exit_code)


class Worker:
    """A worker of one step of one run, for one life of the process.

    Args:
        leave_at_once: ends the process; for a worker that must leave while its step is being loaded.
    """

    def __init__(
        self,
        connection: Connection,
        record: RunRecord,
        step: str,
        settings: Settings,
        place: Place,
        leave_at_once: Callable[[Departure], None] = end_process,
    ) -> None:
        self._connection = connection
        self._record = record
        self._step_name = step
        self._settings = settings
        self._place = place
        self._leave_at_once = leave_at_once
        self._patience = Patience(connection, settings.patience, logger.warning)
        self._consumer = Consumer(connection, record.run_id, step, secrets.token_hex(4), record.begun)
        self._membership = Membership(self._consumer, settings.worker_lease)
        self._leaving = Leaving()
        self._loading = Loading()
        self._runner: Runner | None = None

    @property
    def departure(self) -> Departure:
        """Why it has left."""
        return self._leaving.departure

    def stop(self) -> None:
        """Finish the batch in hand, hand the rest back, leave. While the step is being loaded, nothing is in hand."""
        self._leaving.asked.set()
        if self._loading.is_under_way:
            with suppress(RunError):
                self._membership.leave()
            # A step that was just loaded is unloaded as well.
            if not self._loading.ends_within(LOADED_SECONDS):
                if self.departure.error is not None:
                    self._say(self.departure.error)
                self._leave_at_once(self.departure)
        if self._runner is not None:
            self._runner.stop()

    def _leave_because(self, departure: Departure | None) -> None:
        if departure is not None:
            self._leaving.because(departure)
        self.stop()

    def run(self) -> int:
        """Returns the exit code."""
        worker_id = self._consumer.worker_id
        shipper = LogShipper(self._step_name, worker_id)
        streams = StandardStreams.take_over(logging.getLogger(f"penstock.step.{self._step_name}"))
        shipper.say_first = [lines.say_dropped for lines in streams.printed]
        collect_records(shipper, echo=streams.terminal if self._place.echo else None)
        heard = Heard(self._step_name, streams, self._place.echo)
        keeper = Keeper(self._connection.url, self._record.run_id, worker_id, self._settings.worker_lease, heard)
        facts: dict[str, object] = {
            "step": self._step_name,
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "local": self._is_local,
        }
        absence = Absence(RunRegistry(self._connection), self._record.run_id, self._settings.coordinator_timeout)
        turns = Turns(self._connection, self._record)
        stopping = self._leaving.asked
        watch = Watch(
            self._consumer,
            self._membership,
            turns,
            None if self._is_local else absence,
            shipper,
            keeper,
            stopping,
            self._leave_because,
        )
        try:
            self._join(facts)
            keeper.ensure()
            watch.start()
            self._serve(facts, keeper, shipper, watch)
            if self.departure.error is not None:
                raise self.departure.error
        except PenstockError as error:
            self._leaving.because(Departure.because_of(error))
            self._say(error)
            if not isinstance(error, RunGone):  # its coordinator may be about to create it again
                facts["refused"] = str(error)
            fault = error.__cause__
            if isinstance(fault, SpecFault) and not isinstance(fault, StepNotHere):
                facts["fault"] = [fault.message, fault.loc]
        finally:
            stopping.set()
            watch.join()
            for lines in streams.printed:
                lines.end_lines()
            streams.restore()
            keeper.flush()
            shipper.ship(LogLines(self._consumer))
            self._leave(facts)
            keeper.stop()
        return self.departure.exit_code

    def _serve(self, facts: dict[str, object], keeper: Keeper, shipper: LogShipper, watch: Watch) -> None:
        """Runs batches until the worker must leave."""
        self._patience.insist(watch.look_for_coordinator)
        assembly = Assembly(self._record, self._step_name, self._settings, self._place)
        step = assembly.build()
        facts["digest"] = step_digest(step, assembly.sources)
        logging.getLogger(type(step).__module__.partition(".")[0]).setLevel(logging.INFO)
        introduction = Introduction(self._consumer, self._record, self._patience)
        stopping = self._leaving.asked
        record = introduction.make(step, stopping, assembly.sources)
        if record is None:
            return
        self._record, watch.turns = record, Turns(self._connection, record)
        assembly = replace(assembly, record=record)
        runner = assembly.runner(step, self._consumer, stopping, lambda: shipper.ship(LogLines(self._consumer)))
        watch.in_turn = watch.turns.wait(self._step_name, stopping.wait)
        if not watch.in_turn:
            if not stopping.is_set():
                self._leaving.because(OUT_OF_TURN)
            return
        if not self._take_devices(step, facts, keeper, watch) or not self._load(runner, facts):
            return
        self._join({**facts, "loaded": True})
        self._patience.insist(StepNotes(self._consumer).note_loaded)
        logger.info("step '%s' loaded by worker %s on %s", self._step_name, self._consumer.worker_id, facts["host"])
        try:
            self._runner = runner
            watch.serving = Serving(runner, self._consumer, self._membership, self._settings)
            if not stopping.is_set():
                runner.run()
        finally:
            self._unload(runner)

    def _load(self, runner: Runner, facts: dict[str, object]) -> bool:
        """Returns whether the step is loaded."""
        with self._loading.under_way():
            if self._leaving.asked.is_set():
                return False
            try:
                runner.load()
            except BaseException as error:  # such as a SystemExit: signals raise nothing here
                facts["load_error"] = str(error) if isinstance(error, UsageError) else traceback.format_exc()
                logger.exception("step '%s' cannot be loaded", self._step_name)
                self._leaving.because(NOT_LOADED)
                return False
        return True

    def _say(self, error: PenstockError) -> None:
        logger.error("worker %s leaves: %s", self._consumer.worker_id, error)

    @property
    def _is_local(self) -> bool:
        """Whether a coordinator started it. Then it ends with it, and need not check that it lives."""
        return not self._place.echo

    def _take_devices(self, step: BaseStep, facts: dict[str, object], keeper: Keeper, watch: Watch) -> bool:
        """Waits for the devices that the step needs; returns False if told to stop meanwhile."""
        wanted = devices_wanted(step)
        if not wanted:
            return True
        check_untouched(self._step_name)
        turns = watch.turns
        beside = [name for name in self._place.beside if turns.of(name) == turns.of(self._step_name)]
        known = self._record.options.devices
        placement = Placement(
            self._connection,
            self._settings,
            host_devices(self._settings.devices, os.environ),
            (self._record.run_id, self._step_name, self._consumer.worker_id),
            {name: known.get(name, 0) for name in beside} | {self._step_name: wanted},
        )

        def say(waits: str) -> None:
            logger.info("worker %s of step '%s' %s", self._consumer.worker_id, self._step_name, waits)
            with suppress(RunError):
                self._membership.tell({**facts, "waits": waits})

        if not placement.take(self._leaving.asked, say):
            return False
        keeper.keep_devices(placement.taken, placement.holder)
        watch.placement = placement
        logger.info("worker %s has taken %s", self._consumer.worker_id, placement)
        self._join(facts)
        return True

    def _join(self, facts: Mapping[str, object]) -> None:
        self._patience.insist(lambda: self._membership.join(facts))

    def _unload(self, runner: Runner) -> None:
        try:
            runner.unload()
        except BaseException:
            logger.exception("step '%s' raised while being unloaded", self._step_name)

    def _leave(self, facts: dict[str, object]) -> None:
        """Leaves the error for the coordinator, which decides what it means."""
        try:
            if self._runner is not None:
                self._runner.spending.write(last=True)
            self._membership.leave()
        except RunError as error:
            logger.warning("this worker could not leave the run; its lease will expire: %s", error)
        if "load_error" in facts or "refused" in facts:
            with suppress(RunError):
                self._membership.tell(facts)

"""One worker: joins a run, loads its step, runs batches until the run ends or it is told to stop."""

from __future__ import annotations

import logging
import os
import secrets
import socket
import threading
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace

from common.broker.connection import Connection
from common.broker.consumer import Consumer
from common.broker.membership import Membership
from common.broker.reports import LogLines
from common.broker.runs import RunRecord, RunRegistry
from common.broker.step_notes import StepNotes
from common.cuda import devices_wanted
from common.descriptor import step_digest
from common.errors import (
    EXIT_CANNOT_SERVE,
    EXIT_COMPLETE,
    EXIT_FAILED,
    EXIT_NO_COORDINATOR,
    BrokerFull,
    Disconnected,
    PenstockError,
    RunError,
    RunGone,
    SpecFault,
    StepNotHere,
    UsageError,
    WireError,
)
from common.settings import Settings
from common.status import ENDED
from common.steps.base import BaseStep
from worker.absence import Absence
from worker.assembly import Assembly, Place
from worker.devices import host_devices
from worker.introduction import Introduction
from worker.lease import Heard, Keeper
from worker.log import LogShipper, collect_records
from worker.placement import Placement, check_untouched
from worker.runner import Runner
from worker.standard_streams import StandardStreams
from worker.turns import LOOK_SECONDS, Turns

WATCH_SECONDS = 0.5
LOADED_SECONDS = 0.5
"""Within which a `load` that has returned is known to have, when the worker is told to stop."""

logger = logging.getLogger("penstock.worker")


class Worker:
    """A worker of one step of one run, for one life of the process."""

    def __init__(
        self,
        connection: Connection,
        record: RunRecord,
        step: str,
        settings: Settings,
        place: Place,
        leave_at_once: Callable[[int], None] = os._exit,
    ) -> None:
        self._leave_at_once = leave_at_once
        self._loading = False
        self._load_ends = threading.Condition()
        self.worker_id = secrets.token_hex(4)
        self._connection = connection
        self._record = record
        self._step_name = step
        self._settings = settings
        self._place = place
        self._consumer = Consumer(connection, record.run_id, step, self.worker_id, record.begun)
        self._membership = Membership(self._consumer, settings.worker_lease)
        self._log_lines = LogLines(self._consumer)
        self._runner: Runner | None = None
        self._placement: Placement | None = None
        self._lost_devices = False
        self._absence = Absence(RunRegistry(connection), record.run_id, settings.coordinator_timeout)
        self._abandoned = False
        self._misled: PenstockError | None = None
        self._turns = Turns(connection, record)
        self._has_turn = False
        self.is_out_of_turn = False
        """Has it left, or not begun, because the run is in another stage than its step's?"""
        self._stopping = threading.Event()

    def stop(self) -> None:
        """Finish the batch in hand, hand the rest back, leave. While the step is loaded there is nothing in hand."""
        self._stopping.set()
        if self._loading:
            with suppress(RunError):
                self._membership.leave()
            with self._load_ends:
                # One that has just been loaded is unloaded as well.
                if not self._load_ends.wait_for(lambda: not self._loading, LOADED_SECONDS):
                    self._say_what_misled()
                    self._leave_at_once(self._exit_code)
        if self._runner is not None:
            self._runner.stop()

    def run(self) -> int:
        """Returns the exit code."""
        shipper = LogShipper(self._step_name, self.worker_id)
        streams = StandardStreams(logging.getLogger(f"penstock.step.{self._step_name}"))
        shipper.say_first = [lines.say_dropped for lines in streams.printed]
        collect_records(shipper, echo=streams.terminal if self._place.echo else None)
        heard = Heard(self._step_name, streams, self._place.echo)
        keeper = Keeper(self._connection.url, self._record.run_id, self.worker_id, self._settings.worker_lease, heard)
        facts: dict[str, object] = {
            "step": self._step_name,
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "local": self._is_local,
        }
        watch = threading.Thread(target=self._watch, args=(shipper, keeper), name="watch", daemon=True)
        try:
            self._join(facts)
            keeper.ensure()
            watch.start()
            code = self._serve(facts, keeper, shipper)
            if self._misled is not None:
                raise self._misled
            return code
        except PenstockError as error:
            self._misled = error
            self._say_what_misled()
            if not self.run_is_gone:  # its coordinator may be about to make it anew
                facts["refused"] = str(error)
            fault = error.__cause__
            if isinstance(fault, SpecFault) and not isinstance(fault, StepNotHere):
                facts["fault"] = [fault.message, fault.loc]
            return self._exit_code
        finally:
            self._stopping.set()
            if watch.is_alive():
                watch.join(timeout=5)
            for lines in streams.printed:
                lines.end_lines()
            streams.restore()
            keeper.flush()
            shipper.ship(self._log_lines)
            self._leave(facts)
            keeper.stop()

    def _serve(self, facts: dict[str, object], keeper: Keeper, shipper: LogShipper) -> int:
        if not self._is_local:  # a user who may not look is told now
            self._connection.insist(self._absence.look, self._settings.patience)
        assembly = Assembly(self._record, self._step_name, self._settings, self._place)
        step = assembly.build()
        facts["digest"] = step_digest(step, assembly.sources)
        logging.getLogger(type(step).__module__.partition(".")[0]).setLevel(logging.INFO)
        introduction = Introduction(self._consumer, self._record, self._settings)
        record = introduction.make(step, self._stopping, assembly.sources)
        if record is None:
            return self._exit_code
        self._record, self._turns = record, Turns(self._connection, record)
        assembly = replace(assembly, record=record)
        runner = assembly.runner(step, self._consumer, self._stopping, lambda: shipper.ship(self._log_lines))
        self._has_turn = self._turns.wait(self._step_name, self._stopping.wait)
        if not self._has_turn:
            self.is_out_of_turn = not self._stopping.is_set()
            return self._exit_code
        if not self._take_devices(step, facts, keeper):
            return self._exit_code
        self._loading = True
        try:
            if self._stopping.is_set():
                return self._exit_code
            runner.load()
        except BaseException as error:  # such as a SystemExit: no signal raises anything here
            facts["load_error"] = str(error) if isinstance(error, UsageError) else traceback.format_exc()
            logger.exception("step '%s' cannot be loaded", self._step_name)
            return EXIT_FAILED
        finally:
            with self._load_ends:
                self._loading = False
                self._load_ends.notify_all()
        self._join({**facts, "loaded": True})
        self._connection.insist(StepNotes(self._consumer).note_loaded, self._settings.patience)
        logger.info("step '%s' loaded by worker %s on %s", self._step_name, self.worker_id, facts["host"])
        try:
            self._runner = runner
            if not self._stopping.is_set():
                runner.run()
            return self._exit_code
        finally:
            self._unload(runner)

    @property
    def _exit_code(self) -> int:
        """A worker that has lost its devices leaves room for another one, which waits for some."""
        if self._misled is not None:  # who would find the same again has no successor
            return EXIT_CANNOT_SERVE if isinstance(self._misled, WireError) else self._misled.exit_code
        if self._abandoned:
            return EXIT_NO_COORDINATOR
        return EXIT_FAILED if self._lost_devices else EXIT_COMPLETE

    @property
    def run_is_gone(self) -> bool:
        """Does it leave because there is no such run any more?"""
        return isinstance(self._misled, RunGone)

    def _say_what_misled(self) -> None:
        if self._misled is not None:
            logger.error("worker %s leaves: %s", self.worker_id, self._misled)

    @property
    def _is_local(self) -> bool:
        """Was it started by a coordinator? Then it ends with that one, and need not look whether it is there."""
        return not self._place.echo

    def _take_devices(self, step: BaseStep, facts: dict[str, object], keeper: Keeper) -> bool:
        """Waits for the devices that the step wants; returns False when told to stop meanwhile."""
        wanted = devices_wanted(step)
        if not wanted:
            return True
        check_untouched(self._step_name)
        known = self._record.options.devices
        placement = Placement(
            self._connection,
            self._settings,
            host_devices(self._settings.devices, os.environ),
            (self._record.run_id, self._step_name, self.worker_id),
            {name: known.get(name, 0) for name in self._beside()} | {self._step_name: wanted},
        )

        def say(waits: str) -> None:
            logger.info("worker %s of step '%s' %s", self.worker_id, self._step_name, waits)
            with suppress(RunError):
                self._membership.tell({**facts, "waits": waits})

        if not placement.take(self._stopping, say):
            return False
        keeper.keep_devices(placement.taken, placement.holder)
        self._placement = placement
        logger.info("worker %s has taken %s", self.worker_id, placement)
        self._join(facts)
        return True

    def _beside(self) -> list[str]:
        """Steps that are loaded on this host together with this one."""
        return [name for name in self._place.beside if self._turns.of(name) == self._turns.of(self._step_name)]

    def _check_devices(self) -> None:
        """Leaves when another worker has devices of this one: their leases ran out, as when the host stood still."""
        if self._placement is not None and not self._lost_devices and (lost := self._placement.lost()):
            logger.error("worker %s has lost its lease of GPUs and leaves: %s", self.worker_id, lost)
            self._lost_devices = True
            self.stop()

    def _join(self, facts: Mapping[str, object]) -> None:
        self._connection.insist(lambda: self._membership.join(facts), self._settings.patience, logger.warning)

    def _unload(self, runner: Runner) -> None:
        try:
            runner.unload()
        except BaseException:
            logger.exception("step '%s' raised while it was unloaded", self._step_name)

    def _leave(self, facts: dict[str, object]) -> None:
        """What went wrong stays readable for the coordinator, which decides what it means."""
        try:
            self._membership.leave()
        except RunError as error:
            logger.warning("this worker's lease will run out by itself: %s", error)
        if "load_error" in facts or "refused" in facts:
            with suppress(RunError):
                self._membership.tell(facts)

    def _watch(self, shipper: LogShipper, keeper: Keeper) -> None:
        registry = RunRegistry(self._connection)
        while not self._stopping.wait(LOOK_SECONDS if self._turns.several else WATCH_SECONDS):
            try:
                shipper.ship(self._log_lines)
                if not self._is_local:
                    self._absence.look()
                status, want = registry.status(self._record.run_id)
                self._check_devices()
                if not status:
                    raise RunGone(self._connection.shown_url)
                if not self._consumer.is_of_this_run():
                    logger.info("run '%s' was begun anew (--fresh): this worker leaves", self._record.run_id)
                    self.stop()
                    continue
                self._membership.stay_known()
                if status in ENDED or want == "stop":
                    self.stop()
                elif self._absence.is_too_long():
                    self._abandoned = True
                    self.stop()
                elif self._has_turn:
                    self._check_turn(shipper)
            except (Disconnected, BrokerFull):
                self._absence.forget()
            except PenstockError as error:  # the run is gone, or what the broker holds is not what Penstock writes
                self._misled = error
                self.stop()
            finally:
                keeper.ensure()

    def _check_turn(self, shipper: LogShipper) -> None:
        """A step stays loaded as long as its stage lasts; a run goes back to one when the broker has lost some work."""
        turns, mine = self._turns, self._turns.of(self._step_name)
        stage = turns.look()
        if stage != mine:
            why = f"{turns.name(mine)} is over" if stage > mine else f"the run has gone back to {turns.name(stage)}"
            logger.info("%s: step '%s' leaves", why, self._step_name)
            shipper.ship(self._log_lines)
            self.is_out_of_turn = True
            self.stop()

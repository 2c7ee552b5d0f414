"""One worker: joins a run, loads its step, runs batches until the run ends or it is told to stop."""

from __future__ import annotations

import logging
import os
import secrets
import socket
import sys
import threading
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from common.artifacts import ArtifactStore
from common.broker.connection import BrokerFull, Connection, Disconnected, ForeignData
from common.broker.runs import RunRecord, RunRegistry
from common.broker.work import WorkQueue
from common.build import StepNotHere, build_step
from common.cuda import DevicesWanted, devices_wanted
from common.descriptor import step_digest
from common.errors import (
    EXIT_CANNOT_SERVE,
    EXIT_COMPLETE,
    EXIT_FAILED,
    EXIT_NO_COORDINATOR,
    BrokerError,
    CannotServe,
    PenstockError,
    StoreError,
    UsageError,
    WireError,
)
from common.faults import SpecFault
from common.payloads import FileStore
from common.registry import check_shadowing
from common.requirements import check_requirements
from common.runtime_parameters import check_runtime_parameters
from common.secrets import give_secrets
from common.settings import Settings
from common.spec import PipelineSpec
from common.steps.base import AsyncStep, BaseStep, GeneratorStep, GlobalStep, Step
from worker.absence import Absence
from worker.async_runner import AsyncRunner
from worker.devices import host_devices
from worker.generator_runner import GeneratorRunner
from worker.global_runner import GlobalRunner
from worker.introduction import Introduction
from worker.lease import Keeper
from worker.log import LogShipper, collect_output
from worker.payload_reader import PayloadReader
from worker.placement import Placement, check_untouched
from worker.row_routing import RowRouting, row_routing
from worker.runner import Bench, Runner
from worker.sync_runner import SyncRunner
from worker.turns import LOOK_SECONDS, Turns
from worker.work import Packer

ENDED = ("complete", "failed", "halted", "stopped", "")
"""States of a run in which there is nothing for a worker to do; empty: the run is gone."""
WATCH_SECONDS = 0.5
LOADED_SECONDS = 0.5
"""Within which a `load` that has returned is known to have, when the worker is told to stop."""

logger = logging.getLogger("penstock.worker")


@dataclass(frozen=True, slots=True)
class Place:
    """What this host brings to a step.

    Args:
        allow: modules that steps may come from.
        base_dir: where relative paths of a spec start; None for the folder that the run names.
        echo: show log records on the terminal as well.
        beside: steps of the run that are served here at the same time, and that share this host's devices.
    """

    allow: Sequence[str] = ()
    base_dir: Path | None = None
    echo: bool = True
    beside: Sequence[str] = ()


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
        self._queue = WorkQueue(connection, record.run_id, step, self.worker_id, settings.worker_lease)
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
            with suppress(BrokerError):
                self._queue.leave()
            with self._load_ends:
                # One that has just been loaded is unloaded as well.
                if not self._load_ends.wait_for(lambda: not self._loading, LOADED_SECONDS):
                    self._leave_at_once(self._exit_code)
        if self._runner is not None:
            self._runner.stop()

    def run(self) -> int:
        """Returns the exit code."""
        shipper = collect_output(self._step_name, self.worker_id, echo=self._place.echo)
        keeper = Keeper(self._connection.url, self._record.run_id, self.worker_id, self._settings.worker_lease)
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
            logger.error("worker %s leaves: %s", self.worker_id, error)
            facts["refused"] = str(error)
            fault = error.__cause__
            if isinstance(fault, SpecFault) and not isinstance(fault, StepNotHere):
                facts["fault"] = [fault.message, fault.loc]
            # It would find the same again: nobody is to start another one.
            return EXIT_CANNOT_SERVE if isinstance(error, WireError | ForeignData) else error.exit_code
        finally:
            self._stopping.set()
            if watch.is_alive():
                watch.join(timeout=5)
            shipper.ship(self._queue)
            self._leave(facts)
            keeper.stop()

    def _serve(self, facts: dict[str, object], keeper: Keeper, shipper: LogShipper) -> int:
        if not self._is_local:  # a user who may not look is told now
            self._connection.insist(self._absence.look, self._settings.patience)
        step = self._build()
        facts["digest"] = step_digest(step)
        logging.getLogger(type(step).__module__.partition(".")[0]).setLevel(logging.INFO)
        introduction = Introduction(self._connection, self._record, self._queue, self._settings)
        record = introduction.make(step, self._stopping)
        if record is None:
            return self._exit_code
        self._record, self._turns = record, Turns(self._connection, record)
        runner = self._make_runner(step, lambda: shipper.ship(self._queue))
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
        except (Exception, SystemExit):
            facts["load_error"] = traceback.format_exc()
            logger.exception("step '%s' cannot be loaded", self._step_name)
            return EXIT_FAILED
        finally:
            with self._load_ends:
                self._loading = False
                self._load_ends.notify_all()
        self._join({**facts, "loaded": True})
        self._connection.insist(self._queue.note_loaded, self._settings.patience)
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
        """Of an orderly end: a worker that has lost its devices leaves room for another one, which waits for some."""
        if self._abandoned:
            return EXIT_NO_COORDINATOR
        return EXIT_FAILED if self._lost_devices else EXIT_COMPLETE

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
        known: Mapping[str, DevicesWanted] = self._record.options.get("devices", {})
        placement = Placement(
            self._connection,
            self._settings,
            host_devices(self._settings.devices, os.environ),
            (self._record.run_id, self._step_name, self.worker_id),
            {name: known.get(name, 0) for name in self._beside()} | {self._step_name: wanted},
        )

        def say(waits: str) -> None:
            logger.info("worker %s of step '%s' %s", self.worker_id, self._step_name, waits)
            with suppress(BrokerError):
                self._queue.tell({**facts, "waits": waits})

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
        self._connection.insist(lambda: self._queue.join(facts), self._settings.patience, logger.warning)

    def _build(self) -> BaseStep:
        spec = PipelineSpec.from_dict(self._record.spec)
        base_dir = self._place.base_dir or Path(str(self._record.options.get("base_dir", ".")))
        if self._place.base_dir is not None and str(base_dir) not in sys.path:
            check_shadowing(base_dir)
            sys.path.append(str(base_dir))
        try:
            check_requirements([("the pipeline", spec.requirements)])
            step = build_step(
                self._step_name,
                spec.steps[self._step_name],
                allow=self._place.allow,
                base_dir=base_dir,
                enable_metadata=spec.enable_metadata,
            )
            check_requirements([(f"step '{self._step_name}'", step.requirements)])
            check_runtime_parameters({self._step_name: step})
        except UsageError as error:
            raise CannotServe(f"{error} (on host {socket.gethostname()})") from error
        step._artifacts = self._artifacts()
        give_secrets(step, os.environ)
        data = self._record.options.get("fingerprints", {}).get(self._step_name)
        if data and isinstance(step, GeneratorStep):
            step.pin(data)
        expected = self._record.options.get("digests", {}).get(self._step_name)
        found = step_digest(step)
        if expected and found != expected:
            raise CannotServe(
                f"step '{self._step_name}': this host has another source of {type(step).__qualname__} than the "
                f"coordinator (digest {found}, not {expected}); install the same version on both"
            )
        return step

    def _make_runner(self, step: BaseStep, last_words: Callable[[], None]) -> Runner:
        options = self._record.options
        store = self._open_store()
        waits_long = self._step_name in options.get("spill", ())
        packer = Packer(
            step,
            self.worker_id,
            self._settings,
            store if waits_long or options.get("payloads_of_size") else None,
            self._routing(),
            above=0 if waits_long else self._settings.payload_threshold,
        )
        bench = Bench(
            self._queue,
            PayloadReader(self._queue, store),
            packer,
            self._settings,
            options.get("limit"),
            bool(options.get("dry_run")),
            self._step_name in options.get("unchecked", ()),
            last_words,
        )
        match step:
            case GeneratorStep():
                return GeneratorRunner(step, bench)
            case GlobalStep():
                return GlobalRunner(step, bench)
            case AsyncStep():
                return AsyncRunner(step, bench)
            case Step():
                return SyncRunner(step, bench)
            case _:
                raise CannotServe(f"step '{self._step_name}': {type(step).__qualname__} is of no kind that runs")

    def _open_store(self) -> FileStore | None:
        """Payloads outside the broker.

        Raises:
            CannotServe: this host does not reach them.
        """
        options = self._record.options
        if not options.get("payloads"):
            return None
        url, *earlier = options["payloads"]
        store = FileStore(url, tuple(earlier), self._settings.patience, self._stopping)
        try:
            store.join(self._record.run_id)
        except StoreError as error:
            raise CannotServe(f"step '{self._step_name}': {error} (on host {socket.gethostname()})") from error
        return store

    def _artifacts(self) -> ArtifactStore | None:
        """A worker that the coordinator started uses its run directory, any other one what all hosts reach."""
        known = self._record.options.get("artifacts", {})
        url = known.get("local" if self._is_local else "shared")
        return ArtifactStore(url) if url else None

    def _routing(self) -> RowRouting | None:
        spec = PipelineSpec.from_dict(self._record.spec)
        return row_routing(self._step_name, spec, self._record.options, self._place.allow)

    def _unload(self, runner: Runner) -> None:
        try:
            runner.unload()
        except Exception:
            logger.exception("step '%s' raised while it was unloaded", self._step_name)

    def _leave(self, facts: dict[str, object]) -> None:
        """What went wrong stays readable for the coordinator, which decides what it means."""
        try:
            self._queue.leave()
        except BrokerError as error:
            logger.warning("this worker's lease will run out by itself: %s", error)
        if "load_error" in facts or "refused" in facts:
            with suppress(BrokerError):
                self._queue.tell(facts)

    def _watch(self, shipper: LogShipper, keeper: Keeper) -> None:
        registry = RunRegistry(self._connection)
        while not self._stopping.wait(LOOK_SECONDS if self._turns.several else WATCH_SECONDS):
            try:
                shipper.ship(self._queue)
                if not self._is_local:
                    self._absence.look()
                status, want = registry.status(self._record.run_id)
                if status:
                    self._queue.stay_known()
                self._check_devices()
                if status in ENDED or want == "stop":
                    self.stop()
                elif self._absence.is_too_long():
                    self._abandoned = True
                    self.stop()
                elif self._has_turn:
                    self._check_turn(shipper)
            except (Disconnected, BrokerFull):
                self._absence.forget()
            except PenstockError as error:  # what the broker holds of the run is not what Penstock writes
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
            shipper.ship(self._queue)
            self.is_out_of_turn = True
            self.stop()

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

from common.broker.connection import Connection, Disconnected
from common.broker.runs import RunRecord, RunRegistry
from common.broker.work import WorkQueue
from common.build import build_step
from common.errors import EXIT_COMPLETE, EXIT_FAILED, BrokerError, CannotServe, PenstockError, SpecError
from common.payloads import FileStore
from common.registry import check_shadowing, source_digest
from common.settings import Settings
from common.spec import PipelineSpec
from common.steps.base import AsyncStep, BaseStep, GeneratorStep, GlobalStep, Step
from worker.async_runner import AsyncRunner
from worker.generator_runner import GeneratorRunner
from worker.global_runner import GlobalRunner
from worker.lease import Keeper
from worker.log import LogShipper, collect_output
from worker.payload_reader import PayloadReader
from worker.runner import Bench, Runner
from worker.sync_runner import SyncRunner
from worker.work import Packer

ENDED = ("complete", "failed", "halted", "stopped", "")
"""States of a run in which there is nothing for a worker to do; empty: the run is gone."""
WATCH_SECONDS = 0.5

logger = logging.getLogger("penstock.worker")


@dataclass(frozen=True, slots=True)
class Place:
    """What this host brings to a step.

    Args:
        allow: modules that steps may come from.
        base_dir: where relative paths of a spec start; None for the folder that the run names.
        echo: show log records on the terminal as well.
    """

    allow: Sequence[str] = ()
    base_dir: Path | None = None
    echo: bool = True


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
        self.worker_id = secrets.token_hex(4)
        self._connection = connection
        self._record = record
        self._step_name = step
        self._settings = settings
        self._place = place
        self._queue = WorkQueue(connection, record.run_id, step, self.worker_id, settings.worker_lease)
        self._runner: Runner | None = None
        self._stopping = threading.Event()

    def stop(self) -> None:
        """Finish the batch in hand, hand the rest back, leave. While the step is loaded there is nothing in hand."""
        self._stopping.set()
        if self._loading:
            with suppress(BrokerError):
                self._queue.leave()
            self._leave_at_once(EXIT_COMPLETE)
        elif self._runner is not None:
            self._runner.stop()

    def run(self) -> int:
        """Returns the exit code."""
        shipper = collect_output(self._step_name, self.worker_id, echo=self._place.echo)
        keeper = Keeper(self._connection.url, self._record.run_id, self.worker_id, self._settings.worker_lease)
        facts: dict[str, object] = {
            "step": self._step_name,
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "local": not self._place.echo,
        }
        self._join(facts)
        keeper.ensure()
        watch = threading.Thread(target=self._watch, args=(shipper, keeper), name="watch", daemon=True)
        watch.start()
        try:
            return self._serve(facts)
        except PenstockError as error:
            logger.error("worker %s leaves: %s", self.worker_id, error)
            facts["refused"] = str(error)
            return error.exit_code
        finally:
            self._stopping.set()
            watch.join(timeout=5)
            shipper.ship(self._queue)
            self._leave(facts)
            keeper.stop()

    def _serve(self, facts: dict[str, object]) -> int:
        step = self._build()
        facts["digest"] = source_digest(type(step))
        logging.getLogger(type(step).__module__.partition(".")[0]).setLevel(logging.INFO)
        runner = self._make_runner(step)
        self._loading = True
        try:
            if self._stopping.is_set():
                return EXIT_COMPLETE
            runner.load()
        except (Exception, SystemExit):
            facts["load_error"] = traceback.format_exc()
            logger.exception("step '%s' cannot be loaded", self._step_name)
            return EXIT_FAILED
        finally:
            self._loading = False
        self._join({**facts, "loaded": True})
        self._connection.insist(self._queue.note_loaded, self._settings.patience)
        logger.info("step '%s' loaded by worker %s on %s", self._step_name, self.worker_id, facts["host"])
        try:
            self._runner = runner
            if not self._stopping.is_set():
                runner.run()
            return EXIT_COMPLETE
        finally:
            self._unload(runner)

    def _join(self, facts: Mapping[str, object]) -> None:
        self._connection.insist(lambda: self._queue.join(facts), self._settings.patience, logger.warning)

    def _build(self) -> BaseStep:
        spec = PipelineSpec.from_dict(self._record.spec)
        base_dir = self._place.base_dir or Path(str(self._record.options.get("base_dir", ".")))
        if self._place.base_dir is not None and str(base_dir) not in sys.path:
            check_shadowing(base_dir)
            sys.path.append(str(base_dir))
        try:
            step = build_step(self._step_name, spec.steps[self._step_name], allow=self._place.allow, base_dir=base_dir)
        except SpecError as error:
            raise CannotServe(f"{error} (on host {socket.gethostname()})") from error
        expected = self._record.options.get("digests", {}).get(self._step_name)
        found = source_digest(type(step))
        if expected and found != expected:
            raise CannotServe(
                f"step '{self._step_name}': this host has another source of {type(step).__qualname__} than the "
                f"coordinator (digest {found}, not {expected}); install the same version on both"
            )
        return step

    def _make_runner(self, step: BaseStep) -> Runner:
        options = self._record.options
        store = FileStore(options["payloads"]) if options.get("payloads") else None
        spill = store if self._step_name in options.get("spill", ()) else None
        bench = Bench(
            self._queue,
            PayloadReader(self._queue, store),
            Packer(step, self.worker_id, self._settings, spill),
            self._settings,
            options.get("limit"),
            bool(options.get("dry_run")),
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

    def _unload(self, runner: Runner) -> None:
        try:
            runner.unload()
        except Exception:
            logger.exception("step '%s' raised while it was unloaded", self._step_name)

    def _leave(self, facts: dict[str, object]) -> None:
        """What went wrong stays readable for the coordinator, which decides what it means."""
        try:
            self._queue.leave()
            if "load_error" in facts or "refused" in facts:
                self._queue.tell(facts)
        except Disconnected:
            logger.warning("the broker is gone; this worker's lease will run out by itself")

    def _watch(self, shipper: LogShipper, keeper: Keeper) -> None:
        registry = RunRegistry(self._connection)
        while not self._stopping.wait(WATCH_SECONDS):
            try:
                shipper.ship(self._queue)
                status, want = registry.status(self._record.run_id)
            except BrokerError:
                continue
            finally:
                keeper.ensure()
            if status in ENDED or want == "stop":
                self.stop()

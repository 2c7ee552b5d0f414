"""From the spec of a step to the step and its runner, on this host."""

from __future__ import annotations

import logging
import os
import socket
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from common.broker.consumer import Consumer
from common.broker.payloads import BrokerPayloads
from common.broker.runs import RunRecord
from common.building.build import build_step
from common.building.components import models_in
from common.building.data_files import check_data_files
from common.building.descriptor import model_identities, step_digest
from common.building.given_secrets import give_secrets
from common.cache import cache_directory
from common.code.source import Sources
from common.errors import CannotServe, FileChanged, StoreError, UsageError
from common.llms.answers.kept import Answers
from common.naming.registry import check_shadowing
from common.parameters.runtime_parameters import check_runtime_parameters
from common.payloads.artifacts import ArtifactStore
from common.payloads.source import PayloadSource
from common.payloads.stores import FileStore
from common.settings import Settings
from common.spec.requirements import check_requirements
from common.spec.spec import PipelineSpec
from common.steps.base import AsyncStep, BaseStep, GeneratorStep, GlobalStep, Step
from common.steps.loading.file_states import DataFiles
from worker.batches.batch_work import Packer
from worker.batches.payload_reader import PayloadReader
from worker.batches.row_routing import RowRouting, row_routing
from worker.runners.async_runner import AsyncRunner
from worker.runners.generator_runner import GeneratorRunner
from worker.runners.global_runner import GlobalRunner
from worker.runners.runner import Bench, Runner
from worker.runners.sync_runner import SyncRunner

logger = logging.getLogger("penstock.worker")


@dataclass(frozen=True, slots=True)
class Place:
    """What this host provides for a step.

    Args:
        allow: modules that steps may come from.
        base_dir: the folder that relative paths of a spec start from; None for the run's own.
        echo: show log records on the terminal as well.
        beside: steps of the run served here at the same time, which share this host's devices.
    """

    allow: Sequence[str] = ()
    base_dir: Path | None = None
    echo: bool = True
    beside: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Assembly:
    """Builds one step of a run, and its runner.

    Args:
        step: its name.
        sources: the code of the step when it is built.
    """

    record: RunRecord
    step: str
    settings: Settings
    place: Place
    sources: Sources = field(default_factory=Sources)

    def build(self) -> BaseStep:
        """The step, of this host's source.

        Raises:
            CannotServe: the source differs, or a requirement of the step is missing.
        """
        spec, options = PipelineSpec.from_dict(self.record.spec), self.record.options
        base_dir = self.place.base_dir or Path(options.base_dir)
        if self.place.base_dir is not None and str(base_dir) not in sys.path:
            check_shadowing(base_dir)
            sys.path.append(str(base_dir))
        try:
            check_requirements([("the pipeline", spec.requirements)])
            step = build_step(
                self.step,
                spec.steps[self.step],
                allow=self.place.allow,
                base_dir=base_dir,
                enable_metadata=spec.enable_metadata,
            )
            check_requirements([(f"step '{self.step}'", step.requirements)])
            check_runtime_parameters({self.step: step})
            check_data_files(step, {name: DataFiles.decode(text) for name, text in options.files.items()})
        except (UsageError, FileChanged) as error:
            raise CannotServe(f"{error} (on host {socket.gethostname()})") from error
        step._artifacts = self._artifacts()
        give_secrets(step, os.environ)
        data = options.fingerprints.get(self.step)
        if data and isinstance(step, GeneratorStep):
            step.pin(data)
        expected = options.digests.get(self.step)
        found = step_digest(step, self.sources)
        if expected and found != expected:
            raise CannotServe(
                f"step '{self.step}': the source of {type(step).__qualname__} on this host differs from the "
                f"coordinator's when the run began (digest {found}, not {expected}); install the same version on "
                "both, or undo the change"
            )
        models = options.models.get(self.step)
        if models and (asked := tuple(model_identities(step))) != models:
            raise CannotServe(
                f"step '{self.step}': this host would call another model than the coordinator "
                f"({', '.join(asked)}, not {', '.join(models)}); use the same environment on both"
            )
        return step

    def runner(
        self, step: BaseStep, consumer: Consumer, stopping: threading.Event, last_words: Callable[[], None]
    ) -> Runner:
        """The runner of the step.

        Args:
            stopping: set when the worker is to leave.
            last_words: called before the process ends abruptly.

        Raises:
            CannotServe: the step is of no known kind, or this host cannot reach the payloads.
        """
        options = self.record.options
        store = self._open_store(stopping)
        waits_long = self.step in options.spill
        packer = Packer(
            step,
            consumer.worker_id,
            self.settings,
            store if waits_long or options.payloads_of_size else None,
            self._routing(),
            above=0 if waits_long else self.settings.payload_threshold,
            counts=options.counts_usage,
        )
        bench = Bench(
            consumer,
            PayloadReader(PayloadSource(BrokerPayloads(consumer.connection, consumer.run_id), store)),
            packer,
            self.settings,
            options.limit,
            options.dry_run,
            self.step in options.unchecked,
            self._answers(step, consumer),
            last_words,
            options.counts_usage,
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
                raise CannotServe(f"step '{self.step}': {type(step).__qualname__} is of no known kind")

    def _open_store(self, stopping: threading.Event) -> FileStore | None:
        """Payloads outside the broker.

        Raises:
            CannotServe: this host cannot reach them.
        """
        if not self.record.options.payloads:
            return None
        url, *earlier = self.record.options.payloads
        store = FileStore(url, tuple(earlier), self.settings.patience, stopping)
        try:
            store.join(self.record.run_id)
        except StoreError as error:
            raise CannotServe(f"step '{self.step}': {error} (on host {socket.gethostname()})") from error
        return store

    def _artifacts(self) -> ArtifactStore | None:
        """A worker started by the coordinator uses its run directory, any other the storage that all hosts reach."""
        folders = self.record.options.artifacts
        url = folders.shared if self.place.echo else folders.local
        return ArtifactStore(url) if url else None

    def _answers(self, step: BaseStep, consumer: Consumer) -> Answers | None:
        """A worker started by the coordinator uses its cache folder, any other that of its own host."""
        kept, run, settings = self.record.options.answers, self.record, self.settings
        if not step.use_cache or not (isinstance(step, AsyncStep) or models_in(step)):
            return None
        if kept.kind == "broker":
            from common.llms.answers.broker_store import BrokerAnswerStore

            budget, expiry = settings.answers_broker_budget, settings.answers_expiry
            return BrokerAnswerStore(consumer.connection.url, run.run_id, run.begun, budget, expiry)
        if kept.kind != "sqlite":
            return None
        from common.llms.answers.answers_file import answers_file
        from common.llms.answers.store import AnswerStore

        try:
            folder = cache_directory(Path(kept.folder) if kept.folder and not self.place.echo else None)
        except UsageError as error:
            logger.warning("answers of models are not kept: %s", error)
            return None
        return AnswerStore(answers_file(folder), run.run_id, run.begun, settings.answers_budget)

    def _routing(self) -> RowRouting | None:
        spec = PipelineSpec.from_dict(self.record.spec)
        return row_routing(self.step, spec, self.record.options.routing.get(self.step), self.place.allow, self.sources)

"""A run started by a Python program: from a Pipeline to its Distiset, or to an exception."""

from __future__ import annotations

import json
import logging
import os
import sys
import tempfile
from collections.abc import Collection, Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common.broker.connection import Connection
from common.building.given_secrets import SECRETS_VARIABLE, collect_secrets
from common.cache import cache_directory
from common.code.import_names import imported_for_a_step, script_module
from common.errors import RunFailed, RunStopped, UsageError
from common.settings import Settings
from common.spec.overrides import apply_parameters
from common.spec.shown_command import shown_command
from common.spec.spec import LoadedSpec, parse_spec
from common.spec.yaml_source import YamlSource
from common.steps.graph import current_graph
from common.words.printable import printable
from common.words.secret_marks import is_secret_setting
from coordinator.identity.request import ANSWERS, ProgramRequest, RunRequest
from coordinator.launch.execution import Execution
from coordinator.launch.pipeline_graph import PipelineGraph
from coordinator.launch.run import check_answers, check_output, check_standby
from coordinator.plan.load import Prepared, prepare_loaded
from coordinator.plan.pipeline_file import spec_text
from coordinator.view.view import Outcome, Reporter, RunView

if TYPE_CHECKING:
    from coordinator.dataset.distiset import Distiset

DATASET_STEP = "load_dataset"
"""Name of the generator step that `run(dataset=...)` puts in front."""
SECRET_LENGTH = 8
"""Minimum length of an exported secret to look for in a command line; a shorter one may be an ordinary word of it."""

logger = logging.getLogger("penstock")


def run_pipeline(pipeline: PipelineGraph, request: ProgramRequest, dry_run_batch_size: int | None = None) -> Distiset:
    """Runs it; see `Pipeline.run`.

    Args:
        dry_run_batch_size: rows that each generator makes in a dry run; None for a run.
    """
    from coordinator.dataset.distiset import Distiset

    _refuse_while_imported()
    dry = dry_run_batch_size is not None
    prepared = prepare_pipeline(pipeline, request, dry_run_batch_size, to_run=True)
    broker = request.broker or os.environ.get("PENSTOCK_BROKER_URL") or None
    secrets = collect_secrets(pipeline.steps.values())
    if request.answers not in ANSWERS:
        raise UsageError(f"answers='{request.answers}' is not a place to keep answers: choose {' or '.join(ANSWERS)}")
    check_answers(request.answers, broker)
    if request.workers == "external":
        _check_external(prepared, broker, secrets)
    if broker is not None:
        Connection(broker).close()  # connects to nothing: only checks the URL
    with ExitStack() as stack:
        cache = cache_directory(pipeline.cache_dir)
        if dry:
            cache = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="penstock-dry-")))
        run = RunRequest.of(
            request,
            broker=broker,
            dry_run=dry,
            cache_dir=pipeline.cache_dir,
            command=_command(secrets.values()),
            environment=_environment(secrets),
        )
        check_output(run, prepared.spec.name)
        check_standby(run)
        reporter = stack.enter_context(_reporter(run.command)) if request.progress else LoggingReporter()
        outcome = Execution.prepare(run, reporter, Settings.from_environment(), prepared, cache).run()
        reporter.finish(replace(outcome, dataset=None) if dry else outcome)
        _raise_if_incomplete(outcome)
        assert outcome.dataset is not None
        home = None if dry else outcome.run_directory
        own = outcome.own_dataset or outcome.dataset
        distiset = Distiset.from_folder(own, run_directory=home, keep_in_memory=dry)
        distiset.failed, distiset.skipped = dict(outcome.failed), dict(outcome.skipped)
        distiset.bill = outcome.bill
        return distiset


def prepare_pipeline(
    pipeline: PipelineGraph, request: ProgramRequest, dry_run_batch_size: int | None = None, *, to_run: bool = False
) -> Prepared:
    """Builds and validates a pipeline as a worker builds its steps: from the spec.

    Raises:
        SpecError: it cannot run; says why.
    """
    token = current_graph.set(None)  # what is built here must not join a pipeline that is being written
    try:
        loaded = _loaded(pipeline, request, dry_run_batch_size)
        return prepare_loaded(loaded, _modules(loaded.spec.dump()), to_run=to_run)
    finally:
        current_graph.reset(token)


def _loaded(pipeline: PipelineGraph, request: ProgramRequest, dry_run_batch_size: int | None) -> LoadedSpec:
    data = pipeline.spec(request.load_groups).dump()
    if request.dataset is not None:
        _put_in_front(data, pipeline, request)
    apply_parameters(data, request.parameters or {})
    if dry_run_batch_size is not None:
        for name, step in pipeline.steps.items():
            if step.kind == "generator":
                data["steps"][name]["batch_size"] = dry_run_batch_size
    text = spec_text(data, "yaml")
    return parse_spec("", YamlSource("", data, None), _folder(), text=text)


def _put_in_front(data: dict[str, Any], pipeline: PipelineGraph, request: ProgramRequest) -> None:
    """Makes the rows of `dataset` the input of every step without a predecessor."""
    from common.building.dump import dump_step
    from common.steps import make_generator_step

    steps = data["steps"]
    waiting = [
        name for name, step in pipeline.steps.items() if step.kind != "generator" and not steps[name].get("after")
    ]
    if not waiting:
        raise UsageError("run(dataset=...) is for steps without a predecessor, and every step of this pipeline has one")
    generator = make_generator_step(request.dataset, batch_size=request.dataset_batch_size)
    name = pipeline.unused_name(DATASET_STEP)
    for step in waiting:
        steps[step]["after"] = [name]
    data["steps"] = {name: dump_step(generator, base_dir=Path.cwd()), **steps}


def _modules(value: Any) -> tuple[str, ...]:
    """The modules of every class and function that a spec names: the program has imported them already."""
    found: set[str] = set()
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, Mapping):
            found |= {
                name.partition(":")[0]
                for key in ("type", "function")
                if isinstance(name := item.get(key), str) and ":" in name
            }
            waiting.extend(item.values())
        elif isinstance(item, list):
            waiting.extend(item)
    return tuple(sorted(found))


def _folder() -> Path:
    """Where workers look for modules: the folder of the script, else the current folder."""
    main = sys.modules["__main__"]
    script = getattr(main, "__file__", None)
    if script and script_module() and getattr(main, "__spec__", None) is None:
        return Path(script).resolve().parent
    return Path.cwd()


def _refuse_while_imported() -> None:
    if module := imported_for_a_step():
        raise UsageError(
            f"'{module}' is being imported for the steps that it defines, and calls run() again: put the call under "
            "if __name__ == '__main__':"
        )


def _check_external(prepared: Prepared, broker: str | None, secrets: Mapping[str, str]) -> None:
    if broker is None:
        raise UsageError("external workers need a broker that they can reach: run(broker=URL, workers='external')")
    if (script := script_module()) and script in prepared.allow:
        raise UsageError(
            f"a class or function of this pipeline is defined in the script '{script}.py', where external workers "
            "cannot import it: move it to a module that is installed on their hosts"
        )
    if secrets:
        raise UsageError(
            f"'{next(iter(secrets))}' is a secret, and secrets never go through the broker: leave it out here and "
            "export it where the workers run (api_key_env names the variable)"
        )


def _environment(secrets: Mapping[str, str]) -> dict[str, str]:
    """Local workers import from the same places as this program."""
    path = [str(Path(entry or ".").resolve()) for entry in sys.path]
    environment = {"PYTHONPATH": os.pathsep.join(dict.fromkeys(path))}
    return {**environment, SECRETS_VARIABLE: json.dumps(dict(secrets))} if secrets else environment


def _command(secrets: Collection[str]) -> str:
    """What a user types to resume: it is printed, and kept beside the rows of an incomplete run."""
    if not script_module() or not sys.argv[0]:
        return "the same call of run()"
    exported = [
        value for name, value in os.environ.items() if is_secret_setting(name, value) and len(value) >= SECRET_LENGTH
    ]
    return shown_command(["python", *sys.argv], [*secrets, *exported])


def _reporter(command: str) -> Any:
    from coordinator.view.console import make_console
    from coordinator.view.progress import make_reporter

    return make_reporter(make_console(), command)


def _raise_if_incomplete(outcome: Outcome) -> None:
    if outcome.status == "complete":
        if outcome.dataset is None:
            raise RunFailed(f"run '{outcome.run_id}' is complete, but not on this host: {outcome.reason}", outcome)
        return
    rows = sum(outcome.rows.values())
    kept = f"; {rows} rows are done, in {outcome.partial}" if outcome.partial else ""
    reason = printable(outcome.reason)
    message = f"run '{outcome.run_id}' is {outcome.status}: {reason}{kept}; repeat the call to resume"
    raise (RunStopped if outcome.status == "stopped" else RunFailed)(message, outcome)


class LoggingReporter(Reporter):
    """For `progress=False`: noteworthy messages go to the logger "penstock"."""

    def update(self, view: RunView) -> None:
        """Does nothing: it is called several times per second."""

    def say(self, line: str) -> None:
        """Logs a warning, or what the run waits for."""
        logger.warning("%s", printable(line))

    def finish(self, outcome: Outcome) -> None:
        """Logs how the run ended."""
        logger.info("run '%s' is %s: %s", outcome.run_id, outcome.status, dict(outcome.rows))

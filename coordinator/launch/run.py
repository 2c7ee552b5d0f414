"""`pipeline-coordinator run`: from a request to an outcome."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from common.broker.connection import Connection
from common.cache import cache_directory
from common.errors import EXIT_NOT_PUSHED, PenstockError, UsageError
from common.settings import Settings
from coordinator.dataset.dataset_folder import DatasetFolder
from coordinator.dataset.dataset_place import DatasetPlace
from coordinator.dataset.folder_names import check_name
from coordinator.dataset.push import LOG, PushRequest, check_push, push
from coordinator.identity.known_run import check_run_id
from coordinator.identity.request import RunRequest
from coordinator.launch.execution import Execution
from coordinator.plan.load import prepare
from coordinator.view.view import Outcome, Reporter

__all__ = ["RunRequest", "execute"]


def execute(request: RunRequest, reporter: Reporter) -> Outcome:
    """Runs the pipeline, resumes it, or returns its earlier result.

    Raises:
        UsageError: the request is wrong; nothing was started.
        Fenced: another coordinator has the run.
        RunError: the run could not be started; if it ends later, that is an outcome.
    """
    settings = Settings.from_environment()
    assert request.spec is not None, "a command names a file"
    prepared = prepare(request.spec, request.overrides, request.allow, external=request.workers == "external")
    check_output(request, prepared.spec.name)
    if request.broker is not None:
        Connection(request.broker).close()  # connects to nothing: only checks the URL
    if request.workers == "external" and request.broker is None:
        raise UsageError("external workers need a broker that they can reach: pass --broker URL")
    check_answers(request.answers, request.broker)
    if request.run_id is not None:
        check_run_id(request.run_id)
    check_standby(request)
    _check_push(request)
    with ExitStack() as stack:
        cache = request.cache_dir
        if request.dry_run:
            cache = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="penstock-dry-")))
        outcome = Execution.prepare(request, reporter, settings, prepared, cache_directory(cache)).run()
    if request.dry_run:
        return replace(outcome, dataset=None, run_directory=None)  # nothing of it remains
    if request.push_to_hub is not None and outcome.status == "complete":
        return _pushed(outcome, request.push_to_hub, request.private, reporter)
    return outcome


def check_output(request: RunRequest, pipeline: str) -> None:
    """Raises UsageError if the dataset must not be put where the request wants it."""
    if (output := request.output_folder) is not None:
        check_name(output)
        DatasetPlace(output, pipeline, request.overwrite).check()
    elif request.overwrite:
        raise UsageError("--overwrite works only with --output DIR: add it, or leave --overwrite out")


def check_answers(answers: str, broker: str | None) -> None:
    """Raises UsageError if there is no lasting broker to keep answers in."""
    if answers == "broker" and broker is None:
        raise UsageError(
            "--answers broker keeps answers for later runs, and an embedded broker ends with its run: "
            "pass --broker URL, or leave --answers out to keep them in a file on this host"
        )


def check_standby(request: RunRequest) -> None:
    """Raises UsageError if there is nothing that a standby could take over."""
    if not request.standby:
        return
    if request.broker is None:
        raise UsageError(
            "--standby takes over a run whose coordinator has died, and an embedded broker ends with its coordinator: "
            "pass --broker URL"
        )
    for given, option in ((request.fresh, "--fresh"), (request.dry_run, "--dry-run")):
        if given:
            raise UsageError(
                f"--standby takes over a run from another process, and {option} starts one: leave one of them out"
            )


def _check_push(request: RunRequest) -> None:
    if request.private and request.push_to_hub is None:
        raise UsageError("--private works only with --push-to-hub REPO: add it, or leave --private out")
    if request.push_to_hub is None:
        return
    if request.dry_run:
        raise UsageError("a dry run keeps nothing, so there is nothing for --push-to-hub: leave one of them out")
    check_push(request.push_to_hub)


def _pushed(outcome: Outcome, repo_id: str, private: bool, reporter: Reporter) -> Outcome:
    """The run is complete and its dataset exists, whatever becomes of the push."""
    from huggingface_hub.utils import disable_progress_bars  # type: ignore[attr-defined]

    assert outcome.dataset is not None
    disable_progress_bars()  # they would be drawn over the progress of the run
    reporter.say(f"pushing the dataset to {repo_id}")
    log = outcome.run_directory / LOG if outcome.run_directory is not None else None
    extras: dict[str, Path | bytes] = {LOG: log} if log is not None and log.is_file() else {}
    try:
        folder = DatasetFolder.read(outcome.own_dataset or outcome.dataset)
        url = push(PushRequest(repo_id, private=private, extras=extras), folder.facts, folder.configs, folder.path)
    except (PenstockError, OSError) as error:
        return replace(outcome, push_error=str(error), exit_code=EXIT_NOT_PUSHED)
    except KeyboardInterrupt:
        return replace(outcome, push_error="it was interrupted", exit_code=EXIT_NOT_PUSHED)
    return replace(outcome, pushed=url)

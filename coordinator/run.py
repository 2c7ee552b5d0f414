"""`pipeline-coordinator run`: from a request to an outcome."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from pathlib import Path

from common.broker.connection import Connection
from common.errors import UsageError
from common.settings import Settings
from coordinator.dataset import check_output
from coordinator.execution import Execution, RunRequest
from coordinator.load import prepare
from coordinator.run_directory import cache_directory
from coordinator.view import Outcome, Reporter

__all__ = ["RunRequest", "execute"]


def execute(request: RunRequest, reporter: Reporter) -> Outcome:
    """Runs the pipeline, or goes on with it, or returns what it gave before.

    Raises:
        UsageError: something is wrong with the request; nothing was started.
        Fenced: another coordinator has the run.
        RunError: the run could not be begun; one that ends later is an outcome.
    """
    settings = Settings.from_environment()
    prepared = prepare(request.spec, request.overrides, request.allow)
    if request.output is not None:
        check_output(request.output)
    if request.broker is not None:
        Connection(request.broker).close()  # connects to nothing: it is the URL that is looked at
    if request.workers == "external" and request.broker is None:
        raise UsageError("external workers need a broker that they can reach: give --broker URL")
    with ExitStack() as stack:
        cache = request.cache_dir
        if request.dry_run:
            cache = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="penstock-dry-")))
        return Execution(request, reporter, settings, prepared, cache_directory(cache)).run()

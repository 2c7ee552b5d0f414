"""`pipeline-coordinator run`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from coordinator.commands.options import run_options, spec_argument
from coordinator.view.console import make_console


@click.command(short_help="Run a pipeline, or go on with it.")
@spec_argument
@run_options
def run(spec: Path, **options: Any) -> None:
    """Runs the pipeline of SPEC to its dataset.

    Without a broker it starts one of its own, and ends it again. A run that was stopped, halted or killed goes on
    where it was; a complete one is not done again. Ctrl-C stops in good order, a second one at once; nothing that was
    done is lost either way.

    \b
    Exit codes:
      0    complete
      1    failed or halted; the same command goes on
      2    something in the command or the spec is wrong; nothing was started
      3    complete, but some rows failed
      5    complete, but not pushed to the hub; the same command pushes again
      75   another coordinator has the run; --standby waits for it
      130  stopped; the same command goes on
    """
    from coordinator.identity.request import RunRequest
    from coordinator.identity.run_command import resume_command
    from coordinator.launch.run import execute
    from coordinator.view.progress import make_reporter

    request = RunRequest(spec=spec, **options)
    with make_reporter(make_console(), "" if request.dry_run else resume_command(request)) as reporter:
        outcome = execute(request, reporter)
        reporter.finish(outcome)
    sys.exit(outcome.exit_code)

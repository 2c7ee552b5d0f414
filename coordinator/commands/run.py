"""`pipeline-coordinator run`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from coordinator.commands.options import run_options, spec_argument
from coordinator.view.console import make_console


@click.command(short_help="Run a pipeline, or resume it.")
@spec_argument
@run_options
def run(spec: Path, **options: Any) -> None:
    """Runs the pipeline of SPEC to its dataset.

    Without a broker, it starts one and shuts it down at the end. A run that was stopped, halted or killed resumes where
    it left off; a complete run is not repeated. Ctrl-C stops gracefully, a second Ctrl-C at once; no finished work is
    lost either way.

    \b
    Exit codes:
      0    complete
      1    failed or halted; rerun the command to resume
      2    the command or the spec is wrong; nothing was started
      3    complete, but some rows failed
      5    complete, but not pushed to the hub; rerun the command to push it
      75   another coordinator has the run; --standby waits
      130  stopped; rerun the command to resume
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

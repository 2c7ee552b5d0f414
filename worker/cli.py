"""`pipeline-worker`: the command on every host that runs steps."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import click

from penstock.launch import worker as main


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--step", help="The step to work on.")
@click.option("--all-steps", is_flag=True, help="Work on every step: one process per step and replica, supervised.")
@click.option("--broker", envvar="PENSTOCK_BROKER_URL", required=True, help="URL of the broker.", metavar="URL")
@click.option("--run", "run_id", help="The run to join.", metavar="RUN")
@click.option("--pipeline", help="Join the running run of this pipeline.", metavar="NAME")
@click.option(
    "--allow",
    multiple=True,
    metavar="MODULE",
    help="A module that steps may be imported from; repeatable.",
)
@click.option(
    "--base-dir",
    type=click.Path(path_type=Path, exists=True, file_okay=False, resolve_path=True),
    help="The spec's folder on this host: for its relative paths, and for modules beside it.",
)
@click.option("--stay", is_flag=True, help="After a run ends, wait for the next one; for services.")
@click.option(
    "--coordinator-timeout",
    type=click.FloatRange(min=0),
    metavar="SECONDS",
    help="How long to wait for a new coordinator when the run has lost its own.  [default: 600]",
)
@click.option("--local", is_flag=True, hidden=True, help="Started by a coordinator on this host: logs go only to it.")
@click.version_option(package_name="penstock")
def command(
    step: str | None,
    all_steps: bool,
    broker: str,
    run_id: str | None,
    pipeline: str | None,
    allow: tuple[str, ...],
    base_dir: Path | None,
    stay: bool,
    coordinator_timeout: float | None,
    local: bool,
) -> None:
    """Runs one step of a pipeline, batch by batch, until the run ends; with --stay, run after run.

    Start workers before or after the coordinator, any number per step. On SIGTERM, a worker finishes the batch in hand
    and hands the rest back; on a second SIGTERM it leaves at once. Nothing is lost either way.

    \b
    Exit codes:
      0    the run has ended, or the worker was told to leave
      1    the step could not be loaded, the broker stayed away, or the run was removed
      2    something in the command is wrong
      69   the run was without a coordinator for longer than --coordinator-timeout
      74   its endpoint is away, but not for other workers of the step
      78   this worker cannot serve the step
      124  the step took longer than its batch_timeout
      130  left at once, at the second signal
    """
    # Imported here to keep --help fast.
    from common.broker.connection import Connection
    from common.broker.patience import FIRST_SECONDS, Patience
    from common.errors import UsageError
    from common.settings import Settings
    from common.words.printable import PrintableFormatter
    from worker.life.assembly import Place
    from worker.life.finder import Finder
    from worker.life.member import serve_run, serve_runs

    if bool(step) == all_steps:
        raise UsageError("say which step to work on: --step NAME, or --all-steps")
    handler = logging.StreamHandler()
    handler.setFormatter(PrintableFormatter("%(message)s"))
    logging.basicConfig(handlers=[handler], level=logging.WARNING)
    settings = Settings.from_environment()
    if coordinator_timeout is not None:
        settings = settings.model_copy(update={"coordinator_timeout": coordinator_timeout})
    connection = Connection(broker)
    patience = Patience(connection, min(FIRST_SECONDS, settings.patience))
    patience.reach()
    patience.insist(connection.check)
    place = Place(allow, base_dir, echo=not local)
    finder = Finder(connection, step, run_id, pipeline, settings.patience, stay=stay)
    serve = serve_runs if stay else serve_run
    sys.exit(serve(connection, finder, settings, place, step))


if __name__ == "__main__":
    main()

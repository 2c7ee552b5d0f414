"""`pipeline-coordinator run`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Literal

import click

from coordinator.commands.options import allow_option, broker_option, cache_option, set_option, spec_argument


@click.command(short_help="Run a pipeline, or go on with it.")
@spec_argument
@broker_option
@set_option
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Where the dataset goes once it is complete: a new folder, or one that an earlier run of this pipeline made.",
)
@click.option("--overwrite", is_flag=True, help="Let --output take the place of another pipeline's dataset.")
@click.option("--run-id", metavar="RUN", help="The id of the run; by default the pipeline's name and its signature.")
@cache_option
@click.option("--fresh", is_flag=True, help="Forget what an earlier run of the same pipeline has done; start over.")
@click.option(
    "--workers",
    type=click.Choice(["local", "external"]),
    default="local",
    show_default=True,
    help="Start workers here, or wait for those that are started elsewhere with pipeline-worker.",
)
@click.option("--standby", is_flag=True, help="Wait while another process coordinates the run; take over when it dies.")
@click.option("--dry-run", is_flag=True, help="Send one batch through every step and keep nothing.")
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Only the first N rows of each generator.")
@allow_option
@click.option(
    "--payloads",
    metavar="URL",
    help="A folder that all hosts reach (fsspec), such as s3://bucket/rows, for large rows and those that wait long.",
)
@click.option(
    "--push-to-hub",
    metavar="REPO",
    help="Put the complete dataset on the Hugging Face Hub as well, such as me/quotes; HF_TOKEN holds the token.",
)
@click.option("--private", is_flag=True, help="Make REPO a private one; a public one that is there is refused.")
def run(
    spec: Path,
    broker: str | None,
    overrides: tuple[str, ...],
    output: Path | None,
    overwrite: bool,
    cache_dir: Path | None,
    fresh: bool,
    workers: Literal["local", "external"],
    dry_run: bool,
    limit: int | None,
    allow: tuple[str, ...],
    payloads: str | None,
    push_to_hub: str | None,
    private: bool,
    standby: bool,
    run_id: str | None,
) -> None:
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
    from coordinator.commands.options import make_console
    from coordinator.progress import make_reporter
    from coordinator.run import RunRequest, execute

    request = RunRequest(
        spec=spec,
        broker=broker,
        overrides=overrides,
        output=output,
        overwrite=overwrite,
        cache_dir=cache_dir,
        fresh=fresh,
        workers=workers,
        dry_run=dry_run,
        limit=limit,
        allow=allow,
        payloads=payloads,
        push_to_hub=push_to_hub,
        private=private,
        standby=standby,
        run_id=run_id,
    )
    with make_reporter(make_console(), "" if dry_run else _same_command()) as reporter:
        outcome = execute(request, reporter)
        reporter.finish(outcome)
    sys.exit(outcome.exit_code)


def _same_command() -> str:
    """What was typed, as it goes on with the run; a password in it is not repeated."""
    from common.shown_command import shown_command

    return shown_command(["pipeline-coordinator", *(argument for argument in sys.argv[1:] if argument != "--fresh")])

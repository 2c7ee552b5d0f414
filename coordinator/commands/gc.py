"""`pipeline-coordinator gc`: frees the space that old runs take in run directories and in a broker."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from coordinator.commands.options import Age, broker_option, cache_option, say


@click.command(short_help="Remove old runs.")
@click.option(
    "--older-than",
    type=Age(),
    default="7d",
    show_default=True,
    help="Remove runs unchanged for this long: 12h, 7d, 2w.",
)
@click.option("--dry-run", is_flag=True, help="List what would be removed, and remove nothing.")
@click.option("--unfinished", is_flag=True, help="Also remove incomplete runs, which can then no longer be resumed.")
@broker_option
@cache_option
def gc(older_than: float, dry_run: bool, unfinished: bool, broker: str | None, cache_dir: Path | None) -> None:
    """Removes complete runs that have not changed for a week: their run directories, including the datasets, and with
    --broker their keys in the broker.

    Copies made by `run --output` are kept. A run that has a coordinator is never removed. If one run cannot be removed,
    the others still are, and the exit code is 1.
    """
    from common.cache import cache_directory
    from common.errors import EXIT_FAILED
    from common.words.wording import count
    from coordinator.runs.old_runs import OldRuns

    def keep(run_id: str, why: object) -> None:
        say(f"kept {run_id}: {why}", err=True)

    old = OldRuns(older_than, unfinished, dry_run, broker, say, keep)
    old.remove(cache_directory(cache_dir))
    if total := old.total():
        say(total)
    if old.kept:
        say(f"Kept {count(old.kept, 'old run')} that can still be resumed; --unfinished removes those too.")
    if old.failed:
        sys.exit(EXIT_FAILED)

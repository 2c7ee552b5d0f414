"""`pipeline-coordinator rm` and `gc`: give back what runs take in run directories and in brokers."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path

import click

from coordinator.commands.options import Age, broker_option, cache_option, run_argument, say


@click.command(short_help="Remove a run: its directory and its keys in the broker.")
@run_argument
@broker_option
@cache_option
def rm(run_id: str, broker: str | None, cache_dir: Path | None) -> None:
    """Removes RUN from this host, from its broker and from its folder of payloads, with the dataset in its run
    directory.

    A copy that `run --output` made stays. A run that is being coordinated is not removed; stop it first.
    """
    from common.cache import cache_directory
    from coordinator.lookup import find_run
    from coordinator.removal import disk_size, remove_run
    from coordinator.run_list import sweep_cache
    from coordinator.wording import count, size

    sweep_cache(cache_directory(cache_dir))
    found = find_run(run_id, cache_dir, broker, condemned=True)
    freed = disk_size(found.directory.path) if found.directory is not None else 0
    removed = remove_run(found, broker)
    say(f"Removed {found.run_id}:")
    if found.directory is not None:
        say(f"  {found.directory.path} ({size(freed)})")
    if removed.original is not None:
        say(f"  It was a copy of {removed.original}, whose keys in a broker and payloads stay.")
    if removed.is_taken_over:
        say("  Another pipeline has its id at the broker by now, and keeps what is there.")
    for folder in removed.folders:
        say(f"  {folder}")
    if removed.keys is not None:
        say(f"  {count(removed.keys, 'key')} in the broker")


@click.command(short_help="Remove old runs.")
@click.option("--older-than", type=Age(), default="7d", show_default=True, help="Unchanged for so long: 12h, 7d, 2w.")
@click.option("--dry-run", is_flag=True, help="Say what would be removed, and remove nothing.")
@click.option("--unfinished", is_flag=True, help="Also runs that are not complete. They cannot be gone on with then.")
@broker_option
@cache_option
def gc(older_than: float, dry_run: bool, unfinished: bool, broker: str | None, cache_dir: Path | None) -> None:
    """Removes complete runs that have not changed for a week: run directories with the datasets in them, and, with
    --broker, keys in the broker.

    Copies that `run --output` made stay. A run that is being coordinated is never removed. Where one cannot be removed,
    the others are, and the exit code is 1.
    """
    from common.cache import cache_directory
    from common.errors import EXIT_FAILED, Fenced, PenstockError
    from coordinator.lookup import FoundRun
    from coordinator.removal import disk_size, old_at_broker, remove_run
    from coordinator.run_directory import RunRecord
    from coordinator.run_list import condemned_runs, list_runs, sweep_cache
    from coordinator.wording import ago, count, size

    now, cache = datetime.now(UTC), cache_directory(cache_dir)
    runs, freed, keys, kept = 0, 0, 0, 0
    said, failed = "would remove" if dry_run else "removed", False

    def keep(run_id: str, why: object) -> None:
        say(f"kept {run_id}: {why}", err=True)

    def age_of(record: RunRecord) -> float:
        return (now - record.updated).total_seconds()

    def is_wanted(record: RunRecord) -> bool:
        return age_of(record) >= older_than and (unfinished or record.status == "complete")

    def remove(found: FoundRun) -> bool:
        nonlocal keys, failed
        try:
            keys += 0 if dry_run else remove_run(found, broker, is_wanted).keys or 0
        except PenstockError as error:
            keep(found.run_id, error)
            failed = failed or not isinstance(error, Fenced)
            return False
        return True

    if not dry_run:
        sweep_cache(cache)
    for directory, record in condemned_runs(cache):
        if remove(FoundRun(record.run, directory, record, condemned=True)):
            say(f"{said} what was left of {record.run}, whose removal was cut off")
            runs += 1
    local = list_runs(cache)
    for directory, record in local:
        if age_of(record) < older_than or directory.holder() is not None:
            continue
        if not is_wanted(record):
            kept += 1
            continue
        bytes_on_disk = disk_size(directory.path)
        if remove(FoundRun(record.run, directory, record)):
            state = "complete" if record.status == "complete" else "not complete"
            say(f"{said} {record.run} ({state}, {ago(age_of(record))}, {size(bytes_on_disk)})")
            runs, freed = runs + 1, freed + bytes_on_disk
    if broker:
        here = {record.run for _, record in local}
        for found in old_at_broker(broker, older_than, unfinished=unfinished, here=here, complain=keep):
            if remove(found):
                say(f"{said} {found.run_id} at the broker")
                runs += 1
    if not runs and not failed:
        say("Nothing to remove.")
    elif runs:
        what = f"{size(freed)} in {count(runs, 'run')}" + (f", {count(keys, 'key')} in the broker" if keys else "")
        say(f"{'Would free' if dry_run else 'Freed'} {what}.")
    if kept:
        say(f"Kept {count(kept, 'old run')} that can still be gone on with; --unfinished removes those too.")
    if failed:
        sys.exit(EXIT_FAILED)

"""`pipeline-coordinator rm`: frees the space that a run takes in its directory and in its broker."""

from __future__ import annotations

from pathlib import Path

import click

from coordinator.commands.options import broker_option, cache_option, run_argument, say


@click.command(short_help="Remove a run: its directory and its keys in the broker.")
@run_argument
@broker_option
@cache_option
def rm(run_id: str, broker: str | None, cache_dir: Path | None) -> None:
    """Removes RUN from this host, its broker and its payload folder, including the dataset in its run directory.

    A copy made by `run --output` is kept. A run that has a coordinator is not removed; stop it first.
    """
    from common.cache import cache_directory
    from common.words.wording import count, size
    from coordinator.runs.lookup import find_run
    from coordinator.runs.removal import disk_size, remove_run
    from coordinator.runs.run_list import sweep_cache

    sweep_cache(cache_directory(cache_dir))
    found = find_run(run_id, cache_dir, broker, condemned=True)
    freed = disk_size(found.directory.path) if found.directory is not None else 0
    removed = remove_run(found, broker)
    say(f"Removed {found.run_id}:")
    if found.directory is not None:
        say(f"  {found.directory.path} ({size(freed)})")
    if removed.original is not None:
        say(f"  It was a copy of {removed.original}; the original keeps its broker keys and payloads.")
    if removed.is_taken_over:
        say("  Another pipeline now uses its id at the broker, so the keys there are kept.")
    for folder in removed.folders:
        say(f"  {folder}")
    if removed.keys is not None:
        say(f"  {count(removed.keys, 'key')} in the broker")

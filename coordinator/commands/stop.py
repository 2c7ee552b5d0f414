"""`pipeline-coordinator stop`."""

from __future__ import annotations

import os
import signal
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import click

from coordinator.commands.options import broker_option, cache_option, run_argument, say

if TYPE_CHECKING:
    from common.protocol.holder import Holder
    from coordinator.runs.lookup import FoundRun


@click.command(short_help="Stop a run gracefully.")
@run_argument
@broker_option
@cache_option
def stop(run_id: str, broker: str | None, cache_dir: Path | None) -> None:
    """Asks the coordinator of RUN to stop, as Ctrl-C would: batches in hand are finished, and nothing is lost.

    Rerun the command that started it to resume.
    """
    from common.broker.runs import RunRegistry
    from common.errors import Disconnected, UsageError
    from coordinator.runs.lookup import broker_of, coordinator_of, find_run

    found = find_run(run_id, cache_dir, broker)
    lease = None
    with ExitStack() as stack:
        try:
            connection = stack.enter_context(broker_of(found, broker))
            lease = RunRegistry(connection).lease_holder(found.run_id) if connection else None
        except (Disconnected, UsageError):
            if found.directory is None:
                raise
            connection = None  # a coordinator on this host can be signalled without the broker
        holder = coordinator_of(found, lease)
        if holder is None:
            say(f"{found.run_id} is not running; there is nothing to stop.")
            return
        if connection is not None and lease is not None:
            RunRegistry(connection).ask_to_stop(found.run_id)
        else:
            _interrupt(found, holder)
    say(f"Asked {holder} to stop {found.run_id}; it finishes the batches in hand first.")
    say(f"To watch it: pipeline-coordinator status {found.argument}")


def _interrupt(found: FoundRun, holder: Holder) -> None:
    """Sends SIGINT to the coordinator if it is certain which process that is."""
    from common.errors import RunError
    from coordinator.runs.lookup import local_coordinator

    pid = local_coordinator(found.directory) if found.directory is not None else None
    if pid is None:
        raise RunError(
            f"run '{found.run_id}' is coordinated by {holder}, which cannot be reached from here: on that host, stop "
            "it with Ctrl-C, or with kill -INT PID"
        )
    try:
        os.kill(pid, signal.SIGINT)
    except PermissionError:
        raise RunError(f"process {pid} belongs to another user; only that user can stop run '{found.run_id}'") from None
    except ProcessLookupError:
        raise RunError(f"process {pid} has just ended; run '{found.run_id}' no longer has a coordinator") from None

"""What the broker and the run directory know of a run that is about to begin, or to go on."""

from __future__ import annotations

from common.broker.runs import RUN_ID, RunRegistry
from common.errors import UsageError
from coordinator.known_data import DataRecord, check_data_at_broker
from coordinator.run_directory import RunRecord
from coordinator.view import Reporter


def check_run_id(run_id: str) -> None:
    """Raises UsageError for a text that is no id of a run."""
    if not RUN_ID.fullmatch(run_id):
        raise UsageError(
            f"--run-id '{run_id}' is no id of a run: use up to 255 letters, digits, '.', '_' and '-', not '.' first"
        )


def check_known_run(
    registry: RunRegistry, now: RunRecord, before: RunRecord | None, reporter: Reporter, data: DataRecord
) -> None:
    """A run that was begun at another broker must not start from its beginning here; nor without a word at its own.

    Args:
        now: the run as this command has it.
        before: what its run directory says of it; None where it has not begun there.
        data: its data files.

    Raises:
        UsageError: this broker has nothing of it, has another one under its id, or one of other data.
        RunError: it was made by a version that speaks another protocol.
    """
    known = registry.read(now.run)
    if known is not None and known.signature != now.signature:
        raise UsageError(
            f"run '{now.run}' at this broker is one of another pipeline, or of other data (its signature is "
            f"{known.signature[:12]}, not {now.signature[:12]}): choose another --run-id, or start over with --fresh"
        )
    if before is not None and before.run != now.run:
        raise UsageError(
            f"this pipeline was begun as run '{before.run}': go on with --run-id {before.run}, or start over with "
            "--fresh"
        )
    if known is not None and before is None:
        check_data_at_broker(known, data)
    if known is not None or before is None:
        return
    if before.broker == now.broker:
        reporter.say("the broker has lost what it held of this run, which starts from its beginning")
    else:
        raise UsageError(
            f"run '{now.run}' was begun with {before.broker or 'the embedded broker'}, and this broker has nothing of "
            "it: go on with that one, or start over with --fresh"
        )

"""What the broker and the run directory know about a run that is about to begin or resume."""

from __future__ import annotations

from collections.abc import Mapping

from common.broker.runs import RUN_ID, RunRegistry
from common.errors import UsageError
from coordinator.identity.known_data import DataRecord, check_data_at_broker
from coordinator.runs.run_directory import RunDirectory, RunRecord
from coordinator.view.view import Reporter


def check_run_id(run_id: str) -> None:
    """Raises UsageError for a text that is not a valid run id."""
    if not RUN_ID.fullmatch(run_id):
        raise UsageError(
            f"--run-id '{run_id}' is not a valid run id: use up to 255 letters, digits, '.', '_' and '-', and do not "
            "start with '.'"
        )


def check_copy(directory: RunDirectory, before: RunRecord | None) -> None:
    """A copy of a run directory must not touch what the run has elsewhere, since the original would lose it.

    Raises UsageError if both would resume one run in a broker, or use the same payloads.
    """
    if before is None or not (before.payloads or (before.broker is not None and before.status != "complete")):
        return
    if original := directory.original_of(before):
        shared = before.payloads[0] if before.payloads else f"the broker at {before.broker}"
        raise UsageError(
            f"run directory {directory.path} is a copy of {original}, and both have run '{before.run}' in {shared}: "
            "resume the original (--cache-dir), or remove one of the two"
        )


def check_known_run(
    registry: RunRegistry, now: RunRecord, before: RunRecord | None, reporter: Reporter, data: DataRecord
) -> None:
    """A run begun at another broker must not silently start over here, nor at its own broker.

    Args:
        now: the run as this command has it.
        before: what its run directory says about it; None if it has not begun there.
        data: its data files.

    Raises:
        UsageError: this broker does not know it, or has a run of another pipeline or of other data under its id.
        RunError: it was made by a version that uses another protocol.
    """
    known = registry.read(now.run)
    if known is not None and known.signature != now.signature:
        raise UsageError(
            f"run '{now.run}' at this broker belongs to another pipeline, or to other data (its signature is "
            f"{known.signature[:12]}, not {now.signature[:12]}): choose another --run-id, or start over with --fresh"
        )
    if before is not None and before.run != now.run:
        raise UsageError(
            f"this pipeline was begun as run '{before.run}': resume it with --run-id {before.run}, or start over with "
            "--fresh"
        )
    if known is not None and before is None:
        check_data_at_broker(known, data)
    if known is not None or before is None:
        return
    if before.broker == now.broker:
        reporter.say("the broker has lost the data of this run, so the run starts from the beginning")
    else:
        raise UsageError(
            f"run '{now.run}' was begun with {before.broker or 'the embedded broker'}, and this broker does not know "
            "it: resume it with that one, or start over with --fresh"
        )


def all_endpoints(before: RunRecord | None, now: Mapping[str, str]) -> dict[str, list[str]]:
    """Where the model of each step was served during the run, with the current place last."""
    known = before.endpoints if before is not None else {}
    return {
        step: [
            *(place for place in known.get(step, ()) if place != now.get(step)),
            *([now[step]] if step in now else []),
        ]
        for step in {**known, **now}
    }


def say_what_moved(before: RunRecord, now: Mapping[str, str], reporter: Reporter) -> None:
    """Reports models that are now served elsewhere than before; the run is still the same."""
    for step, endpoint in now.items():
        known = before.endpoints.get(step, [endpoint])
        if before.status == "complete" and known != [endpoint]:
            reporter.say(
                f"the answers of step '{step}' come from {' and '.join(known)}, and this command names {endpoint}: "
                "pass --fresh to ask that one; if the two serve different models under one name, give the "
                "client an endpoint_identity"
            )
        elif before.status != "complete" and known[-1] != endpoint:
            reporter.say(
                f"step '{step}' now asks {endpoint} instead of {known[-1]}; existing answers are not requested again"
            )

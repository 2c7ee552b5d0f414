"""The `pipeline-coordinator run` command lines that a user is shown."""

from __future__ import annotations

import shlex

from common.shown_command import shown_command
from coordinator.card import PIPELINE
from coordinator.request import RunRequest

WORDS = ("pipeline-coordinator", "run")


def resume_command(request: RunRequest) -> str:
    """What a user types to resume the run, or to make its dataset again."""
    if request.command:
        return request.command
    words = [*WORDS, str(request.spec)]
    for override in request.overrides:
        words += ["--set", override]
    if request.broker is not None:
        words += ["--broker", request.broker]
    if request.limit is not None:
        words += ["--limit", str(request.limit)]
    if request.workers == "external":
        words += ["--workers", "external"]
    options = (("--run-id", request.run_id), ("--cache-dir", request.cache_dir), ("--output", request.output))
    for option, value in options:
        words += [option, str(value)] if value is not None else []
    words += ["--overwrite"] if request.overwrite else []
    words += ["--standby"] if request.standby else []
    for module in request.allow:
        words += ["--allow", module]
    if request.payloads is not None:
        words += ["--payloads", request.payloads]
    if request.push_to_hub is not None:
        words += ["--push-to-hub", request.push_to_hub, *(["--private"] if request.private else [])]
    return shown_command(words)


def recipe(request: RunRequest) -> str:
    """What somebody who has the dataset types to make it anew, from the spec that is in it."""
    words = [*WORDS, PIPELINE]
    if request.limit is not None:
        words += ["--limit", str(request.limit)]
    for module in request.allow:
        words += ["--allow", module]
    return shlex.join(words)

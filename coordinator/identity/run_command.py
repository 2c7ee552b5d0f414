"""The `pipeline-coordinator run` command lines shown to users."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator

from common.spec.shown_command import shown_command
from coordinator.dataset.card import PIPELINE
from coordinator.identity.request import RunRequest, options_of

WORDS = ("pipeline-coordinator", "run")


def resume_command(request: RunRequest) -> str:
    """What a user types to resume the run, or to remake its dataset."""
    return request.command or shown_command([*WORDS, str(request.spec), *option_words(request)])


def recipe(request: RunRequest) -> str:
    """What someone who has the dataset types to remake it from the spec in it."""
    return shlex.join([*WORDS, PIPELINE, *option_words(request, only_recipe=True)])


def run_words(request: RunRequest, spec: str, program: str = WORDS[0]) -> list[str]:
    """A command that runs a pipeline elsewhere.

    Args:
        spec: path of the spec there.
        program: path of `pipeline-coordinator` there.
    """
    return [program, *WORDS[1:], spec, *option_words(request)]


def option_words(request: RunRequest, *, only_recipe: bool = False) -> Iterator[str]:
    """The options of a request, as they are retyped: without those from the environment, which may hold a password.

    Args:
        only_recipe: only those that remake the dataset elsewhere.
    """
    for field, option in options_of(request):
        value = getattr(request, field.name)
        again = option.again == "recipe" or (option.again == "resume" and not only_recipe)
        if not option.flag or not again or value in (None, field.default):
            continue
        if option.variable is not None and value == os.environ.get(option.variable):
            continue
        if isinstance(value, bool):
            yield option.flag
        else:
            for word in value if isinstance(value, tuple) else (value,):
                yield from (option.flag, str(word))

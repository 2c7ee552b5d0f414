"""`pipeline-coordinator init`: writes a pipeline to begin with."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from coordinator.commands.options import say, say_aside

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem


def _completed(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    from click.shell_completion import CompletionItem

    from coordinator.recipes.recipe import NAMES, Recipe

    return [CompletionItem(name, help=Recipe.named(name).about) for name in NAMES if name.startswith(incomplete)]


@click.command(short_help="Write a pipeline to begin with.")
@click.argument("recipe", required=False, shell_complete=_completed)
@click.argument("folder", metavar="[DIR]", required=False, type=click.Path(path_type=Path, file_okay=False))
def init(recipe: str | None, folder: Path | None) -> None:
    """Writes a pipeline with its data into DIR, by default a folder with the name of RECIPE. Without RECIPE, lists the
    recipes.

    The pipeline runs at once: its models are stand-ins, which need no key and no network. Lines in it say how to name a
    real one. Existing files are never overwritten.
    """
    import shlex

    from coordinator.recipes.recipe import NAMES, SPEC, Recipe

    if recipe is None:
        for name in NAMES:
            say(f"{name:<{max(map(len, NAMES))}}  {Recipe.named(name).about}")
        say_aside("\nWrite one of them: pipeline-coordinator init RECIPE [DIR]")
        return
    folder = Path(recipe) if folder is None else folder
    for path in Recipe.named(recipe).write(folder):
        say(f"wrote {path}")
    if lacking := _what_is_missing(folder / SPEC):
        say(f"\nBefore you run it: {lacking}")
    say(f"\nRun it: pipeline-coordinator run {shlex.quote(str(folder / SPEC))}")


def _what_is_missing(spec: Path) -> str:
    """What the pipeline needs and this host lacks, such as a package; empty if nothing."""
    from common.errors import UsageError
    from coordinator.plan.host_check import check_host
    from coordinator.plan.load import prepare

    try:
        check_host(prepare(spec))
    except UsageError as error:
        return str(error)
    return ""

"""`pipeline-coordinator`: the command that runs pipelines and manages runs."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import click

from penstock.launch import coordinator as main

NAME = "pipeline-coordinator"

COMMANDS = (
    *("init", "run", "validate", "info", "prompt", "schema", "render"),
    *("runs", "status", "failures", "stop", "rm", "gc", "cache"),
)
"""In the order of the help text. Each command is a function of its name, in a file of its name in `commands/`."""


class Commands(click.Group):
    """Imports a command only when it is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order of use, not alphabetically."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command with this name, if it exists."""
        if cmd_name not in COMMANDS:
            return None
        found: click.Command = getattr(import_module(f"coordinator.commands.{cmd_name}"), cmd_name)
        return found

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Suggests the nearest command if there is none with this name."""
        from common.words.faults import hint

        if args[0] not in COMMANDS and not args[0].startswith("-"):
            raise click.UsageError(f"there is no command '{args[0]}'{hint(args[0], COMMANDS, 'the commands are')}", ctx)
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Runs the command. An error of Penstock's own is one message and an exit code, never a traceback."""
        from common.errors import PenstockError
        from common.process.last_words import say_error

        try:
            return super().invoke(ctx)
        except PenstockError as error:
            say_error(NAME, error)
            raise click.exceptions.Exit(error.exit_code) from error


@click.group(
    NAME,
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(package_name="penstock")
def group() -> None:
    """Runs pipelines that make synthetic data, and manages their runs.

    SPEC is the path of a pipeline file. RUN is the id of a run, or the beginning of an id, as listed by `runs`.
    """


if __name__ == "__main__":
    main()

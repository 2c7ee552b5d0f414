"""`pipeline-coordinator`: the command that runs pipelines and looks after runs."""

from __future__ import annotations

import importlib
import signal
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import Any

import click

# Nothing of `common` is imported up here: whether it is ours is the first thing to find out.
NAME = "pipeline-coordinator"
STOPPED = 130

COMMANDS: Mapping[str, str] = MappingProxyType(
    {
        "run": "coordinator.commands.run:run",
        "validate": "coordinator.commands.inspect:validate",
        "info": "coordinator.commands.inspect:info",
        "schema": "coordinator.commands.inspect:schema",
        "render": "coordinator.commands.render:render",
        "runs": "coordinator.commands.runs:runs",
        "status": "coordinator.commands.status:status",
        "failures": "coordinator.commands.failures:failures",
        "stop": "coordinator.commands.stop:stop",
        "rm": "coordinator.commands.clean:rm",
        "gc": "coordinator.commands.clean:gc",
    }
)
"""Command -> where it is, in the order of the help."""


class Commands(click.Group):
    """Imports a command when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order of use, not of the alphabet."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of this name, if there is one."""
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name].partition(":")
        found: click.Command = getattr(importlib.import_module(module), name)
        return found

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Names the nearest command where there is none of the name."""
        from common.faults import hint

        if args[0] not in COMMANDS and not args[0].startswith("-"):
            raise click.UsageError(f"there is no command '{args[0]}'{hint(args[0], COMMANDS, 'the commands are')}", ctx)
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Runs the command. An error of ours is one message and an exit code, never a traceback."""
        from common.errors import PenstockError

        try:
            return super().invoke(ctx)
        except PenstockError as error:
            click.echo(f"{NAME}: {error}", err=True)
            raise click.exceptions.Exit(error.exit_code) from error


@click.group(
    NAME,
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(package_name="penstock")
def group() -> None:
    """Runs pipelines that make synthetic data, and looks after their runs.

    SPEC is the path of a pipeline's file. RUN is the id of a run, or the beginning of one, as `runs` lists them.
    """


def check_packages() -> None:
    """Our three packages have plain names: another `common` that comes first on the path would break us silently.

    Raises:
        click.UsageError: one of them would be imported from elsewhere.
    """
    ours = Path(__file__).resolve().parent.parent
    for name in ("common", "worker"):
        found = find_spec(name)
        if found is None or found.origin is None or Path(found.origin).resolve().parent.parent != ours:
            where = found.origin if found is not None and found.origin else "nowhere"
            raise click.UsageError(
                f"the package '{name}' would be imported from {where}, not from {ours}: a file or a folder of your "
                "own that is named common, worker or coordinator comes first on the path; rename it, or take it out "
                "of PYTHONPATH"
            )


def main() -> None:
    """Entry point."""
    # Until a run has handlers of its own, SIGTERM ends it as Ctrl-C does; a shell's `&` may have SIGINT ignored.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    try:
        check_packages()
        sys.exit(group.main(prog_name=NAME, standalone_mode=False) or 0)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except click.Abort:
        sys.exit(STOPPED)


if __name__ == "__main__":
    main()

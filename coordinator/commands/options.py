"""Options and arguments that several commands have, and the console that they print to."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

WIDTH_OF_A_FILE = 160
UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 7 * 86_400}

spec_argument = click.argument("spec", type=click.Path(path_type=Path))
run_argument = click.argument("run_id", metavar="RUN")
set_option = click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="STEP.PARAM=VALUE",
    help="A parameter in place of the spec's, in YAML: generate.llm.model=my-model; may be given several times.",
)
allow_option = click.option(
    "--allow",
    multiple=True,
    metavar="MODULE",
    help="A module that steps may be imported from, beside the spec's folder; may be given several times.",
)
workers_option = click.option(
    "--workers",
    type=click.Choice(["local", "external"]),
    default="local",
    show_default=True,
    help="Where the run is to have its workers: for external ones, this host need not have the modules of all steps.",
)
broker_option = click.option(
    "--broker", envvar="PENSTOCK_BROKER_URL", metavar="URL", help="URL of the broker; also PENSTOCK_BROKER_URL."
)
cache_option = click.option(
    "--cache-dir",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Where run directories are; also PENSTOCK_CACHE_DIR. Default: penstock in your cache folder.",
)


class Age(click.ParamType[float]):
    """A time such as `7d`, `12h`, `30m`; as seconds."""

    name = "age"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Seconds."""
        if isinstance(value, float):
            return value
        found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smhdw])", str(value).strip().lower())
        if found is None:
            self.fail(f"'{value}' is not an age; write a number and a unit: 30m, 12h, 7d or 2w", param, ctx)
        return float(found.group(1)) * UNITS[found.group(2)]


def make_console() -> Console:
    """Standard output. What goes to a file or a pipe is not folded to the width of a terminal that is not there."""
    from rich.console import Console

    console = Console()
    if console.is_terminal or os.environ.get("COLUMNS"):
        return console
    return Console(width=WIDTH_OF_A_FILE)


def show(renderable: RenderableType, console: Console | None = None) -> None:
    """Prints something of rich's, without the spaces with which it fills lines up."""
    from coordinator.printable import Printable

    console = console or make_console()
    with console.capture() as capture:
        console.print(Printable(renderable), highlight=False)
    click.echo("\n".join(line.rstrip() for line in capture.get().rstrip("\n").split("\n")), color=True)


def say(text: str, *, err: bool = False) -> None:
    """Prints a line in which something may come from elsewhere: a run's id at a broker, an error of an endpoint."""
    from common.printable import printable

    click.echo(printable(text), err=err)

"""The console that commands and programs print to."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

WIDTH_OF_A_FILE = 160


def make_console() -> Console:
    """Standard output. Output to a file or a pipe is not wrapped to the width of a terminal."""
    from rich.console import Console

    console = Console()
    if console.is_terminal or os.environ.get("COLUMNS"):
        return console
    return Console(width=WIDTH_OF_A_FILE)


def show(renderable: RenderableType, console: Console | None = None) -> None:
    """Prints a rich renderable without the spaces that rich pads lines with."""
    from coordinator.view.printable import Printable

    console = console or make_console()
    with console.capture() as capture:
        console.print(Printable(renderable), highlight=False)
    click.echo("\n".join(line.rstrip() for line in capture.get().rstrip("\n").split("\n")), color=True)

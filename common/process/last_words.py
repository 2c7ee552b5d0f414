"""A command's final error message: on standard error, without terminal escapes or passwords."""

from __future__ import annotations

from io import StringIO

import click

from common.words.printable import printable
from common.words.redaction import hide_passwords


def say_error(command: str, error: Exception) -> None:
    """One line, with the command's name before it."""
    click.echo(_shown(f"{command}: {error}"), err=True)


def say_wrong_usage(error: click.ClickException) -> None:
    """click's message about a wrong command line."""
    said = StringIO()
    error.show(said)
    click.echo(_shown(said.getvalue()), err=True, nl=False)


def _shown(text: str) -> str:
    return printable(hide_passwords(text))

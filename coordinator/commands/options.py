"""Options and arguments shared by several commands, and the console that they print to."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from types import NoneType
from typing import Any, Literal, TypeVar, get_args, get_origin

import click

from coordinator.identity.request import RunRequest, options_of

F = TypeVar("F", bound=Callable[..., Any])
UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 7 * 86_400}

spec_argument = click.argument("spec", type=click.Path(path_type=Path))
run_argument = click.argument("run_id", metavar="RUN")
workers_option = click.option(
    "--workers",
    type=click.Choice(["local", "external"]),
    default="local",
    show_default=True,
    help="Where the workers of the run will be; with external workers, this host may lack the modules of some steps.",
)


def run_option(name: str, request: type[RunRequest] = RunRequest) -> Callable[[F], F]:
    """The command-line option that a field of a request declares."""
    field, told = next((field, told) for field, told in options_of(request) if field.name == name)
    kinds = [kind for kind in get_args(field.type) if kind is not NoneType] or [field.type]
    facts: dict[str, Any] = {"help": told.help, "metavar": told.metavar, "envvar": told.variable}
    if bool in kinds:
        facts |= {"is_flag": True}
    elif int in kinds:
        facts |= {"type": click.IntRange(min=1)}
    elif Path in kinds:
        facts |= {"type": click.Path(path_type=Path, file_okay=False)}
    elif get_origin(field.type) is Literal:
        facts |= {"type": click.Choice(kinds), "default": field.default, "show_default": True}
    elif get_origin(field.type) is tuple:
        facts |= {"multiple": True}
    if field.default is True:  # the flag unsets it
        facts |= {"callback": lambda context, option, given: not given}
    return click.option(told.flag, name, **facts)


def run_options(command: F, request: type[RunRequest] = RunRequest) -> F:
    """All of these options, for a command that is called with the fields of a request."""
    flags = [field.name for field, told in options_of(request) if told.flag]
    for name in reversed(flags):
        command = run_option(name, request)(command)
    return command


set_option = run_option("overrides")
allow_option = run_option("allow")
broker_option = run_option("broker")
cache_option = run_option("cache_dir")


class Age(click.ParamType[float]):
    """A duration such as `7d`, `12h` or `30m`, in seconds."""

    name = "age"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Seconds."""
        if isinstance(value, float):
            return value
        found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smhdw])", str(value).strip().lower())
        if found is None:
            self.fail(f"'{value}' is not an age; write a number and a unit: 30m, 12h, 7d or 2w", param, ctx)
        return float(found.group(1)) * UNITS[found.group(2)]


def say(text: str, *, err: bool = False) -> None:
    """Prints a line that may contain foreign text: the id of a run at a broker, or an error from an endpoint."""
    from common.words.printable import printable

    click.echo(printable(text), err=err)


def say_aside(text: str) -> None:
    """Prints a line that is not part of the result, to stderr."""
    say(text, err=True)

"""`pipeline-coordinator info`: shows what a spec says, without starting anything."""

from __future__ import annotations

from pathlib import Path

import click

from coordinator.commands.options import allow_option, set_option, spec_argument, workers_option
from coordinator.view.console import show


@click.command(short_help="Show a pipeline: its graph, its steps and their parameters.")
@spec_argument
@set_option
@allow_option
@workers_option
def info(spec: Path, overrides: tuple[str, ...], allow: tuple[str, ...], workers: str) -> None:
    """Shows the graph of SPEC and each step: its class, its columns, and its parameters with values and defaults."""
    from coordinator.plan.load import prepare
    from coordinator.view.description import describe

    show(describe(prepare(spec, overrides, allow, to_run=False, external=workers == "external")))

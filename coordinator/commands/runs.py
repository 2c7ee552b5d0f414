"""`pipeline-coordinator runs`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from common.protocol.status import UNDER_WAY
from coordinator.commands.options import broker_option, cache_option, say
from coordinator.view.console import show

if TYPE_CHECKING:
    from rich.table import Table

    from coordinator.runs.run_directory import RunDirectory, RunRecord

COLOURS = {"complete": "green", "running": "cyan", "starting": "cyan", "failed": "red", "halted": "red"}


@dataclass(frozen=True, slots=True)
class Listed:
    """One line of the list."""

    run_id: str
    pipeline: str
    status: str
    when: str
    rows: str
    where: str


@click.command(short_help="List the runs on this host and at a broker.")
@broker_option
@cache_option
def runs(broker: str | None, cache_dir: Path | None) -> None:
    """Lists the runs that have a directory on this host, newest first, and with --broker those known to the broker."""
    from common.cache import cache_directory
    from coordinator.runs.run_list import list_runs

    cache = cache_directory(cache_dir)
    local = list_runs(cache)
    there = dict(_at_broker(broker)) if broker else {}
    listed = [_listed(directory, record, record.run in there) for directory, record in local]
    here = {line.run_id for line in listed}
    listed += [line for run_id, line in there.items() if run_id not in here]
    if not listed:
        where = f"{cache} or at the broker" if broker else f"{cache} (pass --broker URL to list those at a broker too)"
        say(f"There are no runs in {where}.")
        return
    say(f"Run directories on this host are in {cache}\n")
    show(_table(listed))


def _listed(directory: RunDirectory, record: RunRecord, at_broker: bool) -> Listed:
    from common.words.wording import ago

    status: str = record.status
    if status == "running" and directory.holder() is None:
        status = "interrupted"
    where = "both" if at_broker else "here"
    when = ago((datetime.now(UTC) - record.updated).total_seconds())
    rows = f"{sum(record.rows.values()):,}" if record.rows else "-"
    return Listed(record.run, record.pipeline, status, when, rows, where)


def _at_broker(url: str) -> Iterator[tuple[str, Listed]]:
    from common.broker.runs import RunRegistry
    from common.errors import RunError
    from common.words.printable import one_line
    from coordinator.runs.lookup import connect

    with connect(url) as connection:
        connection.facts()
        registry = RunRegistry(connection)
        for run_id in registry.run_ids():
            try:
                record = registry.read(run_id)
            except RunError:
                yield run_id, Listed(run_id, "-", "another version", "-", "-", "broker")
                continue
            if record is None:
                continue  # its keys have expired
            status: str = record.status
            if status in UNDER_WAY and registry.lease_holder(run_id) is None:
                status = "interrupted"
            yield run_id, Listed(run_id, one_line(record.pipeline, 64), status, "-", "-", "broker")


def _table(listed: list[Listed]) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("run", overflow="fold")
    table.add_column("pipeline", overflow="fold", min_width=8)
    table.add_column("status", no_wrap=True)
    table.add_column("when", no_wrap=True)
    table.add_column("rows", justify="right", no_wrap=True)
    table.add_column("where", no_wrap=True, min_width=6, style="dim")
    for line in listed:
        status = Text(line.status, COLOURS.get(line.status, "yellow"))
        table.add_row(Text(line.run_id), Text(line.pipeline), status, line.when, line.rows, Text(line.where))
    return table

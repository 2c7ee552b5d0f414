"""`pipeline-coordinator status`."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from common.status import ENDED, UNDER_WAY
from coordinator.commands.options import broker_option, cache_option, make_console, run_argument, say, show

if TYPE_CHECKING:
    from rich.table import Table

    from common.broker.connection import Connection
    from common.broker.runs import RunRecord, WorkerRecord
    from common.holder import Holder
    from coordinator.lookup import FoundRun

NAME_WIDTH = 11
"""Of the names on the left."""


@click.command(short_help="Show how a run is doing.")
@run_argument
@broker_option
@cache_option
def status(run_id: str, broker: str | None, cache_dir: Path | None) -> None:
    """Shows how RUN is doing: its state, its steps and their workers, its rows, and where it is."""
    from common.broker.runs import RunRegistry
    from common.errors import Disconnected
    from coordinator.lookup import broker_of, coordinator_of, find_run

    found = find_run(run_id, cache_dir, broker)
    try:
        with broker_of(found, broker) as connection:
            record = RunRegistry(connection).read(found.run_id) if connection else None
            lease = RunRegistry(connection).lease_holder(found.run_id) if connection else None
            holder = coordinator_of(found, lease)
            _show_facts(
                [("state", _state(found, record, holder)), *_directory_facts(found), *_broker_facts(connection)]
            )
            if connection is not None and record is not None:
                _show_steps(connection, record)
    except Disconnected as error:
        if found.directory is None:
            raise
        _show_facts([("state", _state(found, None, coordinator_of(found, None))), *_directory_facts(found)])
        say(f"\n{error}", err=True)


def _state(found: FoundRun, record: RunRecord | None, holder: Holder | None) -> str:
    said: str = record.status if record is not None else found.record.status if found.record is not None else "unknown"
    if record is not None and record.want == "stop" and holder:
        said = "stopping"
    if holder:
        return f"{said}, coordinated by {holder}"
    if said in UNDER_WAY:
        return "interrupted: its coordinator has ended; the same run command goes on with it"
    if said in ENDED - {"complete"}:
        return f"{said}: not complete; the same run command goes on with it"
    return said


def _directory_facts(found: FoundRun) -> Iterator[tuple[str, str]]:
    from common.printable import printable
    from coordinator.partial import PARTIAL
    from coordinator.run_directory import DATASET
    from coordinator.wording import ago, count

    yield "run", found.run_id
    if found.directory is None or found.record is None:
        return
    record, now = found.record, datetime.now(UTC)
    yield "began", f"{record.created.astimezone():%Y-%m-%d %H:%M} ({ago((now - record.created).total_seconds())})"
    yield "changed", ago((now - record.updated).total_seconds())
    yield "directory", str(found.directory.path)
    if record.reason and record.status != "running":
        yield "why", printable(record.reason).strip().replace("\n", f"\n{'':<{NAME_WIDTH}}")
    if record.rows:
        yield "rows", ", ".join(f"{leaf}: {rows:,}" for leaf, rows in record.rows.items())
    if record.failed_rows:
        yield "failed", f"{count(record.failed_rows, 'row')}; pipeline-coordinator failures {found.argument}"
    if record.dataset is not None:
        yield "dataset", str(found.directory.path / DATASET)
    elif (partial := found.directory.path / PARTIAL).is_dir():
        yield "so far", str(partial)


def _broker_facts(connection: Connection | None) -> Iterator[tuple[str, str]]:
    if connection is not None:
        yield "broker", connection.shown_url


def _show_facts(facts: list[tuple[str, str]]) -> None:
    for name, words in sorted(facts, key=lambda fact: fact[0] != "run"):
        say(f"{name:<{NAME_WIDTH}}{words}")


def _show_steps(connection: Connection, record: RunRecord) -> None:
    from common.broker.journal import Journal
    from common.broker.runs import RunRegistry
    from common.printable import one_line, printable

    registry, steps = RunRegistry(connection), list(record.spec["steps"])
    workers = registry.workers(record.run_id)
    waiting = registry.waiting(record.run_id, steps)
    # Reads only; whoever calls itself a coordinator but does not take over changes nothing.
    position, _, sent = Journal(connection, record.run_id).marks(steps)
    say(f"{'journal':<{NAME_WIDTH}}{position:,} entries")
    if len(stages := record.options.stages) > 1:
        stage = min(registry.stage(record.run_id), len(stages) - 1)
        say(f"{'stage':<{NAME_WIDTH}}{stage + 1}/{len(stages)}: {', '.join(stages[stage])}")
    click.echo()
    rows = [(step, sent[step], waiting[step], [each for each in workers if each.step == step]) for step in steps]
    show(_table(rows), make_console())
    for worker in workers:
        if worker.waits and worker.alive:
            say(f"\nworker {one_line(worker.worker_id, 64)} of step '{worker.step}' {printable(worker.waits)}")
        for what, why in (("could not load its step", worker.load_error), ("cannot serve its step", worker.refused)):
            if why:
                last = (printable(why).strip().splitlines() or [""])[-1]
                who = one_line(f"worker {worker.worker_id} of step '{worker.step}' on {worker.host}", 300)
                say(f"\n{who} {what}: {last}")


def _table(rows: list[tuple[str, int, int, list[WorkerRecord]]]) -> Table:
    from rich.table import Table
    from rich.text import Text

    from common.printable import one_line

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("step", overflow="fold")
    for title in ("batches sent", "not done yet", "workers"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("on", overflow="fold", style="dim")
    for step, sent, waiting, workers in rows:
        alive = [worker for worker in workers if worker.alive]
        loading = sum(not worker.loaded for worker in alive)
        hosts: dict[str, Any] = {}
        for worker in alive:
            hosts[worker.host] = hosts.get(worker.host, 0) + 1
        on = ", ".join(f"{host} ({number})" if number > 1 else host for host, number in hosts.items())
        number = f"{len(alive) - loading}+{loading} loading" if loading else f"{len(alive)}"
        table.add_row(Text(step), f"{sent:,}", f"{waiting:,}" if waiting else "-", number, Text(one_line(on, 300)))
    return table

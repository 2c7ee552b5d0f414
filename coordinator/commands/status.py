"""`pipeline-coordinator status`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from common.protocol.status import ENDED, UNDER_WAY
from coordinator.commands.options import broker_option, cache_option, run_argument, say, say_aside
from coordinator.view.console import make_console, show

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

    from common.broker.connection import Connection
    from common.broker.runs import RunRecord, WorkerRecord
    from common.protocol.holder import Holder
    from coordinator.runs.bill import Bill
    from coordinator.runs.lookup import FoundRun
    from coordinator.view.view import RunView

NAME_WIDTH = 11
"""Width of the names on the left."""
_ROOMY = 7
"""Titles of a table that fits into 80 characters with wide gaps."""


@click.command(short_help="Show how a run is doing.")
@run_argument
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object: state, steps, workers, and the bill.")
@broker_option
@cache_option
def status(run_id: str, as_json: bool, broker: str | None, cache_dir: Path | None) -> None:
    """Shows how RUN is doing: its state, its steps and their workers, its rows, and where it is stored."""
    from common.broker.runs import RunRegistry
    from common.errors import Disconnected
    from coordinator.runs.lookup import broker_of, coordinator_of, find_run

    found = find_run(run_id, cache_dir, broker, tell=say_aside)
    if as_json:
        from coordinator.commands.status_json import status_json

        click.echo(status_json(found, broker))
        return
    try:
        with broker_of(found, broker) as connection:
            record = RunRegistry(connection).read(found.run_id) if connection else None
            lease = RunRegistry(connection).lease_holder(found.run_id) if connection else None
            holder = coordinator_of(found, lease)
            _show_facts(
                [("state", state_of(found, record, holder)), *_directory_facts(found), *_broker_facts(connection)]
            )
            if (connection is None or record is None) and found.record is not None:
                _show_bill(found.record.bill)
            if connection is not None and record is not None:
                view = _show_steps(connection, record, is_coordinated=holder is not None)
                if view is None and found.record is not None:
                    _show_bill(found.record.bill)
                _show_one_more(found, connection, record, view if holder else None)
    except Disconnected as error:
        if found.directory is None:
            raise
        _show_facts([("state", state_of(found, None, coordinator_of(found, None))), *_directory_facts(found)])
        if found.record is not None:
            _show_bill(found.record.bill)
        say_aside(f"\n{error}")


def _show_bill(bill: Bill) -> None:
    for name, words in bill.words():
        say(f"{name:<{NAME_WIDTH}}{words}")


def state_of(found: FoundRun, record: RunRecord | None, holder: Holder | None) -> str:
    """The state of a run in words."""
    said: str = record.status if record is not None else found.record.status if found.record is not None else "unknown"
    if record is not None and record.want == "stop" and holder:
        said = "stopping"
    if holder:
        return f"{said}, coordinated by {holder}"
    if said in UNDER_WAY:
        return "interrupted: its coordinator has ended; rerun the command to resume"
    if said in ENDED - {"complete"}:
        return f"{said}: not complete; rerun the command to resume"
    return said


def _directory_facts(found: FoundRun) -> Iterator[tuple[str, str]]:
    from common.words.printable import printable
    from common.words.wording import ago, count
    from coordinator.dataset.partial import PARTIAL
    from coordinator.runs.run_directory import DATASET

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
    if record.skipped:
        yield "skipped", ", ".join(f"{step}: {rows:,}" for step, rows in record.skipped.items())
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


def _show_steps(connection: Connection, record: RunRecord, *, is_coordinated: bool) -> RunView | None:
    """The steps as the coordinator sees them, or as the broker does if no readable view is published."""
    from common.broker.runs import RunRegistry
    from common.words.printable import one_line, printable

    registry = RunRegistry(connection)
    workers = registry.workers(record.run_id)
    say(f"{'journal':<{NAME_WIDTH}}{record.position:,} entries")
    if len(stages := record.options.stages) > 1:
        stage = min(registry.stage(record.run_id), len(stages) - 1)
        say(f"{'stage':<{NAME_WIDTH}}{stage + 1}/{len(stages)}: {', '.join(stages[stage])}")
    view = _show_view(connection, record, is_coordinated)
    if view is None:
        click.echo()
        show(_counted(connection, record, workers), make_console())
    for worker in workers:
        if worker.waits and worker.alive:
            say(f"\nworker {one_line(worker.worker_id, 64)} of step '{worker.step}' {printable(worker.waits)}")
        for trouble in worker.troubles:
            who = one_line(f"worker {worker.worker_id} of step '{worker.step}' on {worker.host}", 300)
            say(f"\n{who} {trouble}")
    return view


def _show_view(connection: Connection, record: RunRecord, is_coordinated: bool) -> RunView | None:
    from common.broker.views import Views
    from common.errors import NotPermitted, WireError
    from common.words.printable import one_line
    from common.words.wording import about, duration, size
    from coordinator.view.view_codec import decode_view

    try:
        published = Views(connection, record.run_id).read()
        view = decode_view(published.message) if published is not None else None
    except (NotPermitted, WireError) as error:  # users of earlier versions lack `+time`
        say_aside(f"\n{error}")
        return None
    if published is None or view is None:
        return None
    left = f"about {about(view.seconds_left)} left" if view.seconds_left and is_coordinated else ""
    stops = is_coordinated and record.want == "stop" and not view.state.startswith("stopping")  # seen before the wish
    facts = ", ".join(
        fact for fact in ("stopping" if stops else view.state, f"{duration(view.elapsed)} at work", left) if fact
    )
    say(f"{'seen':<{NAME_WIDTH}}{duration(published.age)} ago: {one_line(facts, 300)}")
    limit = f" of {size(view.memory_limit)}" if view.memory_limit else ""
    held = f"{size(view.payload_bytes)} of payloads; memory used: {size(view.memory)}{limit}"
    say(f"{'in broker':<{NAME_WIDTH}}{held}")
    _show_bill(view.bill)
    click.echo()
    show(_table(view), make_console())
    for more, what in ((view.more_steps, "steps"), (view.more_workers, "workers")):
        if more:
            say(f"and {more:,} more {what}")
    return view


def _show_one_more(found: FoundRun, connection: Connection, record: RunRecord, view: RunView | None) -> None:
    """Says how to start one more worker for a run whose workers are on this host."""
    from coordinator.plan.worker_command import local_worker_command

    if view is None or found.record is None or found.record.broker is not None:
        return
    open_steps = [step for step in view.steps if not step.is_done and step.kind == "step"]
    if open_steps:
        fullest = max(open_steps, key=lambda step: (step.in_flight + step.waiting, step.is_active))
        say(f"\none more worker: {local_worker_command(record, fullest.name, connection.url)}")


def _table(view: RunView) -> Table:
    from rich.text import Text

    from common.words.printable import one_line
    from coordinator.view.progress_table import batches, number, rate, skips, workers

    skipped = ("skipped",) if skips(view) else ()
    table = _empty_table("batches", "rows out", "rows/s", *skipped, "failed", "in flight", "waiting", "workers")
    for step in view.steps:
        passed = (number(step.rows_skipped),) if skipped else ()
        numbers = (batches(step), f"{step.rows_out:,}", rate(step), *passed, number(step.rows_failed))
        there = [worker.host for worker in view.workers if worker.step == step.name and worker.alive]
        table.add_row(
            Text(one_line(step.name, 64)),
            *numbers,
            number(step.in_flight),
            number(step.waiting),
            workers(step),
            _where(there, step.waits_for),
        )
    return table


def _counted(connection: Connection, record: RunRecord, workers: list[WorkerRecord]) -> Table:
    """What the broker itself knows about a run that has published nothing."""
    from rich.text import Text

    from common.broker.journal import Journal
    from common.broker.runs import RunRegistry

    steps = list(record.spec["steps"])
    waiting = RunRegistry(connection).waiting(record.run_id, steps)
    _, _, sent = Journal(connection, record.run_id).marks(steps)
    table = _empty_table("batches sent", "not done yet", "workers")
    for step in steps:
        alive = [worker for worker in workers if worker.step == step and worker.alive]
        loading = sum(not worker.loaded for worker in alive)
        there = f"{len(alive) - loading}+{loading} loading" if loading else f"{len(alive)}"
        undone = f"{waiting[step]:,}" if waiting[step] else "-"
        table.add_row(Text(step), f"{sent[step]:,}", undone, there, _where([worker.host for worker in alive]))
    return table


def _empty_table(*titles: str) -> Table:
    from rich.table import Table

    gap = 2 if len(titles) <= _ROOMY else 1
    table = Table(box=None, pad_edge=False, padding=(0, gap, 0, 0), header_style="bold")
    table.add_column("step", overflow="fold")
    for title in titles:
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("on", overflow="fold", style="dim")
    return table


def _where(hosts: list[str], waits_for: str = "") -> Text:
    """The hosts of a step's workers, and what keeps them from working."""
    from rich.text import Text

    from common.words.printable import one_line

    on = ", ".join(f"{host} ({number})" if number > 1 else host for host, number in Counter(hosts).items())
    waits = f"{'; ' if on else ''}waits for {waits_for}" if waits_for else ""
    return Text(one_line(on + waits, 300))

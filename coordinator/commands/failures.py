"""`pipeline-coordinator failures`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import click

from coordinator.commands.options import broker_option, cache_option, run_argument, say, say_aside
from coordinator.view.console import show

if TYPE_CHECKING:
    from rich.table import Table

    from common.protocol.batch import DeadLetter
    from coordinator.runs.failures import FailureLog
    from coordinator.runs.lookup import FoundRun

ROWS_SHOWN = 20
KINDS_SHOWN = 15
KINDS_COUNTED = 1_000
LONGEST_ERROR = 500
LONGEST_ROW = 300
VARIABLE = re.compile(r"'[^']*'|\"[^\"]*\"|\b[0-9a-f]{8,}\b|\d+")
"""The parts in which two errors of the same kind differ."""


@click.command(short_help="Show which rows failed and why.")
@run_argument
@click.option("--step", metavar="NAME", help="Show only rows that failed in this step.")
@click.option(
    "--limit",
    type=click.IntRange(min=0),
    metavar="N",
    help=f"Show at most N rows; default: {ROWS_SHOWN}, or all with --json.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per line, with complete rows and errors.")
@broker_option
@cache_option
def failures(
    run_id: str, step: str | None, limit: int | None, as_json: bool, broker: str | None, cache_dir: Path | None
) -> None:
    """Shows the rows of RUN that failed for good: first their number per step and kind of error, then the rows.

    They are kept in the run directory, so this command works on the coordinator's host, during the run and after it.
    """
    from common.errors import UsageError
    from coordinator.runs.failures import FailureLog
    from coordinator.runs.lookup import find_run

    found = find_run(run_id, cache_dir, broker, tell=say_aside)
    if found.directory is None:
        raise UsageError(
            f"the failed rows of '{found.run_id}' are in its run directory, which is not on this host; run this "
            "command on the coordinator's host, or pass --cache-dir"
        )
    log = FailureLog(found.directory.failures)
    if step is not None:
        _check_step(log, step)
    letters = (letter for letter in log.read() if step in (None, letter.step))
    if as_json:
        for letter in islice(letters, limit):
            click.echo(_json_line(letter))
        return
    _show(found, letters, ROWS_SHOWN if limit is None else limit, step)


def _check_step(log: FailureLog, step: str) -> None:
    from common.errors import UsageError
    from common.words.faults import hint

    counts = log.counts()
    if counts and step not in counts:
        raise UsageError(f"no rows failed in step '{step}'{hint(step, counts, 'the steps with failed rows are')}")


def _show(found: FoundRun, letters: Iterator[DeadLetter], limit: int, step: str | None) -> None:
    from common.words.wording import count

    kinds: dict[tuple[str, str], tuple[int, str]] = {}
    shown: list[DeadLetter] = []
    total = others = 0
    for letter in letters:
        total += 1
        if len(shown) < limit:
            shown.append(letter)
        kind = (letter.step, VARIABLE.sub("#", letter.error[:LONGEST_ERROR]))
        if kind in kinds or len(kinds) < KINDS_COUNTED:
            number, example = kinds.get(kind, (0, letter.error))
            kinds[kind] = (number + 1, example)
        else:
            others += 1
    if not total:
        say(f"{found.run_id} has no failed rows.")
        return
    say(f"{found.run_id}: {count(total, 'row')} failed\n")
    show(_table(kinds, others))
    if shown:
        click.echo()
    for letter in shown:
        _show_letter(letter)
    if total > len(shown):
        only = f" --step {step}" if step else ""
        command = f"pipeline-coordinator failures {found.argument}{only} --json"
        say(f"{count(total - len(shown), 'more row')}; to see all of them: {command}")


def _table(kinds: dict[tuple[str, str], tuple[int, str]], others: int) -> Table:
    from rich.table import Table
    from rich.text import Text

    from common.words.printable import one_line

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("step", overflow="fold")
    table.add_column("rows", justify="right", no_wrap=True)
    table.add_column("error (first of its kind)", overflow="fold")
    ranked = sorted(kinds.items(), key=lambda kind: -kind[1][0])
    for (step, _), (number, example) in ranked[:KINDS_SHOWN]:
        table.add_row(Text(step), f"{number:,}", Text(one_line(example, 200)))
    others += sum(number for _, (number, _) in ranked[KINDS_SHOWN:])
    if others:
        table.add_row("", f"{others:,}", Text("other errors", "dim"))
    return table


def _show_letter(letter: DeadLetter) -> None:
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    from common.words.printable import one_line
    from common.words.wording import count

    place = f"{one_line(letter.step, 64)}  batch {letter.seq}, row {letter.position}"
    tried = f"  {count(letter.attempts, 'attempt')}, worker {one_line(letter.worker, 40) or 'unknown'}"
    show(Text.assemble((place, "bold"), (tried, "dim")))
    row = json.dumps(letter.row, ensure_ascii=False, default=str) if letter.row is not None else "(not kept)"
    facts = Table.grid(padding=(0, 2, 0, 0))
    facts.add_row(Text("error", "dim"), Text(one_line(letter.error, LONGEST_ERROR)))
    facts.add_row(Text("row", "dim"), Text(one_line(row, LONGEST_ROW)))
    show(Padding(facts, (0, 0, 0, 2)))
    click.echo()


def _json_line(letter: DeadLetter) -> str:
    from dataclasses import asdict

    # Escaped: the contents of a row must not upset a terminal or an output that is not UTF-8.
    return json.dumps(asdict(letter), default=str)

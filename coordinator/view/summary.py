"""The final summary of a run: what there is, where it is, and what to do next."""

from __future__ import annotations

import os
from pathlib import Path

from rich.text import Text

from common.words.printable import one_line, printable
from common.words.wording import count, duration
from coordinator.dataset.folder_names import how_to_load
from coordinator.view.view import Outcome

NAME_WIDTH = 11
"""Width of the names on the left."""
ERROR_WIDTH = 300
"""Width of an error that stands for many; `failures` shows it in full."""


def summary(outcome: Outcome, command: str = "") -> list[Text]:
    """Lines to print as they are, neither wrapped nor cut: paths and commands must stay whole to be copied.

    Args:
        command: resumes the run.
    """
    lines = [Text(_headline(outcome), "bold" if outcome.status == "complete" else "bold yellow"), Text()]
    if outcome.status == "complete":
        lines += _complete(outcome, command)
    else:
        lines += _incomplete(outcome, command)
    return lines


def _headline(outcome: Outcome) -> str:
    run, rows = outcome.run_id, count(sum(outcome.rows.values()), "row")
    failed = sum(outcome.failed.values())
    without = f", without the {count(failed, 'row')} that failed" if failed else ""
    if outcome.status == "complete" and outcome.reason:
        return f"{run} is complete: {outcome.reason}"
    if outcome.reused:
        return f"{run} was already complete, nothing was done: {rows}{without}"
    match outcome.status:
        case "complete":
            return f"{run} is complete: {rows} in {duration(outcome.elapsed)}{without}"
        case "stopped":
            return f"{run} was stopped after {duration(outcome.elapsed)}; it is not complete"
        case "halted":
            return f"{run} halted after {duration(outcome.elapsed)}; it is not complete"
        case "failed":
            return f"{run} failed after {duration(outcome.elapsed)}; it is not complete"


def _complete(outcome: Outcome, command: str) -> list[Text]:
    lines = [_line("dataset", _shown(outcome.dataset))] if outcome.dataset is not None else []
    lines += _rows(outcome, "rows")
    lines += _skipped(outcome)
    lines += _failed(outcome)
    lines += _bill(outcome)
    if outcome.dataset is not None and any(outcome.rows.values()):
        lines.append(_line("load it", how_to_load(outcome.dataset)))
    if outcome.pushed:
        lines.append(_line("on the hub", outcome.pushed))
    if outcome.push_error:
        lines += _block("not pushed", printable(outcome.push_error).strip())
        lines.append(_line("push again", command))
    if outcome.reused:
        lines.append(_line("again", "to start over, add --fresh to the command"))
    return lines


def _incomplete(outcome: Outcome, command: str) -> list[Text]:
    reason = printable(outcome.reason).strip()
    lines = _block("why", reason) if reason else []
    # Nothing of a dry run is kept, so there is nothing to point to.
    if outcome.partial is not None and _is_kept(outcome):
        lines.append(_line("so far", _shown(outcome.partial)))
        lines += _rows(outcome, "")
    lines += _skipped(outcome)
    lines += _failed(outcome)
    lines += _bill(outcome)
    if outcome.run_directory is not None and _is_kept(outcome):
        lines.append(_line("log", _shown(outcome.run_directory / "pipeline.log")))
    if command and command not in reason:
        lines.append(_line("resume with", command))
    return lines


def _rows(outcome: Outcome, name: str) -> list[Text]:
    lines = []
    for leaf, rows in outcome.rows.items():
        lines.append(_line(name, f"{leaf}: {count(rows, 'row')}"))
        name = ""
    return lines


def _skipped(outcome: Outcome) -> list[Text]:
    lines, name = [], "skipped"
    for step, rows in outcome.skipped.items():
        lines.append(_line(name, f"{step}: {count(rows, 'row')}"))
        name = ""
    return lines


def _failed(outcome: Outcome) -> list[Text]:
    lines, name = [], "failed"
    for step, rows in outcome.failed.items():
        if rows:
            lines.append(_line(name, f"{step}: {count(rows, 'row')}", "red"))
            name = ""
            if step in outcome.errors and outcome.errors[step] not in outcome.reason:
                lines.append(_line("", f"the first: {one_line(outcome.errors[step], ERROR_WIDTH)}"))
    if lines and _is_kept(outcome):
        lines.append(_line("see them", f"pipeline-coordinator failures {outcome.run_id}"))
    return lines


def _bill(outcome: Outcome) -> list[Text]:
    return [_line(name, text) for name, text in outcome.bill.words()]


def _is_kept(outcome: Outcome) -> bool:
    return outcome.run_directory is not None and outcome.run_directory.is_dir()


def _block(name: str, text: str) -> list[Text]:
    first, *others = text.split("\n")
    return [_line(name, first), *(_line("", line) for line in others)]


def _line(name: str, text: str, style: str = "") -> Text:
    return Text.assemble((f"  {name:<{NAME_WIDTH}} ", "dim"), (text, style))


def _shown(path: Path | None) -> str:
    """The path, relative if it is below the working directory."""
    if path is None:
        return ""
    try:
        return f".{os.sep}{path.relative_to(Path.cwd())}"
    except (ValueError, OSError):
        return str(path)

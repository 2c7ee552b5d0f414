"""The progress of a run as a table that fits its terminal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from common.words.printable import one_line
from common.words.wording import about, count, duration, size
from coordinator.view.view import RunView, StepView

LINES_AROUND = 6
"""Lines besides the steps: header, blank, column names, what is left out, footer, and the cursor's line."""
FEWEST_STEPS = 3
GAP = 2
SHORTEST_NAME, LONGEST_NAME = 8, 30


@dataclass(frozen=True, slots=True)
class _Column:
    """A column. On a narrow terminal, those with the highest `spare` are left out first; None means never."""

    title: str
    width: int
    cell: Callable[[StepView], str]
    spare: int | None = None


_COLUMNS = (
    _Column("kind", 9, lambda step: step.kind, 5),
    _Column("batches", 11, lambda step: batches(step)),
    _Column("rows out", 9, lambda step: f"{step.rows_out:,}"),
    _Column("rows/s", 6, lambda step: rate(step), 1),
    _Column("skipped", 7, lambda step: number(step.rows_skipped)),
    _Column("failed", 6, lambda step: number(step.rows_failed)),
    _Column("in flight", 9, lambda step: number(step.in_flight), 3),
    _Column("waiting", 7, lambda step: number(step.waiting), 4),
    _Column("workers", 7, lambda step: workers(step), 2),
)


def progress_table(view: RunView, width: int, height: int) -> Group:
    """The run in at most `height` lines of at most `width` characters; at least three steps are always shown."""
    shown, hidden = _chosen(view.steps, max(height - LINES_AROUND, FEWEST_STEPS))
    titles = {column.title for column in _COLUMNS} - ({"skipped"} if not skips(view) else set())
    columns, room = _fitting(width, max((len(step.name) for step in view.steps), default=0), titles)
    table = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style="bold")
    table.add_column("step", no_wrap=True, overflow="ellipsis", max_width=room)
    for column in columns:
        table.add_column(column.title, justify="left" if column.title == "kind" else "right", no_wrap=True)
    for step in shown:
        cells = [
            Text(column.cell(step), "red" if column.title == "failed" and step.rows_failed else "")
            for column in columns
        ]
        table.add_row(Text(step.name), *cells, style="dim" if step.is_done else "")
    lines: list[RenderableType] = [_header(view, width), Text(), table]
    if hidden:
        lines.append(Text(one_line(_left_out(hidden), width), "dim"))
    lines.append(Text(one_line(_footer(view), width), "dim"))
    if view.bill and height - len(shown) > LINES_AROUND:
        lines.append(Text(one_line(_bill(view), width), "dim"))
    return Group(*lines)


def _fitting(width: int, longest_name: int, titles: set[str]) -> tuple[list[_Column], int]:
    """Those of the columns that fit beside the step names, and the width left for the names."""
    columns = [column for column in _COLUMNS if column.title in titles]
    while True:
        room = width - sum(column.width + GAP for column in columns) - GAP
        spare = [column for column in columns if column.spare is not None]
        if room >= min(longest_name, LONGEST_NAME) or not spare:
            return columns, max(room, SHORTEST_NAME)
        columns.remove(max(spare, key=lambda column: column.spare or 0))


def skips(view: RunView) -> bool:
    """Whether rows have passed a step by."""
    return any(step.rows_skipped for step in view.steps)


def batches(step: StepView) -> str:
    """Batches done out of all: `31/40`; `31/40+` while there may be more."""
    if step.batches_total is not None:
        return f"{step.batches_done:,}/{step.batches_total:,}"
    return f"{step.batches_done:,}/{max(step.batches, step.batches_done):,}+"


def workers(step: StepView) -> str:
    """Live workers: `2`, or `2+1` while one of three is loading."""
    return f"{step.workers}+{step.loading}" if step.loading else f"{step.workers}"


def number(many: int) -> str:
    """`1,200`; a dash for zero."""
    return f"{many:,}" if many else "-"


def rate(step: StepView) -> str:
    """Rows per second: `4.2`, `1,200`; a dash if there are none."""
    rows = 0.0 if step.is_done else step.rows_per_second or 0.0
    if not rows:
        return "-"
    return f"{rows:,.1f}" if rows < 10 else f"{rows:,.0f}"


def _header(view: RunView, width: int) -> Text:
    left = f"about {about(view.seconds_left)} left" if view.seconds_left else ""
    parts = [f"   {part}" for part in (view.state, duration(view.elapsed), left) if part]
    rest = "".join(parts)
    while parts and len(rest) + SHORTEST_NAME > width:
        rest = rest.removesuffix(parts.pop())
    run = one_line(view.run_id, max(width - len(rest), SHORTEST_NAME))
    return Text(run + rest, "bold")


def _footer(view: RunView) -> str:
    rows = sum(view.rows_written.values())
    return f"{count(rows, 'row')} of the dataset on disk, {size(view.payload_bytes)} of payloads in the broker"


def _bill(view: RunView) -> str:
    return ", ".join(f"{name} {text}".strip() for name, text in view.bill.words() if name != "saved")


def _chosen(steps: Sequence[StepView], room: int) -> tuple[list[StepView], list[StepView]]:
    """The steps to show, active ones first, and the rest; both in the order of the pipeline."""
    if len(steps) <= room:
        return list(steps), []

    def urgency(index: int) -> tuple[int, int]:
        step = steps[index]
        rank = 0 if step.is_active else 2 if not step.is_done else 1 if step.rows_failed else 3
        return rank, index

    chosen = set(sorted(range(len(steps)), key=urgency)[:room])
    shown = [step for index, step in enumerate(steps) if index in chosen]
    return shown, [step for index, step in enumerate(steps) if index not in chosen]


def _left_out(hidden: Sequence[StepView]) -> str:
    done = sum(step.is_done for step in hidden)
    active = sum(step.is_active for step in hidden)
    groups = ((active, "at work"), (len(hidden) - done - active, "not at work yet"), (done, "done"))
    said = ", ".join(f"{number} {what}" for number, what in groups if number)
    return f"and {len(hidden)} more step{'s' if len(hidden) > 1 else ''}: {said}"

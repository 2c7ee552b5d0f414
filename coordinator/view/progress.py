"""Shows a run to a person: a table that is redrawn on a terminal, plain lines anywhere else."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from rich.console import Console, RenderableType
from rich.live import Live
from rich.text import Text

from common.words.printable import printable
from common.words.wording import count
from coordinator.view.printable import Printable
from coordinator.view.progress_table import batches, progress_table
from coordinator.view.summary import summary
from coordinator.view.view import Outcome, RunView, StepView

REDRAWS_PER_SECOND = 4.0
LINE_SECONDS = 5.0
STEPS_IN_A_LINE = 6


def make_reporter(console: Console, command: str = "") -> ConsoleReporter:
    """The reporter that suits the console. Use it in a `with` block, so that the terminal is restored after an error.

    Args:
        command: resumes the run if it ends early; shown at the end.
    """
    if console.is_terminal and not console.is_dumb_terminal:
        return LiveReporter(console, command)
    return PlainReporter(console, command)


class ConsoleReporter(ABC):
    """What both reporters share; see `coordinator.view.view.Reporter`."""

    def __init__(self, console: Console, command: str = "") -> None:
        self._console = console
        self._command = command

    @abstractmethod
    def update(self, view: RunView) -> None:
        """Shows the run as it is now, if an update is due."""

    def say(self, line: str) -> None:
        """Prints a line at once."""
        # Indented from the second line on, so that foreign text cannot pass for a line of Penstock's own.
        self._print(Text("\n    ".join(printable(line).split("\n"))))

    def finish(self, outcome: Outcome) -> None:
        """Prints how the run ended."""
        self.close()
        self._print(Text(), *summary(outcome, self._command))

    @abstractmethod
    def close(self) -> None:
        """Restores the terminal; may be called again."""

    def _print(self, *lines: Text) -> None:
        # Not wrapped at the edge: commands and paths must stay whole to be copied.
        for line in lines:
            self._console.print(Printable(line), soft_wrap=True, highlight=False, markup=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class LiveReporter(ConsoleReporter):
    """A table at the bottom of the terminal; messages appear above it."""

    def __init__(self, console: Console, command: str = "") -> None:
        super().__init__(console, command)
        self._shown: RunView | None = None
        self._live: Live | None = None

    def update(self, view: RunView) -> None:
        """Stores the view; a separate thread draws it, at most 4 times per second."""
        self._shown = view
        if self._live is None:
            self._live = Live(get_renderable=self._table, console=self._console, refresh_per_second=REDRAWS_PER_SECOND)
            self._live.start()
            # Live hides the cursor, and a process that is killed could not bring it back.
            self._console.show_cursor(True)

    def close(self) -> None:
        """Draws the table one last time and leaves it there."""
        live, self._live = self._live, None
        if live is not None:
            live.stop()

    def _table(self) -> RenderableType:
        if self._shown is None:
            return Text()
        return Printable(progress_table(self._shown, self._console.width, self._console.height))


class PlainReporter(ConsoleReporter):
    """A line every 5 seconds if anything has changed; no colours, and nothing that moves the cursor."""

    def __init__(self, console: Console, command: str = "") -> None:
        super().__init__(console, command)
        self._printed_at = 0.0
        self._printed = ""

    def update(self, view: RunView) -> None:
        """Prints a line if 5 seconds of the run have passed since the last one."""
        if view.elapsed - self._printed_at < LINE_SECONDS:
            return
        line = _progress_line(view)
        if line != self._printed:
            self._print(Text(f"{view.elapsed:.1f}s  {line}"))
            self._printed_at, self._printed = view.elapsed, line

    def close(self) -> None:
        """Does nothing: nothing is open."""

    def _print(self, *lines: Text) -> None:
        super()._print(*(Text(line.plain) for line in lines))


def _progress_line(view: RunView) -> str:
    state = "" if view.state == "running" else f"{view.state} | "
    steps, left_out = _telling(view.steps)
    said = " | ".join(_step_words(step) for step in steps)
    return printable(f"{state}{said}{f' | {left_out}' if left_out else ''}")


def _step_words(step: StepView) -> str:
    failed = f", {count(step.rows_failed, 'row')} failed" if step.rows_failed else ""
    skipped = f", {step.rows_skipped:,} skipped" if step.rows_skipped else ""
    return f"{step.name} {batches(step)} batches, {count(step.rows_out, 'row')}{skipped}{failed}"


def _telling(steps: Sequence[StepView]) -> tuple[Sequence[StepView], str]:
    """The steps to name in a line, and a summary of the others."""
    if len(steps) <= STEPS_IN_A_LINE:
        return steps, ""
    active = [step for step in steps if step.is_active][:STEPS_IN_A_LINE]
    done = sum(step.is_done for step in steps)
    return active, f"{done} of {count(len(steps), 'step')} done"

"""Makes what rich draws from foreign text safe for a terminal; for the text itself, see `common/words/printable.py`."""

from __future__ import annotations

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.segment import Segment

from common.words.printable import printable


class Printable:
    """Anything that rich draws, with only rich's own control codes for the terminal."""

    def __init__(self, drawn: RenderableType) -> None:
        self._drawn = drawn

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """The method that rich calls."""
        for segment in console.render(self._drawn, options):
            if segment.control or segment.text == "\n":
                yield segment
            else:
                yield Segment(printable(segment.text), segment.style)

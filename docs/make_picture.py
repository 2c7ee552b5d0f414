"""Writes docs/kill-and-resume.svg: what a terminal shows when a run is killed with `kill -9` and then resumed.

A shell in a terminal of 90 columns runs the quickstart, slowed down by a latency of each answer. In the midst of it the
coordinator is killed; the same command then resumes the run. Every character of the picture is what the terminal
showed.

    pip install -e '.[docs,embedded]' && python docs/make_picture.py
"""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import shutil
import signal
import struct
import sys
import tempfile
import termios
import time
from collections.abc import Callable
from itertools import groupby
from pathlib import Path

import psutil
import pyte
from pyte.screens import Char
from rich.console import Console
from rich.style import Style
from rich.terminal_theme import TerminalTheme
from rich.text import Text

REPOSITORY = Path(__file__).resolve().parent.parent
PICTURE = Path(__file__).with_name("kill-and-resume.svg")
COLUMNS, LINES = 90, 60
COMMAND = "pipeline-coordinator run quickstart.yaml --output plain --set generate.llm.latency=0.1"
KILLED_AT = re.compile(r"^generate .*?\b([34],\d{3})\b", re.MULTILINE)
"""Some way into the answers: this many rows of `generate` are on the screen."""
TIMEOUT = 90.0
FAINT, FAINT_AS = 2, 90
"""Codes of ANSI: faint, grey."""
COLOURS = {"brown": "yellow", "brightblack": "bright_black"}
"""Names of pyte that rich has others for."""
THEME = TerminalTheme(
    background=(22, 24, 29),
    foreground=(214, 217, 222),
    normal=[
        (60, 64, 72),
        (240, 113, 120),
        (152, 195, 121),
        (229, 192, 123),
        (97, 175, 239),
        (198, 120, 221),
        (86, 182, 194),
        (214, 217, 222),
    ],
    bright=[(132, 138, 150)] * 8,
)
TITLE = "kill -9 in mid-run; the same command resumes it"
SVG = """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img"
    aria-label="A run is killed in its midst; the same command resumes and completes it">
<style>
.terminal-matrix {{
    font-family: "DejaVu Sans Mono", Menlo, Consolas, monospace;
    font-size: {char_height}px; line-height: {line_height}px; font-variant-east-asian: full-width;
}}
.terminal-title {{ font-family: system-ui, sans-serif; font-size: 15px; }}
{styles}
</style>
<defs>
<clipPath id="terminal-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}" />
</clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#terminal-clip-terminal)">
{backgrounds}
<g class="terminal-matrix">
{matrix}
</g>
</g>
</svg>
"""


class Screen(pyte.Screen):
    """A screen that knows of faint text, which pyte does not, and shows it in grey."""

    def select_graphic_rendition(self, *attrs: int, **kwargs: bool) -> None:
        """Chooses how what follows looks."""
        super().select_graphic_rendition(*(FAINT_AS if code == FAINT else code for code in attrs), **kwargs)


class Terminal:
    """A shell in a terminal of its own, and the screen of that."""

    def __init__(self, folder: Path) -> None:
        self._screen = Screen(COLUMNS, LINES)
        self._stream = pyte.ByteStream(self._screen)
        environment = {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "HOME": str(folder),
            "TERM": "xterm-256color",
            "LANG": "C.UTF-8",
            "PS1": r"\[\e[1;32m\]$\[\e[0m\] ",
            "BASH_SILENCE_DEPRECATION_WARNING": "1",
            "PENSTOCK_CACHE_DIR": str(folder / "runs"),
        }
        self.pid, self._end = pty.fork()
        if self.pid == 0:
            os.chdir(folder)
            os.execvpe("bash", ["bash", "--noprofile", "--norc", "--noediting", "-i"], environment)
        fcntl.ioctl(self._end, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))

    @property
    def text(self) -> str:
        """What the screen shows."""
        return "\n".join(line.rstrip() for line in self._screen.display).rstrip()

    def type(self, command: str) -> None:
        """Enters a command."""
        os.write(self._end, command.encode() + b"\n")

    def press_enter(self) -> None:
        """Presses Enter, which is echoed and which nobody reads."""
        line = self._screen.cursor.y
        self.type("")
        self.wait(lambda _: self._screen.cursor.y == line + 1)
        with open(psutil.Process(self.pid).terminal(), "rb", buffering=0, opener=_beside) as keyboard:
            termios.tcflush(keyboard, termios.TCIFLUSH)

    def wait(self, shown: Callable[[str], bool]) -> None:
        """Reads what the terminal is sent, until its screen is as wanted. Raises TimeoutError."""
        deadline = time.monotonic() + TIMEOUT
        while not shown(self.text):
            if time.monotonic() > deadline:
                raise TimeoutError(self.text)
            if select.select([self._end], [], [], 0.1)[0]:
                self._stream.feed(os.read(self._end, 65536))

    def lines(self) -> Text:
        """What the screen shows, with its colours; without the last prompt."""
        shown = self.text.removesuffix("$").rstrip().count("\n") + 1
        buffer = self._screen.buffer
        rows = ([buffer[y][x] for x in range(COLUMNS)] for y in range(shown))
        return Text("\n").join(Text.assemble(*map(_piece, groupby(row, _style))) for row in rows)


def _beside(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOCTTY)


def _style(char: Char) -> Style:
    colour = None if char.fg == "default" else char.fg
    return Style(color=COLOURS.get(colour or "", colour), bold=char.bold, italic=char.italics)


def _piece(piece: tuple[Style, object]) -> tuple[str, Style]:
    style, chars = piece
    return "".join(char.data for char in chars), style  # type: ignore[attr-defined]


def play(folder: Path) -> Text:
    """Runs, kills, resumes; returns what the terminal showed."""
    shutil.copytree(REPOSITORY / "examples", folder, dirs_exist_ok=True)
    terminal = Terminal(folder)
    try:
        terminal.wait(lambda text: text.endswith("$"))
        terminal.type(COMMAND)
        terminal.wait(lambda text: KILLED_AT.search(text) is not None)
        (coordinator,) = psutil.Process(terminal.pid).children()
        terminal.press_enter()  # so that the word of the shell has a line of its own
        coordinator.send_signal(signal.SIGKILL)
        terminal.wait(lambda text: text.endswith("\n$") and "\nKilled" in text)
        terminal.type(COMMAND)
        terminal.wait(lambda text: text.endswith("\n$") and "load it" in text)
        return terminal.lines()
    finally:
        terminal.type("exit")
        os.waitpid(terminal.pid, 0)


def main() -> None:
    """Writes the picture."""
    with tempfile.TemporaryDirectory() as folder:
        shown = play(Path(folder).resolve())
    console = Console(width=COLUMNS, record=True, file=open(os.devnull, "w"), force_terminal=True)  # noqa: SIM115
    console.print(shown, "\n", soft_wrap=True)
    svg = console.export_svg(title=TITLE, theme=THEME, code_format=SVG, unique_id="terminal")
    PICTURE.write_text(svg)


if __name__ == "__main__":
    main()

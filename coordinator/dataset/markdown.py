"""Foreign text (a description, a column's name, a first row) as it appears in a card: shown, never interpreted."""

from __future__ import annotations

import re

from common.words.printable import printable

_MARKS = re.compile(r"[\\`*_\[\]<>&#|~$!]")
_ESCAPED = r"\\\g<0>"
_FIRST = re.compile(r"^([-+=:]|\d+(?=[.)]))")
"""What begins a list, a heading or a rule at the start of a line."""
_BACKTICKS = re.compile(r"`+")


def paragraphs(text: str) -> str:
    """Plain text: lines stay lines of a paragraph, and an empty line separates two paragraphs."""
    lines = (line.strip() for line in printable(text).strip().split("\n"))
    return "\n".join(_FIRST.sub(_escaped_first, _MARKS.sub(_ESCAPED, line)) for line in lines)


def inline(text: str) -> str:
    """Plain text on one line, as in a heading or a cell; not at the start of a line."""
    return _MARKS.sub(_ESCAPED, " ".join(printable(text).split()))


def code(text: str) -> str:
    """A code span on one line, also inside a cell."""
    shown = " ".join(printable(text).split()) or " "
    fence = "`" * (1 + max(map(len, _BACKTICKS.findall(shown)), default=0))
    space = " " if shown.startswith("`") or shown.endswith("`") else ""
    escaped = shown.replace("|", "\\|")
    return f"{fence}{space}{escaped}{space}{fence}"


def fenced(text: str, language: str) -> str:
    """A code block."""
    shown = printable(text).rstrip()
    fence = "```"
    while fence in shown:
        fence += "`"
    return f"{fence}{language}\n{shown}\n{fence}\n"


def _escaped_first(first: re.Match[str]) -> str:
    return f"{first[1]}\\" if first[1].isdigit() else f"\\{first[1]}"

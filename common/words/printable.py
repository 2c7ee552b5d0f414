"""Foreign text (from steps, rows, endpoints), made safe for a terminal and a log."""

from __future__ import annotations

import json
import logging
import re

_ESCAPE_SEQUENCE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\^_])")
# Control characters, marks that change the writing direction, and lone surrogates, which cannot be encoded.
_UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def printable(text: str) -> str:
    """The text as a terminal would finally show it, in plain characters, line breaks and tabs.

    Colours go; of a line that was written over (carriage return) the last version stays; any other control character
    is shown by its escape, such as `\\x00`.
    """
    text = _ESCAPE_SEQUENCE.sub("", text)
    if "\r" in text:
        text = "\n".join(line.rstrip("\r").rpartition("\r")[2] for line in text.split("\n"))
    return _UNPRINTABLE.sub(lambda match: match.group().encode("unicode_escape").decode("ascii"), text)


def quoted(text: str) -> str:
    """A string as Python reads it, readable letters unescaped; always printable."""
    return printable(json.dumps(text, ensure_ascii=False))


class PrintableFormatter(logging.Formatter):
    """For records shown on a terminal: they contain text from rows or endpoints."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as text."""
        return printable(super().format(record))


def one_line(text: str, limit: int) -> str:
    """The text as one line of at most `limit` characters."""
    # Cut first: a row may be megabytes of text, and one line is shown.
    longest = limit * 8
    line = " ".join(printable(text[:longest]).split())
    return line if len(line) <= limit and len(text) <= longest else f"{line[: limit - 3]}..."

"""`pipeline.log`: the messages of the coordinator, the workers and the steps of a run, in one file.

A line is `2026-11-22T12:00:01.123Z INFO step=generate worker=ab12cd34 text`. The further lines of a text, such as a
traceback, follow indented, so a line that begins with a time is always a record.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import time
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType

from common.words.printable import one_line, printable

LONGEST_TEXT = 20_000
LONGEST_NAME = 64
LEVEL = re.compile(r"[A-Z]{1,10}")
INDENT = "    "


class PipelineLog:
    """Appends to the log of a run. Every call is one write, so lines of other processes do not tear it.

    Example:
        >>> with PipelineLog.open(directory.log) as log:
        ...     logging.getLogger("coordinator").addHandler(log.handler())
        ...     log.write_shipped(b'{"time": 1.0, "level": "INFO", "step": "load", "worker": "ab12", "text": "ready"}')
    """

    def __init__(self, path: Path, file: int) -> None:
        self.path = path
        self._file = file

    @classmethod
    def open(cls, path: Path) -> PipelineLog:
        """Opens the log at a path, or creates it. Raises OSError if it cannot be opened."""
        return cls(path, os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600))

    def write_shipped(self, *lines: bytes) -> None:
        """Appends records shipped by workers: JSON objects with time (seconds), level, step, worker and text.

        Anything else is appended as it is and marked as unreadable: anyone who can write to the broker can send
        anything.

        Raises:
            OSError: the disk is full.
        """
        self._append("".join(_shipped(line) for line in lines))

    def handler(self) -> logging.Handler:
        """A handler for the coordinator's own records. A record that cannot be written is lost, and nothing else."""
        return _LogHandler(self)

    def write(self, when: float, level: str, text: str, **fields: str) -> None:
        """Appends one record.

        Args:
            when: seconds since 1970.
            fields: written before the text, as `name=value`.

        Raises:
            OSError: the disk is full.
        """
        self._append(_record(when, level, text, fields))

    def close(self) -> None:
        """Closes the file; may be called again."""
        if self._file != -1:
            os.close(self._file)
            self._file = -1

    def _append(self, text: str) -> None:
        data = text.encode("utf-8", "backslashreplace")
        while data and self._file != -1:
            data = data[os.write(self._file, data) :]

    def __enter__(self) -> PipelineLog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _LogHandler(logging.Handler):
    def __init__(self, log: PipelineLog) -> None:
        super().__init__()
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        # Not logging's own error handling, which would print a traceback across the progress.
        with contextlib.suppress(OSError, TypeError, ValueError):
            self._log.write(record.created, record.levelname, self.format(record), by="coordinator")


def _shipped(line: bytes) -> str:
    try:
        fields = json.loads(line)
    except (ValueError, RecursionError):
        fields = None
    if not isinstance(fields, dict) or not isinstance(fields.get("text"), str):
        shown = line[:LONGEST_TEXT].decode("utf-8", "backslashreplace")
        return _record(time.time(), "WARNING", f"a worker shipped a line that is not a record: {shown}", {})
    when, level = fields.get("time"), fields.get("level")
    named = {name: str(fields[name]) for name in ("step", "worker") if fields.get(name)}
    return _record(
        when if isinstance(when, (int, float)) else time.time(),
        level if isinstance(level, str) else "INFO",
        fields["text"],
        named,
    )


def _record(when: float, level: str, text: str, fields: dict[str, str]) -> str:
    try:
        stamp = datetime.fromtimestamp(when, UTC)
    except (OverflowError, ValueError, OSError):
        stamp = datetime.now(UTC)
    time_text = stamp.isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"
    level = level if LEVEL.fullmatch(level) else "INFO"
    named = "".join(f"{name}={one_line(value, LONGEST_NAME).replace(' ', '_')} " for name, value in fields.items())
    first, *others = printable(text[:LONGEST_TEXT]).rstrip().split("\n")
    return f"{time_text} {level} {named}{first}\n" + "".join(f"{INDENT}{line}\n" for line in others)

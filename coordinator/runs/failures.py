"""`failures.jsonl`: the dead letters of a run, one JSON object per line, for people and for `jq`.

A line is a letter, or the mark that a batch was redone, `{"step", "seq", "attempt", "redone": true}`: letters of that
batch with a lower attempt are void. The file is append-only. Letters are dropped from the broker only once they are
here. A crash in between may write some of them twice; readers see each letter once.
"""

from __future__ import annotations

import json
import logging
import math
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel, TypeAdapter, ValidationError

from common.payloads.durable import sync_file, sync_folder
from common.protocol.batch import DeadLetter

logger = logging.getLogger(__name__)

WRITER = "coordinator"
"""The author of a dead letter for a row that cannot be written to a part; workers write all others."""
MASK_BITS = 64


class _Redone(BaseModel):
    step: str
    seq: int
    attempt: int


class FailureLog:
    """The dead letters of one run. One process appends; others may read at the same time."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, letters: Sequence[DeadLetter]) -> None:
        """Stores letters; they are on disk when this returns.

        Values without a JSON type become text: a time in ISO format, bytes as the text that they hold.

        Raises:
            OSError: the disk is full; some of the letters may have been written. Append all of them again.
        """
        if letters:
            self._write(_letter_line(letter) for letter in letters)

    def redone(self, step: str, seq: int, attempt: int) -> None:
        """Marks that the batch is redone as `attempt`, which makes its earlier failures void.

        Raises:
            OSError: the disk is full.
        """
        self._write([json.dumps({"step": step, "seq": seq, "attempt": attempt, "redone": True})])

    def read(self) -> Iterator[DeadLetter]:
        """The letters that count, each once, in the order they were appended, from a file of any size.

        Memory: one number per batch that was redone, and one per 64 positions of a batch that has letters.
        """
        latest = self._latest_attempts()
        adapter = TypeAdapter(DeadLetter)
        seen: dict[tuple[str, int, int, bool, int], int] = {}
        unreadable = 0
        for fields in self._lines():
            if fields is not None and "redone" in fields:
                continue
            try:
                letter = adapter.validate_python(fields)
            except ValidationError:
                unreadable += 1
                continue
            if letter.attempt < latest.get((letter.step, letter.seq), 0):
                continue
            block, place = divmod(letter.position, MASK_BITS)
            # The worker does not matter: if the broker has lost a batch, another worker may do it again.
            key = (letter.step, letter.seq, letter.attempt, letter.worker == WRITER, block)
            mask = seen.get(key, 0)
            if not mask >> place & 1:
                seen[key] = mask | 1 << place
                yield letter
        if unreadable:
            logger.warning("%s: %d lines are not dead letters and were skipped", self.path, unreadable)

    def counts(self) -> dict[str, int]:
        """Failed rows per step; steps without any are left out."""
        return dict(Counter(letter.step for letter in self.read()))

    def first_errors(self, steps: Iterable[str]) -> dict[str, str]:
        """The first error of each of these steps, in their order; steps without an error are left out."""
        wanted = list(steps)
        found: dict[str, str] = {}
        for letter in self.read() if wanted else ():
            if letter.step in wanted:
                found.setdefault(letter.step, letter.error)
                if len(found) == len(wanted):
                    break
        return {step: found[step] for step in wanted if step in found}

    def _latest_attempts(self) -> dict[tuple[str, int], int]:
        latest: dict[tuple[str, int], int] = {}
        for fields in self._lines(containing=b'"redone"'):
            if fields is None or fields.get("redone") is not True:
                continue
            try:
                mark = _Redone.model_validate(fields)
            except ValidationError:
                continue
            key = (mark.step, mark.seq)
            latest[key] = max(mark.attempt, latest.get(key, 0))
        return latest

    def _lines(self, containing: bytes = b"") -> Iterator[dict[str, Any] | None]:
        """Each whole line, parsed; None for a line that is not a JSON object. A torn last line is left out."""
        try:
            file = self.path.open("rb")
        except FileNotFoundError:
            return
        with file:
            for line in file:
                if containing in line and line.strip() and line.endswith(b"\n"):
                    yield _parsed(line)

    def _write(self, lines: Iterable[str]) -> None:
        is_new = not self.path.exists()
        with self.path.open("ab+") as file:
            if end := file.seek(0, os.SEEK_END):
                file.seek(end - 1)
                if file.read(1) != b"\n":  # a crash or a full disk tore the last line
                    file.write(b"\n")
            for line in lines:
                # JSON can escape half a character, UTF-8 cannot encode it; backslashreplace writes exactly that escape.
                file.write(line.encode("utf-8", "backslashreplace"))
                file.write(b"\n")
            sync_file(file)
        if is_new:
            sync_folder(self.path.parent)


def _parsed(line: bytes) -> dict[str, Any] | None:
    try:
        fields = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return fields if isinstance(fields, dict) else None


def _letter_line(letter: DeadLetter) -> str:
    fields = {
        "step": letter.step,
        "seq": letter.seq,
        "attempt": letter.attempt,
        "position": letter.position,
        "error": letter.error,
        "attempts": letter.attempts,
        "worker": letter.worker,
        "row": _plain(letter.row),
    }
    return json.dumps(fields, ensure_ascii=False)


def _plain(value: object) -> object:
    """`value` in a form that JSON can hold."""
    match value:
        case None | bool() | int() | str():
            return value
        case float():
            return value if math.isfinite(value) else str(value)
        case bytes():
            return value.decode("utf-8", "backslashreplace")
        case datetime():
            return value.isoformat()
        case dict():
            return {str(name): _plain(item) for name, item in value.items()}
        case list() | tuple():
            return [_plain(item) for item in value]
    return str(value)

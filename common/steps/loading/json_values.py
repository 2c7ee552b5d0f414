"""The objects of a JSON text, one after another, however long the text."""

from __future__ import annotations

import io
import json
import re
import sys
from collections.abc import Iterator
from typing import Any

from common.errors import BadData, TwoOfOneName, UsageError

_CHUNK_CHARACTERS = 1 << 16
_NOT_BLANK = re.compile(r"\S")
TOO_DEEP = "it is nested too deeply; rows hold lists and dicts at most 31 levels deep"


class RowTooLong(UsageError):
    """The text of a row exceeds the loader's limit: a small compressed file may hold a line of gigabytes.

    Args:
        where: file and line.
    """

    def __init__(self, where: str, limit: int, what: str = "a line") -> None:
        super().__init__(
            f"{where}: {what} of more than {limit:,} bytes; if that is meant, set max_row_bytes of the loader"
        )


def decoder() -> json.JSONDecoder:
    """Decodes JSON as Python does, but raises TwoOfOneName instead of losing a value."""
    return json.JSONDecoder(object_pairs_hook=_object)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise TwoOfOneName(f"an object has two values called {twice!r}, and a row would keep one of them")
    return made


class JsonValues:
    """The objects of a JSON text, each with the line where it begins, read in chunks.

    The objects are the elements of one array, or follow one another.

    Args:
        shown: the file, for messages.
        longest: most characters of an object.
    """

    def __init__(self, text: io.TextIOWrapper, shown: str, longest: int = sys.maxsize) -> None:
        self._longest = longest
        self._text = text
        self._shown = shown
        self._buffer = ""
        self._position = 0
        self._line = 1
        self._decoder = decoder()

    def __iter__(self) -> Iterator[tuple[int, Any]]:
        in_array = self._next_character() == "["
        if in_array:
            self._position += 1
        while character := self._next_character():
            if in_array and character == "]":
                self._position += 1
                if self._next_character():
                    raise self._error("something follows the end of the array")
                return
            yield self._line, self._value()
            if in_array and (character := self._next_character()) == ",":
                self._position += 1
                if self._next_character() == "]":
                    raise self._error("a comma before the end of the array")
            elif in_array and character != "]":
                raise self._error(
                    "a comma or ] is missing after an element" if character else "the array is not closed"
                )
        if in_array:
            raise self._error("the array is not closed")

    def _next_character(self) -> str:
        """The next character other than white space, not consumed; empty at the end."""
        blank = 0
        while True:
            found = _NOT_BLANK.search(self._buffer, self._position)
            end = found.start() if found else len(self._buffer)
            self._line += self._buffer.count("\n", self._position, end)
            blank += end - self._position
            self._position = end
            if found:
                return found[0]
            if blank > self._longest:
                raise self._too_long("white space")
            if not self._fill():
                return ""

    def _value(self) -> Any:
        while True:
            try:
                value, end = self._decoder.raw_decode(self._buffer, self._position)
            except TwoOfOneName as error:
                raise BadData(f"{self._shown}:{self._line}: {error}") from None
            except json.JSONDecodeError as error:
                # Cut-off text fails at its end, or where its last string begins; anything else is an error.
                cut = error.pos >= len(self._buffer) - 16 or error.msg.startswith("Unterminated string")
                if cut and self._fill():
                    continue
                line = self._line + error.doc.count("\n", self._position, error.pos)
                raise BadData(f"{self._shown}:{line}: not JSON: {error.msg}") from None
            except ValueError as error:  # a number of thousands of digits
                raise self._error(str(error)) from None
            except RecursionError:
                raise BadData(f"{self._shown}:{self._line}: {TOO_DEEP}") from None
            if end == len(self._buffer) and not isinstance(value, dict | list) and self._fill():
                continue
            self._line += self._buffer.count("\n", self._position, end)
            self._position = end
            return value

    def _fill(self) -> bool:
        """Reads on, in larger pieces the longer the value, so that decoding it again stays cheap. False at the end."""
        kept = self._buffer[self._position :]
        if len(kept) > self._longest:
            raise self._too_long("an object")
        chunk = self._text.read(max(_CHUNK_CHARACTERS, len(kept)))
        if chunk:
            self._buffer, self._position = kept + chunk, 0
        return bool(chunk)

    def _too_long(self, what: str) -> RowTooLong:
        return RowTooLong(f"{self._shown}:{self._line}", self._longest, what)

    def _error(self, problem: str) -> BadData:
        return BadData(f"{self._shown}:{self._line}: not JSON: {problem}")

"""Steps that fail in every way a step can. A test gets a copy of this file as `failing_steps.py` beside its spec."""

from __future__ import annotations

import asyncio
import ctypes
import json
import logging
import os
import signal
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar

from common.errors import RowError
from common.steps import AsyncStep, GeneratorStep, GeneratorStepOutput, GlobalStep, Row, Step, StepInput, StepOutput

logger = logging.getLogger("a.library")


def note(path: str, ns: Iterable[int]) -> None:
    """Appends a line: the rows of one call."""
    if path:
        with Path(path).open("a") as file:
            file.write(json.dumps(list(ns)) + "\n")


def calls(path: str) -> int:
    """Calls noted so far."""
    return len(Path(path).read_text().splitlines()) if Path(path).exists() else 0


class Fragile(Step):
    """Adds `double`; raises for the rows in `bad`, or for all of them.

    `cause` is a file: the step raises only while it is there. After `times` noted calls it works.
    """

    bad: list[int] = []
    everything: bool = False
    cause: str = ""
    times: int = 0
    notes: str = ""

    @property
    def outputs(self) -> list[str]:
        return ["double"]

    def process(self, inputs: StepInput) -> StepOutput:
        note(self.notes, [row["n"] for row in inputs])
        if not self.times or calls(self.notes) <= self.times:
            self.look(inputs)
        yield [{**row, "double": 2 * row["n"]} for row in inputs]

    def look(self, inputs: list[Row]) -> None:
        for row in inputs:
            if (self.everything or row["n"] in self.bad) and (not self.cause or Path(self.cause).exists()):
                raise RuntimeError(f"row {row['n']} is bad")


class Whole(Fragile):
    """Its batches cannot be taken apart."""

    splittable: ClassVar[bool] = False


class FragileAsync(AsyncStep):
    """As `Fragile`, row by row."""

    bad: list[int] = []
    everything: bool = False
    cause: str = ""
    times: int = 0
    notes: str = ""

    @property
    def outputs(self) -> list[str]:
        return ["double"]

    async def process_row(self, row: Row) -> Row:
        n = row["n"]
        if self.everything or n in self.bad:
            note(self.notes, [n])
            gone = (self.cause and not Path(self.cause).exists()) or (self.times and calls(self.notes) > self.times)
            if not gone:
                raise RuntimeError(f"row {n} is bad")
        return {**row, "double": 2 * n}


class Pair(Step):
    """Joins two predecessors by place; raises for the rows in `bad` of either."""

    bad: list[int] = []

    @property
    def outputs(self) -> list[str]:
        return ["left", "right"]

    def process(self, *inputs: StepInput) -> StepOutput:
        first, second = inputs
        for row in (*first, *second):
            if row["n"] in self.bad:
                raise RuntimeError(f"row {row['n']} is bad")
        width = max(len(first), len(second))
        yield [
            {
                "left": first[place]["n"] if place < len(first) else None,
                "right": second[place]["n"] if place < len(second) else None,
            }
            for place in range(width)
        ]


class Spoils(Step):
    """Changes its input and raises: a retry must be given fresh rows."""

    notes: str

    def process(self, inputs: StepInput) -> StepOutput:
        note(self.notes, [row["n"] for row in inputs])
        for row in inputs:
            if "seen" in row:
                raise RuntimeError("these rows were seen before")
            row["seen"] = True
            row["text"] += "!"
        inputs.pop()
        if calls(self.notes) == 1:
            raise ValueError("once")
        yield [{"n": row["n"], "text": row["text"]} for row in inputs] + [{"n": -1, "text": "popped"}]


class Odd(Step):
    """Yields something other than rows for the row `bad`."""

    bad: int
    what: str

    def process(self, inputs: StepInput) -> StepOutput:
        found = any(row["n"] == self.bad for row in inputs)
        if not found:
            yield inputs
        elif self.what == "a tuple":
            yield tuple(inputs)  # type: ignore[misc]
        elif self.what == "a dict":
            yield inputs[0]  # type: ignore[misc]
        elif self.what == "a None row":
            yield [None if row["n"] == self.bad else row for row in inputs]  # type: ignore[misc]
        elif self.what == "nothing iterable":
            yield None  # type: ignore[misc]


class Odder(Step):
    """Returns no iterator at all, which its source does not show."""

    def process(self, inputs: StepInput) -> StepOutput:
        return {}.get("rows")  # type: ignore[return-value]


class Values(Step):
    """Puts a value that rows cannot hold into some rows, in place of their column `text` or beside it."""

    bad: dict[str, str]
    column: str = "value"
    in_place: bool = False

    @property
    def outputs(self) -> list[str]:
        return ["value"]

    def process(self, inputs: StepInput) -> StepOutput:
        rows = inputs if self.in_place else [dict(row) for row in inputs]
        for row in rows:
            row["value"] = row["n"]
            if what := self.bad.get(str(row["n"])):
                row[self.column] = self.make(what)
        yield rows

    def make(self, what: str) -> Any:
        made: dict[str, Any] = {
            "set": {1, 2},
            "object": object(),
            "int": 2**63,
            "key": {"deep": [{1: "one"}]},
            "str": "a text",
            "surrogate": "\ud800",
            "large": "x" * 3_000_000,
            "nested": {"list": [1, {"set": {1}}]},
        }
        return made[what]


class Breaks(GeneratorStep):
    """Rows 0, 1, 2...; raises at row `at` while the file `cause` is there; with `once` it removes the cause."""

    rows: int = 500
    at: int
    cause: str
    once: bool = False
    how: str = "raise"

    @property
    def outputs(self) -> list[str]:
        return ["n", "text"]

    def process(self, offset: int = 0) -> GeneratorStepOutput:
        while offset < self.rows:
            stop = min(offset + self.batch_size, self.rows)
            if offset <= self.at < stop and Path(self.cause).exists():
                if self.once:
                    Path(self.cause).unlink()
                end(self.how, self.at)
            yield [{"n": n, "text": f"row {n}"} for n in range(offset, stop)], stop == self.rows
            offset = stop


def end(how: str, n: int) -> None:
    """Raises, or ends the process."""
    if how == "exit":
        os._exit(1)
    if how == "exit 0":
        os._exit(0)
    if how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if how == "segfault":
        ctypes.string_at(0)
    if how == "sleep":
        time.sleep(3600)
    if how == "hold":  # the interpreter lock, as C code may
        ctypes.PyDLL(None).sleep(3600)
    if how == "sys.exit":
        sys.exit(3)
    raise ValueError(f"no row {n} today")


class Sizes(GeneratorStep):
    """Yields of the given sizes; the last one says so, or the generator just runs out."""

    sizes: list[int]
    says_last: bool = True

    @property
    def outputs(self) -> list[str]:
        return ["n"]

    def process(self, offset: int = 0) -> GeneratorStepOutput:
        n = 0
        for place, size in enumerate(self.sizes):
            rows = [{"n": n + more} for more in range(size) if n + more >= offset]
            n += size
            if rows or n > offset:
                yield rows, self.says_last and place == len(self.sizes) - 1


class Gaps(GeneratorStep):
    """Cannot make the rows in `bad`."""

    rows: int = 500
    bad: list[int]

    @property
    def outputs(self) -> list[str]:
        return ["n", "text"]

    def process(self, offset: int = 0) -> GeneratorStepOutput:
        for start in range(offset, self.rows, 7):
            numbers = range(start, min(start + 7, self.rows))
            yield [self._made(n) for n in numbers], numbers.stop == self.rows

    def _made(self, n: int) -> Row | RowError:
        return RowError(f"no row {n}", {"n": n}) if n in self.bad else {"n": n, "text": f"row {n}"}


class YieldsWrong(GeneratorStep):
    """Yields rows without saying whether they are the last ones."""

    def process(self, offset: int = 0) -> GeneratorStepOutput:
        yield [{"n": 0}]  # type: ignore[misc]


class Poison(Step):
    """Ends its worker for the rows in `bad`, while the file `cause` is there."""

    bad: list[int]
    how: str
    notes: str = ""
    cause: str = ""

    def process(self, inputs: StepInput) -> StepOutput:
        note(self.notes, [row["n"] for row in inputs])
        for row in inputs:
            if row["n"] in self.bad and (not self.cause or Path(self.cause).exists()):
                end(self.how, row["n"])
        yield [{**row, "double": 2 * row["n"]} for row in inputs]


class PoisonAsync(AsyncStep):
    """As `Poison`, row by row."""

    bad: list[int]
    how: str

    async def process_row(self, row: Row) -> Row:
        if row["n"] in self.bad and self.how == "wait":
            await asyncio.sleep(3600)
        if row["n"] in self.bad:
            end(self.how, row["n"])
        return {**row, "double": 2 * row["n"]}


class PoisonPair(Step):
    """Takes two predecessors, and ends its worker for the rows in `bad`."""

    bad: list[int]
    how: str

    def process(self, *inputs: StepInput) -> StepOutput:
        for row in inputs[0]:
            if row["n"] in self.bad:
                end(self.how, row["n"])
        yield [{"n": row["n"], "others": sum(len(other) for other in inputs[1:])} for row in inputs[0]]


class Everything(GlobalStep):
    """All rows; with `expand` twice, with `cause` (a file that is there) none: it ends as `how` says."""

    expand: bool = False
    cause: str = ""
    how: str = "raise"

    def process(self, inputs: StepInput) -> StepOutput:
        if self.cause and Path(self.cause).exists():
            end(self.how, len(inputs))
        yield [{**row, "all": len(inputs)} for row in inputs]
        if self.expand:
            yield [{**row, "all": -1} for row in inputs]


class NoLoad(Step):
    """Cannot be loaded while the file `cause` is there."""

    cause: str = ""

    def load(self) -> None:
        if not self.cause or Path(self.cause).exists():
            raise OSError("the model's weights are not there")

    def process(self, inputs: StepInput) -> StepOutput:
        yield inputs


class Talks(Step):
    """Prints and logs; writes to the file `unloaded` when it is unloaded."""

    unloaded: str = ""

    def process(self, inputs: StepInput) -> StepOutput:
        print(f"printed at row {inputs[0]['n']}")
        print("complained", file=sys.stderr)
        print("no line end", end="")
        print("")
        self._logger.info("logged at row %d", inputs[0]["n"])
        logger.warning("a library warns")
        yield inputs

    def unload(self) -> None:
        print("the last words")
        if self.unloaded:
            Path(self.unloaded).write_text("unloaded")


class Bulky(Step):
    """Adds bytes that do not compress."""

    size: int = 1_000

    def process(self, inputs: StepInput) -> StepOutput:
        yield [{**row, "blob": os.urandom(self.size)} for row in inputs]


class DiesOften(GeneratorStep):
    """Is killed once at every batch whose number is divisible by `every`, and succeeds the next time."""

    rows: int
    every: int
    notes: str

    @property
    def outputs(self) -> list[str]:
        return ["n"]

    def process(self, offset: int = 0) -> GeneratorStepOutput:
        while offset < self.rows:
            number = offset // self.batch_size
            seen = Path(self.notes).read_text().split() if Path(self.notes).exists() else []
            if number % self.every == 0 and str(number) not in seen:
                with Path(self.notes).open("a") as file:
                    file.write(f"{number}\n")
                end("kill", offset)
            stop = min(offset + self.batch_size, self.rows)
            yield [{"n": n} for n in range(offset, stop)], stop == self.rows
            offset = stop


class LoadsOnce(Step):
    """Is loaded once, kills its worker at the first row, and cannot be loaded again while `loaded` is there."""

    loaded: str

    def load(self) -> None:
        if Path(self.loaded).exists():
            raise MemoryError("something holds the device")

    def process(self, inputs: StepInput) -> StepOutput:
        Path(self.loaded).touch()
        end("kill", inputs[0]["n"])
        yield inputs

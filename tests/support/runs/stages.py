"""Pipelines whose steps take turns, and what their steps have noted of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.support.places import STEPS_FOLDER
from tests.support.runs.harness import Command, Harness

STAGED_STEPS = STEPS_FOLDER / "staged_steps.py"
ROWS = 200
STEPS = """
name: staged
steps:
  count: {{type: "staged_steps:Source", rows: 200, batch_size: 10, events: "{events}"}}
  one: {{type: "staged_steps:Model", after: count, input_batch_size: 10, events: "{events}", seconds: {seconds},
         output_mappings: {{double: twice}}}}
  two: {{type: "staged_steps:Client", after: one, input_batch_size: 7, events: "{events}", seconds: {seconds},
         concurrency: 10}}
  {more}
  keep: {{type: KeepColumns, after: {last}, columns: [n, twice, double]}}
"""
REVERSE = 'all: {{type: "staged_steps:Everything", after: two, input_batch_size: 30, events: "{events}"}}'
STAGE_NAMES = ("count", "one", "two", "keep")


@dataclass(frozen=True, slots=True)
class Event:
    """A step was loaded or unloaded. `beside` are steps whose workers were loaded and alive then."""

    what: str
    step: str
    pid: int
    beside: frozenset[str]


@dataclass(frozen=True, slots=True)
class Staged:
    """A pipeline in the folder of a harness, whose steps note their events in a file."""

    harness: Harness

    @property
    def path(self) -> Path:
        return self.harness.folder / "events"

    def write(self, load_groups: str = "", *, reverse: bool = False, seconds: float = 0.0) -> Path:
        """Writes the pipeline; `load_groups` in YAML. With `reverse`, a global step stands before the last one."""
        more, last = (REVERSE.format(events=self.path), "all") if reverse else ("", "two")
        return self.write_text(
            STEPS.format(events=self.path, more=more, last=last, seconds=seconds)
            + (f"load_groups: {load_groups}\n" if load_groups else "")
        )

    def write_text(self, text: str) -> Path:
        """Writes a pipeline of a test's own."""
        (self.harness.folder / "staged_steps.py").write_text(STAGED_STEPS.read_text())
        return self.harness.write_spec(text)

    def events(self, what: str = "") -> list[Event]:
        """In the order in which they came."""
        lines = self.path.read_text().splitlines() if self.path.exists() else []
        fields = [line.split() for line in lines if len(line.split()) == 4]
        found = [Event(event, step, int(pid), frozenset(beside.split(","))) for event, step, pid, beside in fields]
        return [event for event in found if what in ("", event.what)]

    def steps(self, what: str) -> list[str]:
        """The steps that were loaded, or unloaded, in that order."""
        return [event.step for event in self.events(what)]

    def check_turns(self, *stages: Iterable[str]) -> None:
        """No step was loaded while a worker of another stage was alive, and each that was loaded was unloaded."""
        of_step = {step: frozenset(stage) for stage in stages for step in stage}
        for event in self.events("load"):
            assert event.beside - {"-"} <= of_step[event.step], event
        assert sorted(self.steps("load")) == sorted(self.steps("unload"))

    def workers(self, url: str, steps: Sequence[str]) -> list[Command]:
        """External workers, one per name."""
        mine = ("--allow", "mysteps", "--allow", "staged_steps", "--base-dir", ".")
        return [self.harness.start("pipeline-worker", "--step", step, "--broker", url, *mine) for step in steps]

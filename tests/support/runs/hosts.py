"""A coordinator and workers that are started by hand, as on several hosts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from common.broker.connection import Connection
from common.broker.runs import RunRegistry
from tests.support.runs.harness import Command, Harness, wait_for

STEP_NAMES = ("load", "odd", "double", "async", "keep")
SPEC = """
name: shared
steps:
  load: {type: "mysteps:Count", rows: 300, batch_size: 7}
  odd: {type: "mysteps:KeepOdd", after: load, input_batch_size: 10}
  double: {type: "mysteps:Double", after: odd, input_batch_size: 9, output_mappings: {double: two}}
  async: {type: "mysteps:DoubleAsync", after: double, input_batch_size: 8, seconds: 0.001}
  keep: {type: KeepColumns, after: async, input_batch_size: 11, columns: [n, two, double]}
"""
SLOW = """
name: slow
steps:
  load: {type: "mysteps:Count", rows: 400, batch_size: 10}
  double: {type: "mysteps:Double", after: load, input_batch_size: 10, seconds: 0.1, notes: notes.txt}
"""
MINE = ("--allow", "mysteps", "--base-dir", ".")


def coordinator(harness: Harness, spec: Path, url: str, *arguments: str | Path, **settings: str) -> Command:
    return harness.start_run(spec, "--broker", url, "--workers", "external", *arguments, **settings)


def worker(harness: Harness, url: str, step: str, *arguments: str, **settings: str) -> Command:
    return harness.start("pipeline-worker", "--step", step, "--broker", url, *MINE, *arguments, **settings)


def said(command: Command, text: str) -> None:
    """Waits until the command has printed something."""
    wait_for(lambda: text in command.text, 60, f"'{text}' from {command.output.name}")


def check_end(harness: Harness, run: Command, workers: Sequence[Command]) -> None:
    """The run completes, its workers leave with 0, and nothing is left."""
    assert run.wait(100) == 0, run.text
    assert [one.wait(30) for one in workers] == [0] * len(workers), [one.text for one in workers]
    assert harness.left_over() == []


def run_ids(url: str) -> list[str]:
    return RunRegistry(Connection(url)).run_ids()


def the_run(url: str) -> str:
    (run_id,) = wait_for(lambda: run_ids(url), what="the run")
    return run_id

"""Pipelines for tests that interrupt runs: slow enough to be interrupted in the middle, with known results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tests.support.runs.harness import Command, Harness

CHAIN = """
name: chain
steps:
  count: {type: "mysteps:Count", rows: 600, batch_size: 20, seconds: 0.02}
  double: {type: "mysteps:Double", after: count, input_batch_size: 20, seconds: 0.1}
  keep: {type: KeepColumns, after: double, columns: [n, double]}
"""

GRAPH = """
name: graph
steps:
  count: {type: "mysteps:Count", rows: 500, batch_size: 17, seconds: 0.03}
  odd: {type: "mysteps:KeepOdd", after: count, input_batch_size: 10}
  slow: {type: "mysteps:Double", after: odd, input_batch_size: 12, seconds: 0.06, output_mappings: {double: two}}
  twice: {type: "mysteps:Twice", after: slow, input_batch_size: 7}
  async: {type: "mysteps:DoubleAsync", after: twice, input_batch_size: 13, concurrency: 30, seconds: 0.1}
  keep: {type: KeepColumns, after: async, columns: [n, copy, two, double]}
  reverse: {type: "mysteps:Reverse", after: async, input_batch_size: 40, seconds: 1.0}
  last: {type: "mysteps:Double", after: reverse, input_batch_size: 33, seconds: 0.2}
"""
"""A filter, an expander, batch sizes that do not fit, rows in flight, two leaves, a global step."""


GATED = """
name: gated
steps:
  count: {{type: "mysteps:Count", rows: 600, batch_size: 20, seconds: 0.02}}
  double: {{type: "mysteps:Gated", after: count, input_batch_size: 20, seconds: 0.02, gate: "{gate}", at: 100}}
  keep: {{type: KeepColumns, after: double, columns: [n, double]}}
"""
"""What the chain gives, by a worker that waits before row 100 for as long as a file is there."""


@dataclass(frozen=True, slots=True)
class Pipeline:
    """A spec, and the results of its uninterrupted run.

    Args:
        digests: per leaf, of rows and their order.
    """

    spec: str
    digests: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def left_alone(cls, harness: Harness, spec: str) -> Pipeline:
        """Runs the spec undisturbed."""
        code, said = harness.run(harness.write_spec(spec), timeout=100)
        assert code == 0, said
        assert harness.left_over() == []
        leaves = [path.name for path in (harness.run_directory / "dataset").iterdir() if path.is_dir()]
        return cls(spec, {leaf: harness.digest(leaf) for leaf in leaves})

    def start(self, harness: Harness, *arguments: str, **settings: str) -> Command:
        """Starts the run."""
        return harness.start_run(harness.write_spec(self.spec), *arguments, **settings)

    def finish(self, harness: Harness, *arguments: str, **settings: str) -> str:
        """Reruns the command; it must end like an uninterrupted run. Returns what it said."""
        command = self.start(harness, *arguments, **settings)
        self.check_end(harness, command)
        return command.text

    def check_end(self, harness: Harness, command: Command, workers: Sequence[Command] = ()) -> None:
        """The run completes: the rows of an uninterrupted run, in their order, and no leftovers.

        Args:
            workers: external ones, which leave by themselves.
        """
        assert command.wait(100) == 0, command.text
        assert [worker.wait(30) for worker in workers] == [0] * len(workers)
        found = {leaf: harness.digest(leaf) for leaf in self.digests}
        assert found == self.digests
        folder = harness.run_directory
        assert {path.name for path in (folder / "dataset").iterdir() if path.is_dir()} == set(self.digests)
        assert not (folder / "partial").exists()
        assert not (folder / "failures.jsonl").exists() or not (folder / "failures.jsonl").read_text()
        assert_nothing_runs(harness)


def assert_nothing_runs(harness: Harness) -> None:
    """Nothing of the harness stays alive."""
    assert [" ".join(process.cmdline()) for process in harness.left_over()] == []


def start_workers(harness: Harness, broker: str, *steps: str) -> list[Command]:
    """One external worker per name."""
    return [
        harness.start(
            "pipeline-worker",
            *("--step", step, "--broker", broker, "--allow", "mysteps", "--base-dir", str(harness.folder)),
        )
        for step in steps
    ]


def start_external(harness: Harness, broker: str, pipeline: Pipeline, *arguments: str, **settings: str) -> Command:
    """A coordinator that starts no workers."""
    return pipeline.start(harness, "--broker", broker, "--workers", "external", *arguments, **settings)

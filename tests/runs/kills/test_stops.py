"""Ctrl-C once and twice, in mid-run: batches in hand are finished, nothing is left behind, a rerun resumes."""

from __future__ import annotations

import json
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from common.protocol.keys import Keys
from coordinator.runs.run_directory import RunDirectory
from tests.support.runs.harness import Command, Harness, harnesses, wait_for
from tests.support.runs.pipelines import Pipeline, assert_nothing_runs
from tests.support.runs.sight import Sight

NOTING = """
name: noting
steps:
  count: {{type: "mysteps:Count", rows: 600, batch_size: 20}}
  double:
    type: "mysteps:Gated"
    after: count
    input_batch_size: 20
    seconds: 0.05
    gate: "{gate}"
    at: {at}
    notes: "{notes}"
    {more}
  keep: {{type: KeepColumns, after: double, columns: [n, double]}}
"""


@pytest.fixture
def harness(tmp_path: Path) -> Iterator[Harness]:
    yield from harnesses(tmp_path, PART_ROWS="60")


@pytest.fixture
def sight(harness: Harness) -> Sight:
    return Sight(harness)


class Noted:
    """The chain, with every row noted that is run, and a gate before one of them.

    Args:
        at: row before which the gate is; None: in `load`.
    """

    def __init__(self, harness: Harness, chain: Pipeline, at: int | None) -> None:
        self.gate = harness.folder / "gate"
        self.notes = harness.folder / "notes"
        self._chain = chain
        self._at = at

    def pipeline(self, more: str = "") -> Pipeline:
        """Its results are those of the chain."""
        at = "null" if self._at is None else self._at
        return Pipeline(NOTING.format(gate=self.gate, at=at, notes=self.notes, more=more), self._chain.digests)

    def wait_at_gate(self) -> int:
        """Returns the process that waits there."""
        waiting = self.gate.with_suffix(".waiting")
        wait_for(lambda: waiting.exists() and waiting.read_text().endswith("\n"), 60, "someone at the gate")
        return int(waiting.read_text().split()[-1])

    def start_and_stop(self, sight: Sight) -> Command:
        """Interrupts the run when a worker is at the gate, which opens then."""
        self.gate.touch()
        command = self.pipeline().start(sight.harness, GRACE="60")
        self.wait_at_gate()
        interrupt(command)
        wait_for(lambda: stop_is_wanted(sight), what="the stop")
        assert command.process.poll() is None
        self.gate.unlink()
        return command

    def times_run(self) -> Counter[int]:
        """Per row, how often it was run."""
        return Counter(int(line.split()[1]) for line in self.notes.read_text().splitlines())


def interrupt(command: Command, number: signal.Signals = signal.SIGINT) -> None:
    """As a terminal does it: to the whole process group."""
    os.killpg(command.process.pid, number)


def stop_is_wanted(sight: Sight) -> bool:
    """Whether the coordinator knows of the stop."""
    connection = sight.connect()
    want = connection.command("HGET", Keys(sight.run_id).run, "want")
    connection.close()
    return bool(want == b"stop")


def check_stopped(harness: Harness, command: Command) -> None:
    """It ended as a stopped run does; its unfinished data do not look like a dataset."""
    assert command.wait(60) == 130, command.text
    assert_nothing_runs(harness)
    folder = harness.run_directory
    assert not (folder / "dataset").exists()
    facts = json.loads((folder / "partial" / "INCOMPLETE.json").read_text())
    assert facts["complete"] is False
    assert "asked to stop" in facts["why"]
    assert facts["go_on"].startswith("pipeline-coordinator run ")
    assert facts["rows"] == {leaf: len(harness.rows(leaf, folder / "partial")) for leaf in facts["rows"]}
    record = RunDirectory(folder).read()
    assert record is not None
    assert record.status == "stopped"
    assert record.rows == facts["rows"]
    assert "was stopped" in command.text


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("step", ["count", "async", "last"])
def test_a_stopped_run_ends_in_good_order_and_the_same_command_goes_on(
    harness: Harness, sight: Sight, graph: Pipeline, number: signal.Signals, step: str
) -> None:
    command = graph.start(harness)
    sight.wait_for_results(step, 3)
    interrupt(command, number)
    check_stopped(harness, command)
    graph.finish(harness)


def test_a_run_may_be_stopped_over_and_over_again(harness: Harness, sight: Sight, graph: Pipeline) -> None:
    for results in (5, 15, 25):
        command = graph.start(harness)
        sight.wait_for_results("async", results)
        sight.wait_for_status("running")  # results of the time before may be enough
        interrupt(command)
        check_stopped(harness, command)
    graph.finish(harness)


def test_what_a_stopped_run_has_so_far_is_the_head_of_its_dataset(
    harness: Harness, sight: Sight, chain: Pipeline
) -> None:
    noted = Noted(harness, chain, at=300)
    command = noted.start_and_stop(sight)
    check_stopped(harness, command)
    numbers = [row["n"] for row in harness.rows("keep", harness.run_directory / "partial")]
    assert 0 < len(numbers) <= 300  # batches in hand were finished, and none was started
    assert numbers == list(range(len(numbers)))


def test_the_batch_in_hand_is_finished_within_the_grace_so_that_no_row_is_run_twice(
    harness: Harness, sight: Sight, chain: Pipeline
) -> None:
    noted = Noted(harness, chain, at=200)
    command = noted.start_and_stop(sight)
    check_stopped(harness, command)
    assert noted.times_run()[200] == 1
    assert sight.log().count("unloaded") == 1
    noted.pipeline().finish(harness)
    assert noted.times_run() == Counter(range(600))
    assert sight.log().count("unloaded") == 2


def test_a_batch_that_outlasts_the_grace_is_given_up_and_run_again(
    harness: Harness, sight: Sight, chain: Pipeline
) -> None:
    noted = Noted(harness, chain, at=200)
    noted.gate.touch()
    command = noted.pipeline().start(harness, GRACE="1")
    noted.wait_at_gate()
    interrupt(command)
    check_stopped(harness, command)
    noted.gate.unlink()
    noted.pipeline().finish(harness)
    assert noted.times_run() == Counter(range(600))


def test_a_run_is_stopped_while_a_step_loads(harness: Harness, chain: Pipeline) -> None:
    noted = Noted(harness, chain, at=None)
    noted.gate.touch()
    command = noted.pipeline().start(harness, GRACE="60")
    noted.wait_at_gate()
    asked = time.monotonic()
    interrupt(command)
    check_stopped(harness, command)
    assert time.monotonic() - asked < 30, "nothing is in hand that the grace would be for"
    noted.gate.unlink()
    noted.pipeline().finish(harness)


def test_a_second_signal_ends_it_at_once(harness: Harness, sight: Sight, chain: Pipeline) -> None:
    noted = Noted(harness, chain, at=200)
    noted.gate.touch()
    command = noted.pipeline().start(harness, GRACE="60")
    noted.wait_at_gate()
    interrupt(command)
    wait_for(lambda: stop_is_wanted(sight), what="the stop")
    asked = time.monotonic()
    interrupt(command)
    assert command.wait(60) == 130
    assert time.monotonic() - asked < 5
    assert_nothing_runs(harness)
    noted.gate.unlink()
    noted.pipeline().finish(harness)


def started_guardian(sight: Sight, command: Command) -> bool:
    return bool(sight.children(command))


def started_broker(sight: Sight, command: Command) -> bool:
    return (sight.harness.folder / "cache").exists() and any(sight.harness.folder.glob("cache/*/*/broker/redis.pid"))


def started_workers(sight: Sight, command: Command) -> bool:
    return any(sight.harness.folder.glob("cache/*/*/run.json"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("point", [started_guardian, started_broker, started_workers])
def test_a_run_is_stopped_while_it_starts(
    harness: Harness,
    sight: Sight,
    chain: Pipeline,
    number: signal.Signals,
    point: Callable[[Sight, Command], bool],
) -> None:
    command = chain.start(harness)
    wait_for(lambda: point(sight, command), what="the start")
    interrupt(command, number)
    assert command.wait(60) == 130, command.text
    assert_nothing_runs(harness)
    chain.finish(harness)


def test_a_stopped_run_goes_on_with_other_resources_and_retries(
    harness: Harness, sight: Sight, chain: Pipeline
) -> None:
    noted = Noted(harness, chain, at=300)
    command = noted.start_and_stop(sight)
    check_stopped(harness, command)
    assert noted.times_run() == Counter(range(320))
    assert sight.log().count("step 'double' loaded") == 1
    noted.pipeline("resources: {replicas: 3}\n    retries: 7").finish(harness)
    assert noted.times_run() == Counter(range(600))
    assert sight.log().count("step 'double' loaded") == 1 + 3

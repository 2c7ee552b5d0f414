"""Stages with real processes: steps take turns, and neither this nor what is killed meanwhile changes a row."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from common.protocol.keys import Keys
from tests.support.runs.harness import Harness, harnesses, wait_for
from tests.support.runs.pipelines import assert_nothing_runs
from tests.support.runs.sight import Sight
from tests.support.runs.stages import ROWS, Staged

GROUPS = "[[one], [two]]"
STAGES = (["count"], ["one"], ["two"], ["keep"])


@pytest.fixture
def harness(tmp_path: Path) -> Iterator[Harness]:
    yield from harnesses(tmp_path)


@pytest.fixture
def staged(harness: Harness) -> Staged:
    return Staged(harness)


@pytest.fixture
def sight(harness: Harness) -> Sight:
    return Sight(harness)


def check_rows(harness: Harness, reverse: bool = False) -> None:
    """The rows that the pipeline has without load groups too; see the first test."""
    numbers = range(ROWS)
    expected = [{"n": n, "twice": 2 * n, "double": 2 * n} for n in (reversed(numbers) if reverse else numbers)]
    assert harness.rows("keep") == expected


@pytest.mark.parametrize(
    ("groups", "reverse", "stages"),
    [
        ("", False, [["count", "one", "two", "keep"]]),
        (GROUPS, False, STAGES),
        ("[[count, one]]", False, [["count", "one"], ["two", "keep"]]),
        ("sequential_step_execution", False, STAGES),
        ("", True, [["count", "one", "two"], ["all"], ["keep"]]),
        ("[[one, two]]", True, [["count"], ["one", "two"], ["all"], ["keep"]]),
    ],
)
def test_no_two_stages_are_loaded_at_once_and_the_rows_are_the_same(
    staged: Staged, groups: str, reverse: bool, stages: list[list[str]]
) -> None:
    code, said = staged.harness.run(staged.write(groups, reverse=reverse))
    assert code == 0, said
    check_rows(staged.harness, reverse)
    staged.check_turns(*stages)
    order = [step for stage in stages for step in stage if step != "keep"]
    place = {step: number for number, stage in enumerate(stages) for step in stage}
    assert [place[step] for step in staged.steps("load")] == sorted(place[step] for step in order), "once each"
    lines = [line for line in said.splitlines() if line.startswith("stage ")]
    expected = [f"stage {n}/{len(stages)}: {', '.join(stage)}" for n, stage in enumerate(stages, 1)]
    assert lines == (expected if len(stages) > 1 else [])
    assert staged.harness.left_over() == []


def test_replicas_of_a_step_are_loaded_and_unloaded_together(staged: Staged) -> None:
    spec = staged.write(GROUPS, seconds=0.05)
    code, said = staged.harness.run(spec, "--set", "one.resources.replicas=3")
    assert code == 0, said
    check_rows(staged.harness)
    assert staged.steps("load").count("one") == 3
    staged.check_turns(*STAGES)


def test_stages_without_rows_are_passed_over(staged: Staged) -> None:
    code, said = staged.harness.run(staged.write(GROUPS), "--set", "count.rows=0")
    assert code == 0, said
    assert staged.harness.rows("keep") == []
    staged.check_turns(*STAGES)


def test_a_dry_run_goes_through_all_stages(staged: Staged) -> None:
    command = staged.harness.start("pipeline-coordinator", "run", "--dry-run", staged.write(GROUPS))
    assert command.wait() == 0, command.text
    assert "a row of keep: " in command.text
    staged.check_turns(*STAGES)


# what is killed and stopped


def test_a_killed_worker_is_replaced_within_its_stage(staged: Staged, sight: Sight) -> None:
    command = staged.harness.start_run(staged.write(GROUPS, seconds=0.1))
    sight.wait_for_results("one", 3)
    victim = sight.worker("one")
    victim.kill()
    assert command.wait() == 0, command.text
    check_rows(staged.harness)
    assert staged.steps("load") == ["count", "one", "one", "two"]
    assert all(event.beside == {"-"} for event in staged.events("load"))


@pytest.mark.parametrize("step", ["one", "two"])
def test_when_the_coordinator_is_killed_the_next_command_goes_on_in_that_stage(
    staged: Staged, sight: Sight, step: str
) -> None:
    spec = staged.write(GROUPS, seconds=0.1)
    command = staged.harness.start_run(spec)
    sight.wait_for_results(step, 2)
    command.kill()
    assert_nothing_runs(staged.harness)
    code, said = staged.harness.run(spec)
    assert code == 0, said
    check_rows(staged.harness)
    assert staged.steps("load") == ["count", "one", "one" if step == "one" else "two", "two"]
    assert "stage 1/4" not in said


def test_a_run_that_is_stopped_in_a_stage_unloads_it_and_goes_on_there(staged: Staged, sight: Sight) -> None:
    spec = staged.write(GROUPS, seconds=0.1)
    command = staged.harness.start_run(spec)
    sight.wait_for_results("one", 3)
    os.killpg(command.process.pid, signal.SIGINT)
    assert command.wait() == 130, command.text
    assert_nothing_runs(staged.harness)
    assert staged.steps("unload") == ["count", "one"]
    code, said = staged.harness.run(spec)
    assert code == 0, said
    check_rows(staged.harness)
    assert staged.steps("load") == ["count", "one", "one", "two"]
    staged.check_turns(*STAGES)


def test_a_broker_that_is_killed_in_a_stage_does_not_disturb_the_turns(staged: Staged, sight: Sight) -> None:
    command = staged.harness.start_run(staged.write(GROUPS, seconds=0.1))
    sight.wait_for_results("one", 3)
    pid = sight.redis()
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    assert command.wait() == 0, command.text
    check_rows(staged.harness)
    staged.check_turns(*STAGES)


def test_workers_follow_a_run_that_goes_back_to_an_earlier_stage(staged: Staged, sight: Sight) -> None:
    """As it does if the broker has lost results that ended a stage."""
    gate = staged.harness.folder / "gate"
    gate.touch()
    command = staged.harness.start_run(
        staged.write_text(f"""
name: staged
load_groups: [[count], [one]]
steps:
  count: {{type: "staged_steps:Source", rows: 50, batch_size: 10, events: "{staged.path}"}}
  one: {{type: "staged_steps:Gated", after: count, input_batch_size: 10, events: "{staged.path}",
        gate: "{gate}", at: 30}}
""")
    )
    sight.wait_for_results("one", 3)
    connection = sight.connect()
    connection.command("HSET", Keys(sight.run_id).run, "stage", 0)
    wait_for(lambda: "the run has gone back to stage 1/2: step 'one' leaves" in sight.log(), what="a word about it")
    gate.unlink()
    wait_for(lambda: staged.steps("load") == ["count", "one", "count"], what="the first stage again")
    connection.command("HSET", Keys(sight.run_id).run, "stage", 1)
    connection.close()
    assert command.wait() == 0, command.text
    assert [row["double"] for row in staged.harness.rows()] == [2 * n for n in range(50)]
    staged.check_turns(["count"], ["one"])
    assert staged.steps("load") == ["count", "one", "count", "one"]


def test_a_worker_that_does_not_leave_with_its_stage_is_killed(staged: Staged, sight: Sight) -> None:
    command = staged.harness.start_run(
        staged.write_text(f"""
name: staged
load_groups: [[count, one], [two]]
steps:
  count: {{type: "staged_steps:Source", rows: 50, batch_size: 10, events: "{staged.path}"}}
  one: {{type: "staged_steps:Stubborn", after: count, input_batch_size: 10, events: "{staged.path}"}}
  two: {{type: "staged_steps:Model", after: one, input_batch_size: 10, events: "{staged.path}"}}
"""),
        GRACE="1",
    )
    assert command.wait() == 0, command.text
    assert len(staged.harness.rows()) == 50
    staged.check_turns(["count", "one"], ["two"])
    assert "killed the worker of step 'one': its stage is over and it did not leave" in sight.log()

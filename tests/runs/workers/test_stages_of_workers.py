"""External workers of a pipeline with stages: they may come early, and take turns."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.runs.harness import Command, Harness, harnesses, wait_for
from tests.support.runs.hosts import check_end, said
from tests.support.runs.stages import ROWS, STAGE_NAMES, Staged

STAGES = (["count"], ["one"], ["two"], ["keep"])


@pytest.fixture
def staged(tmp_path: Path) -> Iterator[Staged]:
    for harness in harnesses(tmp_path):
        yield Staged(harness)


def coordinator(staged: Staged, url: str, spec: Path, **settings: str) -> Command:
    return staged.harness.start_run(spec, "--broker", url, "--workers", "external", **settings)


def check_rows(harness: Harness) -> None:
    assert [row["double"] for row in harness.rows("keep")] == [2 * n for n in range(ROWS)]


@pytest.mark.parametrize("order", ["workers first", "coordinator first"])
def test_workers_that_come_early_wait_for_their_stage_and_leave_with_it(
    staged: Staged, redis_url: str, order: str
) -> None:
    spec = staged.write("sequential_step_execution")
    workers = staged.workers(redis_url, STAGE_NAMES[::-1]) if order == "workers first" else []
    run = coordinator(staged, redis_url, spec, STARTING_HINT="60" if order == "coordinator first" else "2")
    workers = workers or staged.workers(redis_url, STAGE_NAMES[::-1])
    check_end(staged.harness, run, workers)
    check_rows(staged.harness)
    staged.check_turns(*STAGES)
    assert staged.steps("load") == ["count", "one", "two"]
    assert "no worker for step" not in run.text, "those that wait are there"
    for number, worker in enumerate(reversed(workers[1:]), 1):
        assert f"stage {number}/4 is over: step '{STAGE_NAMES[number - 1]}' leaves" in worker.text
    assert "step 'keep' waits for stage 4/4 to come" in workers[0].text


def test_the_coordinator_asks_for_the_workers_of_all_stages_at_the_start(staged: Staged, redis_url: str) -> None:
    run = coordinator(staged, redis_url, staged.write("[[one]]"), STARTING_HINT="0.2")
    for step in STAGE_NAMES:
        said(run, f"no worker for step '{step}' yet; start one with: pipeline-worker --step {step}")
    check_end(staged.harness, run, staged.workers(redis_url, STAGE_NAMES))


def test_a_worker_that_comes_when_its_stage_is_over_leaves_at_once(staged: Staged, redis_url: str) -> None:
    run = coordinator(staged, redis_url, staged.write("[[count]]"))
    (first,) = staged.workers(redis_url, ["count"])
    assert first.wait(30) == 0, first.text
    (late,) = staged.workers(redis_url, ["count"])
    assert late.wait(30) == 0
    assert "step 'count' belongs to stage 1/2, which is over: nothing is left to do" in late.text
    assert staged.steps("load") == ["count"]
    check_end(staged.harness, run, staged.workers(redis_url, STAGE_NAMES[1:]))
    check_rows(staged.harness)


def test_one_command_for_all_steps_goes_through_the_stages(staged: Staged, redis_url: str) -> None:
    spec = staged.write("[[one], [two]]", reverse=True)
    arguments = ("--broker", redis_url, "--allow", "mysteps", "--allow", "staged_steps", "--base-dir", ".")
    all_steps = staged.harness.start("pipeline-worker", "--all-steps", *arguments)
    run = coordinator(staged, redis_url, spec)
    check_end(staged.harness, run, [all_steps])
    assert [row["n"] for row in staged.harness.rows("keep")] == list(range(ROWS))[::-1]
    staged.check_turns(["count"], ["one"], ["two"], ["all"], ["keep"])


def test_stages_that_workers_have_to_describe_first_are_gone_through_as_well(staged: Staged, redis_url: str) -> None:
    """Steps that the coordinator cannot import may be global ones, so the stages are unknown before."""
    spec = staged.write("[[one], [two]]", reverse=True)
    far = staged.harness.folder / "far"
    far.mkdir()
    for module in ("mysteps.py", "staged_steps.py"):
        (staged.harness.folder / module).rename(far / module)
    arguments = ("--broker", redis_url, "--allow", "mysteps", "--allow", "staged_steps", "--base-dir", far)
    all_steps = staged.harness.start("pipeline-worker", "--all-steps", *arguments)
    run = coordinator(staged, redis_url, spec)
    check_end(staged.harness, run, [all_steps])
    assert [row["n"] for row in staged.harness.rows("keep")] == list(range(ROWS))[::-1]
    staged.check_turns(["count"], ["one"], ["two"], ["all"], ["keep"])
    assert staged.steps("load") == ["count", "one", "two", "all"]


def test_workers_that_wait_leave_when_the_run_is_stopped(staged: Staged, redis_url: str) -> None:
    run = coordinator(staged, redis_url, staged.write("[[one], [two]]", seconds=0.2))
    workers = staged.workers(redis_url, STAGE_NAMES)
    wait_for(lambda: "one" in staged.steps("load"), 60, "the second stage")
    stop = staged.harness.start("pipeline-coordinator", "stop", staged.harness.record().run, "--broker", redis_url)
    assert stop.wait(30) == 0, stop.text
    assert run.wait(30) == 130, run.text
    assert [worker.wait(30) for worker in workers] == [0] * 4, [worker.text for worker in workers]
    assert staged.steps("load") == staged.steps("unload") == ["count", "one"]
    again = coordinator(staged, redis_url, staged.harness.folder / "spec.yaml")
    check_end(staged.harness, again, staged.workers(redis_url, STAGE_NAMES[1:]))
    check_rows(staged.harness)

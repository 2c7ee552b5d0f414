"""Loading: once per worker; a step that cannot be loaded ends the run, and everything else is unloaded."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.runs.harness import Harness, harnesses, wait_for
from tests.support.runs.hosts import said
from tests.support.runs.sight import Sight
from tests.support.runs.stages import Staged

SPEC = """
name: loading
{groups}
steps:
  count: {{type: "staged_steps:Source", rows: 200, batch_size: 10, events: "{events}", seconds: 0.02}}
  one: {{type: "staged_steps:Model", after: count, input_batch_size: 10, events: "{events}", seconds: 0.05}}
  bad: {{type: "staged_steps:Broken", after: one, input_batch_size: 10, events: "{events}", cause: "{cause}"}}
"""


@pytest.fixture
def harness(tmp_path: Path) -> Iterator[Harness]:
    yield from harnesses(tmp_path)


@pytest.fixture
def staged(harness: Harness) -> Staged:
    return Staged(harness)


@pytest.fixture
def cause(harness: Harness) -> Path:
    cause = harness.folder / "cause"
    cause.touch()
    return cause


def write(staged: Staged, cause: Path, groups: str = "") -> Path:
    return staged.write_text(SPEC.format(events=staged.path, cause=cause, groups=groups))


def check_unloaded(staged: Staged, *steps: str) -> None:
    """Each worker that was loaded was unloaded; `bad` never was."""
    assert sorted(staged.steps("unload")) == sorted(steps)


def test_a_step_that_cannot_be_loaded_ends_the_run_and_the_others_are_unloaded(staged: Staged, cause: Path) -> None:
    spec = write(staged, cause)
    started = time.monotonic()
    code, text = staged.harness.run(spec)
    assert code == 1
    assert time.monotonic() - started < 15, "its workers need not finish anything"
    assert "step 'bad' cannot be loaded:" in text
    assert "OSError: the model's weights are not there" in text
    assert "Traceback (most recent call last)" in text
    check_unloaded(staged, *(set(staged.steps("load")) - {"bad"}))
    assert staged.harness.left_over() == []
    cause.unlink()
    code, text = staged.harness.run(spec)
    assert code == 0, text
    assert [row["n"] for row in staged.harness.rows()] == list(range(200))


def test_a_step_of_a_later_stage_that_cannot_be_loaded_ends_the_run_in_that_stage(staged: Staged, cause: Path) -> None:
    spec = write(staged, cause, "load_groups: [[bad]]")
    code, text = staged.harness.run(spec)
    assert code == 1
    assert "step 'bad' cannot be loaded:" in text
    check_unloaded(staged, *(set(staged.steps("load")) - {"bad"}))
    cause.unlink()
    code, text = staged.harness.run(spec)
    assert code == 0, text
    assert staged.steps("load").count("count") == staged.steps("load").count("one") == 1, "that stage was over"
    assert [row["n"] for row in staged.harness.rows()] == list(range(200))


def test_external_workers_unload_when_one_of_them_cannot_load_its_step(
    staged: Staged, cause: Path, redis_url: str
) -> None:
    run = staged.harness.start_run(write(staged, cause), "--broker", redis_url, "--workers", "external")
    workers = staged.workers(redis_url, ["count", "one"])
    for worker in workers:
        said(worker, " loaded by worker")
    (bad,) = staged.workers(redis_url, ["bad"])
    assert run.wait(30) == 1
    assert "OSError: the model's weights are not there" in run.text
    assert bad.wait(30) == 1
    assert [worker.wait(30) for worker in workers] == [0, 0]
    check_unloaded(staged, *(set(staged.steps("load")) - {"bad"}))


def test_a_worker_that_cannot_load_what_another_has_loaded_leaves_alone(
    staged: Staged, cause: Path, redis_url: str
) -> None:
    cause.unlink()
    run = staged.harness.start_run(write(staged, cause), "--broker", redis_url, "--workers", "external")
    workers = staged.workers(redis_url, ["count", "one", "bad"])
    said(workers[-1], "step 'bad' loaded by worker")
    cause.touch()
    (second,) = staged.workers(redis_url, ["bad"])
    assert second.wait(30) == 1
    wait_for(
        lambda: "the model's weights are not there" in Sight(staged.harness, redis_url).log(), what="its traceback"
    )
    assert run.wait(60) == 0, run.text
    assert [worker.wait(30) for worker in workers] == [0, 0, 0]
    check_unloaded(staged, "count", "one", "bad")
    assert len(staged.harness.rows()) == 200


def test_a_step_is_loaded_once_per_worker(staged: Staged, cause: Path) -> None:
    cause.unlink()
    code, text = staged.harness.run(write(staged, cause), "--set", "one.resources.replicas=2")
    assert code == 0, text
    assert sorted(staged.steps("load")) == ["bad", "count", "one", "one"]
    check_unloaded(staged, "count", "one", "one", "bad")


def test_the_progress_counts_the_steps_of_the_stage_that_are_loaded(staged: Staged) -> None:
    gate = staged.harness.folder / "gate"
    gate.touch()
    command = staged.harness.start_run(
        staged.write_text(f"""
name: loading
load_groups: [[one, two]]
steps:
  count: {{type: "mysteps:Count", rows: 10}}
  one: {{type: "mysteps:Double", after: count}}
  two: {{type: "mysteps:Gated", after: one, gate: "{gate}"}}
""")
    )
    said(command, "stage 2/2: loading steps 1/2 | ")
    gate.unlink()
    assert command.wait() == 0, command.text

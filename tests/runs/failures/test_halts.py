"""Runs that end early because of what a step does: with a message and exit 1, and resumable once the cause is gone."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.runs.harness import Harness, harnesses

RETRY = "retries: 1, backoff: [0.001, 0.002]"


@pytest.fixture
def harness(tmp_path: Path) -> Iterator[Harness]:
    yield from harnesses(tmp_path)


@pytest.fixture
def cause(harness: Harness) -> Path:
    """A file that makes steps fail for as long as it is there."""
    path = harness.folder / "cause"
    path.touch()
    return path


def write(harness: Harness, *steps: str, rows: int = 500) -> Path:
    lines = "\n  ".join((f"gen: {{type: 'mysteps:Count', rows: {rows}, batch_size: 50}}", *steps))
    return harness.write_spec(f"name: halting\nsteps:\n  {lines}\n")


@pytest.mark.parametrize("kind", ["Fragile", "FragileAsync"])
def test_on_error_fail_halts_and_the_second_command_completes_once_the_cause_is_gone(
    harness: Harness, cause: Path, kind: str
) -> None:
    step = f"type: 'failing_steps:{kind}', after: gen, bad: [137], cause: '{cause}', on_error: fail, {RETRY}"
    spec = write(harness, f"frag: {{{step}}}")
    code, text = harness.run(spec)
    assert code == 1, text
    assert "halted" in text
    assert "step 'frag': RuntimeError: row 137 is bad" in text
    assert "pipeline-coordinator run" in text
    assert harness.record().status == "halted"
    assert not (harness.run_directory / "dataset").exists()
    assert harness.left_over() == []
    cause.unlink()
    code, text = harness.run(spec)
    assert code == 0, text
    assert [row["n"] for row in harness.rows()] == list(range(500))
    assert harness.letters() == []
    assert harness.record().failed_rows == 0


def test_a_halted_run_halts_again_while_the_cause_is_there(harness: Harness, cause: Path) -> None:
    step = f"type: 'failing_steps:Fragile', after: gen, bad: [137, 300], cause: '{cause}', on_error: fail, {RETRY}"
    spec = write(harness, f"frag: {{{step}}}")
    for _ in range(2):
        code, text = harness.run(spec)
        assert code == 1, text
        assert "is bad" in text
    cause.unlink()
    assert harness.run(spec)[0] == 0
    assert [row["n"] for row in harness.rows()] == list(range(500))


@pytest.mark.parametrize("kind", ["Fragile", "FragileAsync"])
def test_a_step_that_fails_every_row_halts_after_some_20_and_is_done_again_later(
    harness: Harness, cause: Path, kind: str
) -> None:
    notes = harness.folder / "notes"
    fragile = f"type: 'failing_steps:{kind}', after: gen, everything: true, cause: '{cause}', notes: '{notes}'"
    # One batch in hand and one read ahead: when 20 rows have decided, a few more batches may have started.
    step = f"{fragile}, input_batch_size: 5, {RETRY}" + (", concurrency: 5" if kind == "FragileAsync" else "")
    spec = write(harness, f"frag: {{{step}}}", "after: {type: 'mysteps:DoubleAsync', after: frag}", rows=2_000)
    code, text = harness.run(spec)
    assert code == 1, text
    assert "step 'frag': " in text
    assert "of the last" in text
    assert "rows failed" in text
    assert "is bad" in text, "says what the rows failed of"
    tried = {n for line in notes.read_text().splitlines() for n in json.loads(line)}
    assert 20 <= len(tried) < 400
    cause.unlink()
    code, text = harness.run(spec)
    assert code == 0, text
    assert [row["n"] for row in harness.rows()] == list(range(2_000))
    assert harness.letters() == []
    assert harness.record().failed_rows == 0


@pytest.mark.parametrize("on_error", ["skip", "nulls"])
def test_fewer_than_20_rows_that_all_fail_halt_the_run_and_the_same_command_tries_them_again(
    harness: Harness, on_error: str
) -> None:
    step = f"type: 'failing_steps:Fragile', after: gen, everything: true, on_error: {on_error}, {RETRY}"
    spec = write(harness, f"frag: {{{step}}}", rows=19)
    for _ in range(2):
        code, text = harness.run(spec)
        assert code == 1, text
        assert "step 'frag': all 19 rows failed; first error: RuntimeError: row 0 is bad" in text
        assert re.search(r"failed +frag: 19 rows\n +see them +pipeline-coordinator failures", text), text
        assert harness.record().status == "halted"
    status = harness.start("pipeline-coordinator", "status", harness.record().run)
    assert status.wait() == 0
    assert "why        step 'frag': all 19 rows failed; first error: RuntimeError: row 0 is bad" in status.text
    assert "failed     19 rows; pipeline-coordinator failures" in status.text


FAILING_SCRIPT = """
from coordinator import Pipeline
from common.steps import LoadDataFromDicts
from mysteps import Double

if __name__ == "__main__":
    with Pipeline("failing") as pipeline:
        LoadDataFromDicts(data=[{"n": None}] * 3) >> Double()
    try:
        pipeline.run()
    except Exception as error:
        print(f"{type(error).__name__}: {error}")
"""


def test_a_program_whose_rows_all_fail_gets_an_exception_that_says_why(harness: Harness) -> None:
    code, text = harness.run_script(FAILING_SCRIPT)
    assert code == 0, text
    assert re.search(r"RunFailed: .*step 'double_0': all 3 rows failed; first error: TypeError: unsupported", text), (
        text
    )


def test_fewer_than_20_rows_of_which_some_fail_complete_and_the_first_error_is_said(harness: Harness) -> None:
    code, text = harness.run(
        write(harness, f"frag: {{type: 'failing_steps:Fragile', after: gen, bad: [3], {RETRY}}}", rows=4)
    )
    assert code == 3, text
    assert "the first: RuntimeError: row 3 is bad" in text
    assert len(harness.rows()) == 3


def test_nulls_count_for_the_breaker_as_well(harness: Harness) -> None:
    step = f"type: 'failing_steps:Fragile', after: gen, everything: true, on_error: nulls, {RETRY}"
    code, text = harness.run(write(harness, f"frag: {{{step}}}"))
    assert code == 1, text
    assert "rows failed" in text


def test_a_breaker_that_may_never_trip_lets_a_run_complete_without_any_row(harness: Harness) -> None:
    step = f"type: 'failing_steps:FragileAsync', after: gen, everything: true, max_failure_rate: 1.0, {RETRY}"
    code, text = harness.run(write(harness, f"frag: {{{step}}}", rows=100))
    assert code == 3, text
    assert harness.rows() == []
    assert harness.record().failed == {"frag": 100}


def test_a_generator_that_raises_ends_the_run_and_goes_on_later_without_a_row_twice(
    harness: Harness, cause: Path
) -> None:
    spec = harness.write_spec(
        f"""
name: halting
steps:
  gen: {{type: "failing_steps:Breaks", batch_size: 40, at: 120, cause: "{cause}", retries: 1, backoff: [4, 4]}}
  dbl: {{type: "mysteps:Double", after: gen}}
"""
    )
    code, text = harness.run(spec)  # the wait before the retry lets the rows before it arrive
    assert code == 1, text
    assert "step 'gen': the generator raised at row 120: ValueError: no row 120 today" in text
    partial = harness.run_directory / "partial"
    assert [row["n"] for row in harness.rows("dbl", partial)] == list(range(100)), "whole batches of 50"
    facts = json.loads((partial / "INCOMPLETE.json").read_text())
    assert facts["complete"] is False
    assert "no row 120 today" in facts["why"]
    assert facts["rows"] == {"dbl": 100}
    cause.unlink()
    code, text = harness.run(spec)
    assert code == 0, text
    assert [row["n"] for row in harness.rows()] == list(range(500))
    assert not partial.exists()
    assert harness.left_over() == []


def test_a_generator_that_raises_once_is_opened_again_at_that_row(harness: Harness, cause: Path) -> None:
    spec = harness.write_spec(
        f"""
name: halting
steps:
  gen: {{type: "failing_steps:Breaks", at: 120, cause: "{cause}", once: true, {RETRY}}}
  dbl: {{type: "mysteps:Double", after: gen}}
"""
    )
    code, text = harness.run(spec)
    assert code == 0, text
    assert [row["n"] for row in harness.rows()] == list(range(500))


def test_a_generator_that_yields_something_else_than_rows_and_last_is_told_how(harness: Harness) -> None:
    spec = harness.write_spec(
        f"""
name: halting
steps:
  gen: {{type: "failing_steps:YieldsWrong", {RETRY}}}
  all: {{type: "mysteps:Reverse", after: gen}}
"""
    )
    code, text = harness.run(spec)
    assert code == 1, text
    assert "must yield (list of rows, is it the last batch)" in text


def test_a_global_step_that_raises_ends_the_run_and_is_done_again_later(harness: Harness, cause: Path) -> None:
    spec = write(harness, f"all: {{type: 'failing_steps:Everything', after: gen, cause: '{cause}', {RETRY}}}")
    code, text = harness.run(spec)
    assert code == 1, text
    assert "halted" in text
    assert "step 'all': ValueError: no row 500 today" in text
    cause.unlink()
    assert harness.run(spec)[0] == 0
    assert harness.rows() == [{"n": n, "text": f"row {n}", "all": 500} for n in range(500)]


@pytest.mark.parametrize("workers", ["local", "external"])
def test_a_step_that_cannot_be_loaded_ends_the_run_with_its_traceback(
    harness: Harness, redis_url: str, cause: Path, workers: str
) -> None:
    spec = write(harness, f"model: {{type: 'failing_steps:NoLoad', after: gen, cause: '{cause}'}}")
    started = time.monotonic()
    if workers == "local":
        code, text = harness.run(spec)
    else:
        command = harness.start_run(spec, "--broker", redis_url, "--workers", "external")
        arguments = ("--step", "model", "--broker", redis_url, "--allow", "failing_steps")
        worker = harness.start("pipeline-worker", *arguments, "--base-dir", harness.folder)
        code, text = command.wait(), command.text
        assert worker.wait() == 1
    assert code == 1, text
    assert time.monotonic() - started < 20
    assert "step 'model' cannot be loaded" in text
    assert "Traceback (most recent call last)" in text
    assert "OSError: the model's weights are not there" in text
    assert harness.left_over() == []
    cause.unlink()
    assert harness.run(spec, "--fresh")[0] == 0


def test_a_load_that_fails_is_in_the_log_of_the_run(harness: Harness, cause: Path) -> None:
    spec = write(harness, f"model: {{type: 'failing_steps:NoLoad', after: gen, cause: '{cause}'}}")
    assert harness.run(spec)[0] == 1
    assert "OSError: the model's weights are not there" in harness.log


def test_a_leaf_of_which_no_row_can_be_written_halts_the_run_with_the_first_error(harness: Harness) -> None:
    (harness.folder / "mixing.py").write_text(
        """
from common.steps import Step, StepInput, StepOutput

class Mixes(Step):
    outputs = ["mixed"]

    def process(self, inputs: StepInput) -> StepOutput:
        yield [{**row, "mixed": [1, {"a": 1}]} for row in inputs]
"""
    )
    spec = write(harness, 'mix: {type: "mixing:Mixes", after: gen}', rows=12)
    for _ in range(2):  # the second time it resumes, and cannot
        code, text = harness.run(spec)
        assert code == 1, text
        why = r"step 'mix': none of its 12 rows could be written; change its output, .*; first error: .*mixed"
        assert re.search(why, text), text
        assert re.search(r"failed +mix: 12 rows\n +see them", text), text
        assert f"pipeline-coordinator failures {harness.record().run}" in text
    status = harness.start("pipeline-coordinator", "status", harness.record().run)
    assert status.wait() == 0
    assert "none of its 12 rows could be written" in status.text
    assert "12 rows; pipeline-coordinator failures" in status.text

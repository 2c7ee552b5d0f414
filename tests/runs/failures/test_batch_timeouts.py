"""Rows that hang: the row is found, its neighbours live, and nothing waits forever."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from common.errors import EXIT_TIMEOUT
from tests.support.runs.harness import Harness, harnesses
from tests.support.runs.hosts import coordinator, worker


@pytest.fixture
def harness(tmp_path: Path) -> Iterator[Harness]:
    yield from harnesses(tmp_path)


def write(harness: Harness, step: str, rows: int = 60) -> Path:
    gen = f"gen: {{type: 'mysteps:Count', rows: {rows}, batch_size: 20}}"
    return harness.write_spec(f"name: hanging\nsteps:\n  {gen}\n  slow: {{{step}}}\n")


@pytest.mark.parametrize("kind", ["Poison", "PoisonAsync"])
def test_a_row_that_hangs_is_the_only_dead_letter(harness: Harness, kind: str) -> None:
    """An asynchronous step that hangs like this blocks its event loop, so that no row of it could be cancelled."""
    step = f"type: 'failing_steps:{kind}', after: gen, input_batch_size: 10, bad: [33], how: sleep"
    code, text = harness.run(write(harness, f"{step}, max_deliveries: 1, batch_timeout: 1"), timeout=90)
    assert code == 3, text
    assert [row["n"] for row in harness.rows()] == [n for n in range(60) if n != 33]
    (letter,) = harness.letters()
    assert (letter.step, letter.seq, letter.position) == ("slow", 3, 3)
    assert letter.row == {"n": 33, "text": "row 33"}
    assert letter.error == "it took longer than 1 s (batch_timeout), each of 2 times that this row ran alone"
    assert "step 'slow': " in harness.log
    assert "it took longer than 1 s (batch_timeout); this worker leaves. It was at:" in harness.log
    assert "time.sleep(3600)" in harness.log
    assert harness.left_over() == []


def test_an_asynchronous_row_that_hangs_is_cancelled_and_no_worker_ends(harness: Harness) -> None:
    step = "type: 'failing_steps:PoisonAsync', after: gen, bad: [7, 33], how: wait, retries: 1, backoff: [0.0, 0.0]"
    code, text = harness.run(write(harness, f"{step}, batch_timeout: 0.5"))
    assert code == 3, text
    assert [row["n"] for row in harness.rows()] == [n for n in range(60) if n not in (7, 33)]
    letters = harness.letters()
    assert {letter.row["n"] for letter in letters if letter.row} == {7, 33}
    assert {letter.attempts for letter in letters} == {2}
    assert all("the row took longer than 0.5 s (batch_timeout)" in letter.error for letter in letters)
    assert "died" not in harness.log


def test_a_generator_that_hangs_ends_the_run_in_words_and_goes_on_later(harness: Harness) -> None:
    cause = harness.folder / "cause"
    cause.touch()
    spec = harness.write_spec(
        f"""
name: hanging
steps:
  gen: {{type: "failing_steps:Breaks", at: 120, cause: "{cause}", how: sleep, max_deliveries: 2, batch_timeout: 1}}
  dbl: {{type: "mysteps:Double", after: gen}}
"""
    )
    code, text = harness.run(spec, timeout=90)
    assert code == 1, text
    assert "2 workers died, or took longer than 1 s (batch_timeout), while making rows from row 100 on" in text
    assert harness.left_over() == []
    cause.unlink()
    assert harness.run(spec)[0] == 0
    assert [row["n"] for row in harness.rows()] == list(range(500))


def test_a_step_that_hangs_and_keeps_every_thread_from_running_is_ended_all_the_same(harness: Harness) -> None:
    cause = harness.folder / "cause"
    cause.touch()
    step = f"type: 'failing_steps:Everything', after: gen, cause: '{cause}', how: hold, max_deliveries: 1"
    spec = write(harness, f"{step}, batch_timeout: 1")
    code, text = harness.run(spec, timeout=90)
    assert code == 1, text
    assert "1 worker died, or took longer than 1 s (batch_timeout), on this batch" in text
    assert "failing_steps.py" in harness.log, "the calls that the step was in"
    cause.unlink()
    assert harness.run(spec)[0] == 0
    assert [row["n"] for row in harness.rows()] == list(range(60))


def test_retries_have_the_whole_time_each_and_pauses_do_not_count(harness: Harness) -> None:
    step = "type: 'failing_steps:Fragile', after: gen, bad: [3], retries: 2, backoff: [0.6, 0.6], max_failure_rate: 1"
    code, text = harness.run(write(harness, f"{step}, batch_timeout: 0.5", rows=20))
    assert code == 3, text
    assert [row["n"] for row in harness.rows()] == [n for n in range(20) if n != 3]
    assert "batch_timeout" not in harness.log


def test_a_worker_started_by_hand_says_with_its_exit_code_why_it_left(harness: Harness, redis_url: str) -> None:
    cause = harness.folder / "cause"
    cause.touch()
    step = f"type: 'failing_steps:Poison', after: gen, bad: [33], how: sleep, cause: '{cause}', batch_timeout: 1"
    run = coordinator(harness, write(harness, step), redis_url, "--allow", "failing_steps")
    source = worker(harness, redis_url, "gen")
    first = worker(harness, redis_url, "slow", "--allow", "failing_steps")
    assert first.wait(60) == EXIT_TIMEOUT, first.text
    assert "it took longer than 1 s (batch_timeout); this worker leaves" in first.text
    cause.unlink()
    second = worker(harness, redis_url, "slow", "--allow", "failing_steps")
    assert run.wait(60) == 0, run.text
    assert [one.wait(30) for one in (source, second)] == [0, 0]
    assert [row["n"] for row in harness.rows()] == list(range(60))

"""Rows that end the process that runs them: the row is found, its neighbours live, and nothing repeats forever."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.runs.harness import Harness, harnesses


@pytest.fixture
def harness(tmp_path: Path) -> Iterator[Harness]:
    yield from harnesses(tmp_path)


def write(harness: Harness, *steps: str, rows: int = 200) -> Path:
    lines = "\n  ".join((f"gen: {{type: 'mysteps:Count', rows: {rows}, batch_size: 50}}", *steps))
    return harness.write_spec(f"name: poisoned\nsteps:\n  {lines}\n")


@pytest.mark.parametrize("how", ["exit", "exit 0", "kill", "segfault"])
@pytest.mark.parametrize("kind", ["Poison", "PoisonAsync"])
def test_a_row_that_kills_its_worker_is_the_only_dead_letter(harness: Harness, kind: str, how: str) -> None:
    step = f"type: 'failing_steps:{kind}', after: gen, input_batch_size: 10, bad: [33], how: {how}, max_deliveries: 2"
    code, text = harness.run(write(harness, f"poison: {{{step}}}"), timeout=90)
    assert code == 3, text
    expected = [{"n": n, "text": f"row {n}", "double": 2 * n} for n in range(200) if n != 33]
    assert harness.rows() == expected
    (letter,) = harness.letters()
    assert (letter.step, letter.seq, letter.position) == ("poison", 3, 3)
    assert letter.row == {"n": 33, "text": "row 33"}
    assert "the worker died each of 2 times that it ran this row alone" in letter.error
    assert harness.record().failed == {"poison": 1}
    assert "is dead" in harness.log or "died" in harness.log
    assert harness.left_over() == []


def test_two_poisoned_batches_are_both_worked_off(harness: Harness) -> None:
    step = "type: 'failing_steps:Poison', after: gen, input_batch_size: 10, bad: [33, 38, 120], how: kill"
    spec = write(harness, f"poison: {{{step}, max_deliveries: 1}}")
    code, text = harness.run(spec, timeout=110)
    assert code == 3, text
    assert [row["n"] for row in harness.rows()] == [n for n in range(200) if n not in (33, 38, 120)]
    assert sorted(letter.row["n"] for letter in harness.letters() if letter.row) == [33, 38, 120]


def test_a_poisoned_row_with_on_error_nulls_keeps_its_place(harness: Harness) -> None:
    step = "type: 'failing_steps:Poison', after: gen, bad: [7], how: kill, on_error: nulls, max_deliveries: 1"
    code, text = harness.run(write(harness, f"poison: {{{step}}}", rows=20), timeout=90)
    assert code == 3, text
    assert [row["n"] for row in harness.rows()] == list(range(20))
    assert len(harness.letters()) == 1


def test_a_poisoned_row_with_on_error_fail_halts_the_run_in_words(harness: Harness) -> None:
    cause = harness.folder / "cause"
    cause.touch()
    step = f"type: 'failing_steps:Poison', after: gen, bad: [7], how: kill, on_error: fail, cause: '{cause}'"
    spec = write(harness, f"poison: {{{step}, max_deliveries: 1}}", rows=20)
    code, text = harness.run(spec, timeout=90)
    assert code == 1, text
    assert "step 'poison': the worker died each of 2 times" in text
    cause.unlink()
    assert harness.run(spec)[0] == 0
    assert [row["n"] for row in harness.rows()] == list(range(20))


def test_a_batch_that_kills_and_has_inputs_of_unequal_length_fails_as_a_whole(harness: Harness) -> None:
    spec = harness.write_spec(
        """
name: poisoned
steps:
  left: {type: "mysteps:Count", rows: 70}
  right: {type: "mysteps:Count", rows: 60}
  pair: {type: "failing_steps:PoisonPair", after: [left, right], bad: [55], how: kill, max_deliveries: 1}
"""
    )
    code, text = harness.run(spec, timeout=90)
    assert code == 3, text
    assert [row["n"] for row in harness.rows()] == list(range(50))
    assert [letter.position for letter in harness.letters()] == list(range(20))
    assert "cannot be run row by row" in harness.letters()[0].error


@pytest.mark.parametrize("how", ["exit", "kill"])
def test_a_generator_that_kills_its_workers_ends_the_run_and_goes_on_later(harness: Harness, how: str) -> None:
    cause = harness.folder / "cause"
    cause.touch()
    spec = harness.write_spec(
        f"""
name: poisoned
steps:
  gen: {{type: "failing_steps:Breaks", at: 120, cause: "{cause}", how: {how}, max_deliveries: 2}}
  dbl: {{type: "mysteps:Double", after: gen}}
"""
    )
    code, text = harness.run(spec, timeout=90)
    assert code == 1, text
    assert "step 'gen': " in text
    assert "workers died while making rows from row 100 on" in text
    assert harness.left_over() == []
    cause.unlink()
    code, text = harness.run(spec)
    assert code == 0, text
    assert [row["n"] for row in harness.rows()] == list(range(500))


@pytest.mark.parametrize("how", ["exit", "kill"])
def test_a_global_step_that_kills_its_workers_ends_the_run_and_is_done_later(harness: Harness, how: str) -> None:
    cause = harness.folder / "cause"
    cause.touch()
    step = f"type: 'failing_steps:Everything', after: gen, cause: '{cause}', how: {how}, max_deliveries: 2"
    spec = write(harness, f"all: {{{step}}}")
    code, text = harness.run(spec, timeout=90)
    assert code == 1, text
    assert "step 'all': " in text
    assert "workers died on this batch" in text
    assert harness.left_over() == []
    cause.unlink()
    code, text = harness.run(spec)
    assert code == 0, text
    assert [row["n"] for row in harness.rows()] == list(range(200))


def test_a_step_that_calls_sys_exit_fails_its_rows_and_no_worker(harness: Harness) -> None:
    step = "type: 'failing_steps:Poison', after: gen, bad: [33], how: sys.exit, retries: 0"
    code, text = harness.run(write(harness, f"poison: {{{step}}}"))
    assert code == 3, text
    assert [row["n"] for row in harness.rows()] == [n for n in range(200) if n != 33]
    (letter,) = harness.letters()
    assert "3" in letter.error
    assert "died" not in harness.log


def test_deaths_of_a_generators_workers_count_only_while_they_make_the_same_rows(harness: Harness) -> None:
    notes = harness.folder / "notes"
    spec = harness.write_spec(
        f"""
name: poisoned
steps:
  gen: {{type: "failing_steps:DiesOften", rows: 300, batch_size: 20, every: 3, notes: "{notes}", max_deliveries: 2}}
  dbl: {{type: "mysteps:Double", after: gen}}
"""
    )
    code, text = harness.run(spec, timeout=90)
    assert code == 0, text
    assert [row["n"] for row in harness.rows()] == list(range(300))
    assert len(notes.read_text().splitlines()) >= 4


def test_a_step_that_cannot_be_loaded_again_after_its_worker_died_ends_the_run(harness: Harness) -> None:
    spec = write(harness, f"once: {{type: 'failing_steps:LoadsOnce', after: gen, loaded: '{harness.folder / 'mark'}'}}")
    code, text = harness.run(spec)
    assert code == 1, text
    assert "step 'once' cannot be loaded" in text
    assert "MemoryError: something holds the device" in text
    assert harness.left_over() == []

"""Rows that fail, in real runs: what happens to them and to the others, and which retries come first."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.runs.harness import Harness, harnesses

RETRY = "retries: 2, backoff: [0.001, 0.002]"


@pytest.fixture
def harness(tmp_path: Path) -> Iterator[Harness]:
    yield from harnesses(tmp_path)


def write(harness: Harness, *steps: str, rows: int = 500) -> Path:
    """A pipeline of `Count` and the steps given, each a line of YAML."""
    lines = "\n  ".join((f"gen: {{type: 'mysteps:Count', rows: {rows}, batch_size: 50}}", *steps))
    return harness.write_spec(f"name: failing\nsteps:\n  {lines}\n")


def called(notes: Path) -> list[list[int]]:
    """The rows of each call that a step noted."""
    return [json.loads(line) for line in notes.read_text().splitlines()]


@pytest.mark.parametrize("kind", ["Fragile", "FragileAsync"])
def test_one_bad_row_of_500_is_left_out_and_the_others_come_out_in_order(harness: Harness, kind: str) -> None:
    spec = write(harness, f"frag: {{type: 'failing_steps:{kind}', after: gen, bad: [137], {RETRY}}}")
    code, text = harness.run(spec)
    assert code == 3, text
    assert harness.rows() == [{"n": n, "text": f"row {n}", "double": 2 * n} for n in range(500) if n != 137]
    assert "499 rows" in text
    assert "frag: 1 row" in text
    assert harness.record().failed == {"frag": 1}
    assert harness.record().failed_rows == 1
    assert harness.left_over() == []


@pytest.mark.parametrize("kind", ["Fragile", "FragileAsync"])
def test_a_failed_row_is_a_dead_letter_with_all_that_is_known_of_it(harness: Harness, kind: str) -> None:
    spec = write(harness, f"frag: {{type: 'failing_steps:{kind}', after: gen, bad: [137], {RETRY}}}")
    assert harness.run(spec)[0] == 3
    (line,) = (harness.run_directory / "failures.jsonl").read_text().splitlines()
    letter = json.loads(line)
    assert letter["step"] == "frag"
    assert (letter["seq"], letter["position"]) == (2, 37)
    assert letter["row"] == {"n": 137, "text": "row 137"}
    assert letter["error"].startswith("RuntimeError: row 137 is bad (at ")
    assert "failing_steps.py:" in letter["error"]
    assert letter["attempts"] == 3
    assert letter["worker"]


@pytest.mark.parametrize("kind", ["Fragile", "FragileAsync"])
def test_with_on_error_nulls_the_row_stays_with_none_outputs_and_counts_as_failed(harness: Harness, kind: str) -> None:
    spec = write(
        harness, f"frag: {{type: 'failing_steps:{kind}', after: gen, bad: [0, 499], on_error: nulls, {RETRY}}}"
    )
    code, text = harness.run(spec)
    assert code == 3, text
    expected = [{"n": n, "text": f"row {n}", "double": None if n in (0, 499) else 2 * n} for n in range(500)]
    assert harness.rows() == expected
    assert [letter.row for letter in harness.letters()] == [{"n": n, "text": f"row {n}"} for n in (0, 499)]
    assert harness.record().failed == {"frag": 2}


def test_nulls_have_the_names_that_the_outputs_are_mapped_to(harness: Harness) -> None:
    mapped = "output_mappings: {double: twice}"
    spec = write(
        harness, f"frag: {{type: 'failing_steps:Fragile', after: gen, bad: [3], on_error: nulls, {mapped}, {RETRY}}}"
    )
    assert harness.run(spec)[0] == 3
    assert harness.rows()[2:5] == [
        {"n": 2, "text": "row 2", "twice": 4},
        {"n": 3, "text": "row 3", "twice": None},
        {"n": 4, "text": "row 4", "twice": 8},
    ]


@pytest.mark.parametrize(("kind", "calls"), [("Fragile", "2"), ("FragileAsync", "2")])
def test_a_step_that_fails_twice_and_then_works_loses_nothing(harness: Harness, kind: str, calls: str) -> None:
    notes = harness.folder / "notes"
    step = f"type: 'failing_steps:{kind}', after: gen, bad: [137], times: {calls}, notes: '{notes}'"
    spec = write(harness, f"frag: {{{step}, {RETRY}}}", rows=200)
    # Of a batch's three calls the third one works; batches before the bad one take calls of their own.
    if kind == "Fragile":
        spec.write_text(spec.read_text().replace("bad: [137]", "bad: [7]"))
    code, text = harness.run(spec)
    assert code == 0, text
    assert [row["n"] for row in harness.rows()] == list(range(200))
    assert harness.letters() == []
    assert len([rows for rows in called(notes) if rows[0] in (0, 137)]) == 3


def test_only_halves_with_the_bad_row_are_run_again(harness: Harness) -> None:
    notes = harness.folder / "notes"
    step = f"type: 'failing_steps:Fragile', after: gen, input_batch_size: 16, bad: [5], notes: '{notes}'"
    spec = write(harness, f"frag: {{{step}, retries: 1, backoff: [0.001, 0.002]}}", rows=32)
    assert harness.run(spec)[0] == 3
    batch = list(range(16))
    assert (
        [rows for rows in called(notes) if rows[0] < 16]
        == [
            *(batch, batch),  # with its retry
            batch[:8],
            *(batch[:4], batch[4:8]),
            *(batch[4:6], [4]),
            *([5], [5]),  # alone, with its retry
            batch[6:8],
            batch[8:],
        ]
    )
    assert [row["n"] for row in harness.rows()] == [n for n in range(32) if n != 5]


def test_no_row_is_run_twice_once_it_has_come_through_a_half(harness: Harness) -> None:
    notes = harness.folder / "notes"
    step = f"type: 'failing_steps:Fragile', after: gen, bad: [100, 149], notes: '{notes}'"
    spec = write(harness, f"frag: {{{step}, {RETRY}}}", rows=200)
    assert harness.run(spec)[0] == 3
    halves = [rows for rows in called(notes) if 100 <= rows[0] < 150 and len(rows) < 50]
    good = [n for rows in halves if not {100, 149} & set(rows) for n in rows]
    assert sorted(good) == list(range(101, 149))
    assert [letter.position for letter in harness.letters()] == [0, 49]


def test_a_batch_that_cannot_be_taken_apart_fails_as_a_whole(harness: Harness) -> None:
    notes = harness.folder / "notes"
    step = f"type: 'failing_steps:Whole', after: gen, bad: [137], notes: '{notes}'"
    spec = write(harness, f"whole: {{{step}, {RETRY}}}")
    code, text = harness.run(spec)
    assert code == 3, text
    assert [row["n"] for row in harness.rows()] == [n for n in range(500) if not 100 <= n < 150]
    assert len([rows for rows in called(notes) if rows[0] == 100]) == 3
    letters = harness.letters()
    assert [letter.position for letter in letters] == list(range(50))
    assert {letter.row["n"] for letter in letters if letter.row} == set(range(100, 150))
    assert all("row 137 is bad" in letter.error for letter in letters)
    assert harness.record().failed == {"whole": 50}


def join(left: int, right: int, bad: list[int], on_error: str = "skip") -> str:
    """Two generators whose rows meet in `Pair`."""
    return f"""
name: joined
steps:
  left: {{type: "mysteps:Count", rows: {left}, batch_size: 50}}
  right: {{type: "mysteps:Count", rows: {right}, batch_size: 50}}
  pair: {{type: "failing_steps:Pair", after: [left, right], bad: {bad}, on_error: {on_error}, {RETRY}}}
"""


def test_inputs_of_equal_length_are_bisected_together(harness: Harness) -> None:
    code, text = harness.run(harness.write_spec(join(200, 200, [77])))
    assert code == 3, text
    assert harness.rows() == [{"left": n, "right": n} for n in range(200) if n != 77]
    (letter,) = harness.letters()
    assert (letter.seq, letter.position, letter.row) == (1, 27, {"n": 77, "text": "row 77"})


@pytest.mark.parametrize(("left", "right"), [(130, 110), (110, 130)])
def test_a_batch_of_inputs_of_unequal_length_fails_as_a_whole_and_every_row_is_counted(
    harness: Harness, left: int, right: int
) -> None:
    code, text = harness.run(harness.write_spec(join(left, right, [105])))
    assert code == 3, text
    assert harness.rows() == [{"left": n, "right": n} for n in range(100)]
    letters = harness.letters()
    assert [(letter.seq, letter.position) for letter in letters] == [(2, place) for place in range(30)]
    assert harness.record().failed == {"pair": 30}


def test_rows_that_fail_in_one_branch_are_lost_at_the_join_and_nowhere_else(harness: Harness) -> None:
    spec = write(
        harness,
        f"left: {{type: 'failing_steps:Fragile', after: gen, bad: [3, 60], {RETRY}}}",
        f"right: {{type: 'failing_steps:FragileAsync', after: gen, bad: [60, 120], {RETRY}}}",
        "pair: {type: 'failing_steps:Pair', after: [left, right]}",
    )
    code, text = harness.run(spec)
    assert code == 3, text
    assert harness.rows() == [{"left": n, "right": n} for n in range(500) if n not in (3, 60, 120)]
    assert harness.record().failed == {"left": 2, "right": 2}


def test_holes_stay_in_their_places_through_steps_of_other_batch_sizes(harness: Harness) -> None:
    spec = write(
        harness,
        f"frag: {{type: 'failing_steps:Fragile', after: gen, bad: [0, 49, 50, 333], {RETRY}}}",
        "more: {type: 'mysteps:DoubleAsync', after: frag, input_batch_size: 7, seconds: 0.0}",
        "pair: {type: 'failing_steps:Pair', after: [gen, more], input_batch_size: 30}",
    )
    code, text = harness.run(spec)
    assert code == 3, text
    assert harness.rows() == [{"left": n, "right": n} for n in range(500) if n not in (0, 49, 50, 333)]


def test_a_retry_is_given_fresh_rows_however_a_step_treated_its_input(harness: Harness) -> None:
    notes = harness.folder / "notes"
    spec = write(harness, f"spoils: {{type: 'failing_steps:Spoils', after: gen, notes: '{notes}', {RETRY}}}", rows=50)
    code, text = harness.run(spec)
    assert code == 0, text
    assert called(notes) == [list(range(50))] * 2
    assert harness.rows() == [*({"n": n, "text": f"row {n}!"} for n in range(49)), {"n": -1, "text": "popped"}]


@pytest.mark.parametrize("on_error", ["skip", "nulls"])
def test_rows_that_a_generator_cannot_make_fail_and_the_others_come_out_in_order(
    harness: Harness, on_error: str
) -> None:
    mapped = "output_mappings: {text: words}, batch_size: 40"
    code, text = harness.run(
        harness.write_spec(
            f"""
name: gaps
steps:
  gen: {{type: "failing_steps:Gaps", bad: [0, 7, 8, 499], on_error: {on_error}, {mapped}}}
  more: {{type: "mysteps:DoubleAsync", after: gen, seconds: 0.0}}
"""
        )
    )
    assert code == 3, text
    bad = {0, 7, 8, 499}
    assert [(row["n"], row["words"]) for row in harness.rows()] == [
        (n, None if n in bad else f"row {n}") for n in range(500) if n not in bad or on_error == "nulls"
    ]
    assert harness.record().failed == {"gen": 4}
    letters = {letter.error: letter.row for letter in harness.letters()}
    assert letters == {f"no row {n}": {"n": n} for n in bad}


def test_a_row_that_a_generator_cannot_make_halts_the_run_if_on_error_says_so(harness: Harness) -> None:
    spec = harness.write_spec("name: gaps\nsteps:\n  gen: {type: 'failing_steps:Gaps', bad: [9], on_error: fail}\n")
    code, text = harness.run(spec)
    assert code == 1, text
    assert "no row 9" in text

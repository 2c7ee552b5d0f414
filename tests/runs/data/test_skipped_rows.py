"""Rows that pass steps by (`skip_when`), in a real run: their places, what they hold, and how they are counted."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.runs.harness import Harness, harnesses, wait_for
from tests.support.runs.sight import Sight

ROWS, TWICE = 240, 7
SPEC = f"""
name: skipping
steps:
  count: {{type: "mysteps:Count", rows: {ROWS}, batch_size: 20, seconds: 0.02}}
  double: {{type: "mysteps:Double", after: count, input_batch_size: 20, seconds: 0.05, skip_when: n % 3 == 0 or n < 40}}
  again:
    type: "mysteps:DoubleAsync"
    after: double
    input_batch_size: 13
    seconds: 0.01
    output_mappings: {{double: again}}
    skip_when: double is none or n % 5 == 0
  twice: {{type: "mysteps:Twice", after: again, input_batch_size: {TWICE}, skip_when: again is none}}
  reverse: {{type: "mysteps:Reverse", after: again, input_batch_size: 40, skip_when: n < 10}}
  last: {{type: "mysteps:Double", after: reverse, input_batch_size: 9, skip_when: n / (n - 100) > 1}}
"""


@pytest.fixture
def harness(tmp_path: Path) -> Iterator[Harness]:
    yield from harnesses(tmp_path)


def before() -> list[dict[str, Any]]:
    """The rows of `again`."""
    rows: list[dict[str, Any]] = []
    for n in range(ROWS):
        double = None if n % 3 == 0 or n < 40 else 2 * n
        again = None if double is None or n % 5 == 0 else 2 * n
        rows.append({"n": n, "text": f"row {n}", "double": double, "again": again})
    return rows


def of_twice() -> list[dict[str, Any]]:
    """A batch of which the step makes more rows than it takes ends with those that pass it by."""
    rows: list[dict[str, Any]] = []
    for start in range(0, ROWS, TWICE):
        batch = before()[start : start + TWICE]
        taken = [row for row in batch if row["again"] is not None]
        rows += [{**row, "copy": copy} for copy in (0, 1) for row in taken]
        rows += [{**row, "copy": None} for row in batch if row["again"] is None]
    return rows


def of_last() -> list[dict[str, Any]]:
    """The first ten rows have passed a global step by; what it reverses is behind them."""
    rows = [*before()[:10], *before()[:9:-1]]
    return [row if row["n"] > 100 else {**row, "double": 2 * row["n"]} for row in rows if row["n"] != 100]


def status(harness: Harness, redis_url: str, *options: str) -> str:
    """What the command says of the run once the broker answers it in time, which a busy host may need a while for."""
    said = ""

    def has_steps() -> bool:
        nonlocal said
        command = harness.start("pipeline-coordinator", "status", harness.record().run, "--broker", redis_url, *options)
        assert command.wait() == 0, command.text
        said = command.text
        return "rows_skipped" in said or "rows out" in said

    wait_for(has_steps, 60, "a status with the steps")
    return said


def test_rows_pass_steps_by_in_their_places_and_are_counted_once_whatever_is_killed(
    harness: Harness, redis_url: str
) -> None:
    spec, sight = harness.write_spec(SPEC), Sight(harness, redis_url)
    command = harness.start_run(spec, "--broker", redis_url)
    sight.wait_for_results("double", 3)
    sight.worker("double").kill()
    sight.wait_for_results("again", 8)
    command.kill()
    command.wait()
    assert sight.results("last") == 0, "nothing is left to resume"

    code, text = harness.run(spec, "--broker", redis_url)
    assert code == 3, text
    assert harness.rows("twice") == of_twice()
    assert harness.rows("last") == of_last()
    (letter,) = harness.letters()
    assert (letter.step, letter.row and letter.row["n"]) == ("last", 100)
    assert letter.error.startswith("skip_when: expression 'n / (n - 100) > 1': division by zero")

    passed = {
        "double": sum(row["double"] is None for row in before()),
        "again": sum(row["again"] is None for row in before()),
        "twice": sum(row["again"] is None for row in before()),
        "reverse": 10,
        "last": ROWS - 101,
    }
    assert harness.record().skipped == passed
    assert harness.record().failed == {"last": 1}
    assert f"  skipped     double: {passed['double']} rows\n              again: {passed['again']} rows\n" in text
    card = (harness.run_directory / "dataset" / "README.md").read_text()
    assert f"| `double` | {passed['double']} |\n| `again` | {passed['again']} |\n" in card
    words = status(harness, redis_url)
    assert f"\nskipped    double: {passed['double']}, again: {passed['again']}, " in words
    titles, *lines = [line for line in words.splitlines() if line.startswith(("step ", "count ", "double "))]
    assert [line[titles.index("skipped") :].split()[0] for line in lines] == ["-", f"{passed['double']}"]
    found = json.loads(status(harness, redis_url, "--json"))
    assert found["skipped"] == passed
    assert {step["name"]: step["rows_skipped"] for step in found["view"]["steps"]} == {"count": 0, **passed}
    assert {step["name"]: step["rows_in"] for step in found["view"]["steps"]}["double"] == ROWS


def test_a_step_whose_rows_all_pass_it_by_is_never_called(harness: Harness) -> None:
    notes = harness.folder / "notes"
    spec = harness.write_spec(f"""
name: none
steps:
  count: {{type: "mysteps:Count", rows: 30, batch_size: 10}}
  double: {{type: "mysteps:Double", after: count, input_batch_size: 5, notes: "{notes}", skip_when: n >= 10}}
  rows: {{type: "mysteps:DoubleAsync", after: double, seconds: 60, output_mappings: {{double: b}}, skip_when: n < 99}}
  all: {{type: "mysteps:Reverse", after: rows, skip_when: n < 99}}
""")
    code, text = harness.run(spec)
    assert code == 0, text
    doubled = [{"double": 2 * n if n < 10 else None, "b": None} for n in range(30)]
    assert harness.rows() == [{"n": n, "text": f"row {n}", **row} for n, row in enumerate(doubled)]
    assert [int(line.split()[1]) for line in notes.read_text().splitlines()] == list(range(10))


@pytest.mark.parametrize("on_error", ["nulls", "fail"])
def test_a_row_of_which_it_cannot_be_said_ends_as_on_error_says(harness: Harness, on_error: str) -> None:
    spec = harness.write_spec(f"""
name: unclear
steps:
  count: {{type: "mysteps:Count", rows: 30, batch_size: 10}}
  double: {{type: "mysteps:Double", after: count, on_error: {on_error}, skip_when: n / (n - 7) > 5}}
""")
    code, text = harness.run(spec)
    if on_error == "fail":
        assert code == 1
        assert "skip_when: expression 'n / (n - 7) > 5': division by zero; column 'n' holds" in text
        return
    assert code == 3, text
    passed = [n for n in range(30) if n != 7 and n / (n - 7) > 5]
    assert [row["double"] for row in harness.rows()] == [None if n in (*passed, 7) else 2 * n for n in range(30)]
    assert harness.record().skipped == {"double": len(passed)}
    assert harness.record().failed == {"double": 1}
    assert [letter.position for letter in harness.letters()] == [7]


ROUTES = """
from penstock.routing import routing_batch_function


@routing_batch_function(reads_rows=True)
def by_what_was_done(steps: list[str], rows: list[dict]) -> list[str]:
    return steps[:1] if all(row["double"] is None for row in rows) else steps[1:]
"""


def test_rows_pass_by_beside_rows_that_fail_or_kill_and_are_routed_with_the_others(harness: Harness) -> None:
    (harness.folder / "own_routes.py").write_text(ROUTES)
    spec = harness.write_spec("""
name: mixed
steps:
  count: {type: "mysteps:Count", rows: 60, batch_size: 10}
  fragile:
    type: "failing_steps:Fragile"
    after: count
    input_batch_size: 10
    bad: [32, 33]
    retries: 0
    skip_when: n % 2 == 0 or n >= 40
  undone: {type: "mysteps:Twice", after: fragile, input_batch_size: 5, skip_when: n == 41}
  done:
    type: "failing_steps:PoisonAsync"
    after: fragile
    input_batch_size: 5
    bad: [7, 8]
    how: kill
    max_deliveries: 1
    skip_when: n % 5 == 2
routing: {fragile: {function: "own_routes:by_what_was_done"}}
""")
    code, text = harness.run(spec, timeout=90)
    assert code == 3, text
    left = [n for n in range(40) if n not in (8, 33)]
    doubled = [(n, None if n % 2 == 0 and n % 5 == 2 else 2 * n) for n in left]
    assert [(row["n"], row["double"]) for row in harness.rows("done")] == doubled
    copies = [(row["n"], row["copy"]) for row in harness.rows("undone")]
    assert copies[:9] == [*((n, copy) for copy in (0, 1) for n in (40, 42, 43, 44)), (41, None)]
    letters = {(letter.step, letter.seq, letter.position) for letter in harness.letters()}
    assert letters == {("fragile", 3, 3), ("done", 1, 3)}
    assert harness.record().skipped == {"fragile": 40, "undone": 1, "done": 8}

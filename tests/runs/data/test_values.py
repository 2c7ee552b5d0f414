"""Values that rows, columns or the broker cannot hold: failed rows that name column and type, not dead runs."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from tests.support.runs.harness import Harness, harnesses


@pytest.fixture
def harness(tmp_path: Path) -> Iterator[Harness]:
    yield from harnesses(tmp_path)


def write(harness: Harness, *steps: str, rows: int = 200) -> Path:
    lines = "\n  ".join((f"gen: {{type: 'mysteps:Count', rows: {rows}, batch_size: 50}}", *steps))
    return harness.write_spec(f"name: values\nsteps:\n  {lines}\n")


@pytest.mark.parametrize("leaf", [True, False])
@pytest.mark.parametrize(
    ("what", "error"),
    [
        ("set", "column 'value' holds a value of type builtins.set"),
        ("object", "column 'value' holds a value of type builtins.object"),
        ("int", "column 'value' holds a value of type int (beyond 64 bits)"),
        ("key", "column 'value.deep[0].1' holds a value of type int as a key"),
        ("nested", "column 'value.list[1].set' holds a value of type builtins.set"),
        ("surrogate", "column 'value' holds a value of type str (not valid Unicode"),
    ],
)
def test_a_value_that_rows_cannot_hold_fails_its_row_alone(harness: Harness, what: str, error: str, leaf: bool) -> None:
    after = () if leaf else ("next: {type: 'mysteps:DoubleAsync', after: odd, seconds: 0.0}",)
    spec = write(harness, f"odd: {{type: 'failing_steps:Values', after: gen, bad: {{'77': {what}}}}}", *after)
    code, text = harness.run(spec)
    assert code == 3, text
    assert [row["value"] for row in harness.rows()] == [n for n in range(200) if n != 77]
    (letter,) = harness.letters()
    assert (letter.step, letter.seq, letter.position) == ("odd", 1, 27)
    assert letter.error.startswith(error)
    assert letter.row is not None
    assert letter.row.pop("value"), "what was made of the row is kept, as far as it can be said"
    assert letter.row == {"n": 77, "text": "row 77"}
    assert harness.record().failed == {"odd": 1}


@pytest.mark.parametrize("column", ["value", "text", "undeclared"])
def test_with_nulls_a_row_of_such_a_value_is_as_the_step_was_given_it(harness: Harness, column: str) -> None:
    """Also where the step put the value into the very row that it was given."""
    values = f"bad: {{'77': set}}, column: {column}, in_place: true, on_error: nulls"
    spec = write(harness, f"odd: {{type: 'failing_steps:Values', after: gen, {values}}}")
    code, text = harness.run(spec)
    assert code == 3, text
    assert harness.rows()[76:79] == [
        {"n": 76, "text": "row 76", "value": 76},
        {"n": 77, "text": "row 77", "value": None},
        {"n": 78, "text": "row 78", "value": 78},
    ]
    (letter,) = harness.letters()
    assert letter.row is not None
    assert ("undeclared" in letter.row) == (column == "undeclared")
    assert {"n": letter.row["n"], "text": letter.row["text"]} == {"n": 77, "text": "row 77"}


@pytest.mark.parametrize("choice", ["fail", "string"])
def test_a_column_of_several_types_costs_no_row_or_keeps_the_rows_whole(harness: Harness, choice: str) -> None:
    data = "[{n: 1, v: 1}, {n: 2, v: 0.5}, {n: 3, v: high}, {n: 4, v: 9007199254740993}]"
    spec = harness.write_spec(
        f"name: values\non_type_conflict: {choice}\nsteps:\n"
        f"  gen: {{type: LoadDataFromDicts, data: {data}}}\n"
        "  keep: {type: KeepColumns, after: gen, columns: [n, v]}\n"
    )
    code, text = harness.run(spec)
    assert code == (0 if choice == "string" else 3), text
    if choice == "string":
        assert [row["v"] for row in harness.rows()] == ["1", "0.5", "high", "9007199254740993"]
        return
    assert [row["v"] for row in harness.rows()] == [1.0, 0.5]
    assert [letter.row for letter in harness.letters()] == [{"n": 3, "v": "high"}, {"n": 4, "v": 9007199254740993}]
    assert "column 'v' holds str where float is expected" in harness.letters()[0].error


def test_with_on_error_fail_such_a_value_halts_the_run(harness: Harness) -> None:
    spec = write(harness, "odd: {type: 'failing_steps:Values', after: gen, bad: {'77': set}, on_error: fail}")
    code, text = harness.run(spec)
    assert code == 1, text
    assert "step 'odd': column 'value' holds a value of type builtins.set" in text


def test_a_row_larger_than_the_limit_fails_alone(harness: Harness) -> None:
    spec = write(harness, "odd: {type: 'failing_steps:Values', after: gen, bad: {'77': large}}")
    code, text = harness.run(spec, ROW_BYTES="1000000")
    assert code == 3, text
    assert [row["n"] for row in harness.rows()] == [n for n in range(200) if n != 77]
    (letter,) = harness.letters()
    assert "at most 1000000 are allowed (PENSTOCK_ROW_BYTES)" in letter.error
    assert letter.row == {"n": 77, "text": "row 77"}


def test_a_value_that_cannot_join_the_column_of_a_leaf_is_a_failed_row(harness: Harness) -> None:
    spec = write(harness, "odd: {type: 'failing_steps:Values', after: gen, bad: {'77': str}}")
    code, text = harness.run(spec)
    assert code == 3, text
    assert [row["value"] for row in harness.rows()] == [n for n in range(200) if n != 77]
    (letter,) = harness.letters()
    assert (letter.step, letter.seq, letter.position) == ("odd", 1, 27)
    assert letter.error == "column 'value' holds str where int is expected"
    assert letter.row == {"n": 77, "text": "row 77", "value": "a text"}
    assert harness.record().failed == {"odd": 1}
    assert "odd: 1 row" in text


def test_a_row_that_raises_and_one_beside_it_that_does_not_fit_are_both_kept(harness: Harness) -> None:
    """The rows of a leaf have other positions than those that the step was given: so dead letters could be mixed up."""
    spec = write(harness, "odd: {type: 'failing_steps:Values', after: gen, bad: {'76': set, '77': str, '78': str}}")
    code, text = harness.run(spec)
    assert code == 3, text
    assert [row["n"] for row in harness.rows()] == [n for n in range(200) if n not in (76, 77, 78)]
    letters = {letter.row["n"]: letter for letter in harness.letters() if letter.row}
    assert sorted(letters) == [76, 77, 78]
    assert [letters[n].position for n in (76, 77, 78)] == [26, 27, 28]
    assert harness.record().failed == {"odd": 3}


def test_rows_that_do_not_fit_are_kept_after_their_batch_was_done_again(harness: Harness) -> None:
    cause = harness.folder / "cause"
    cause.touch()
    spec = write(
        harness,
        "odd: {type: 'failing_steps:Values', after: gen, bad: {'77': str}}",
        f"leaf: {{type: 'failing_steps:Fragile', after: odd, bad: [77], cause: '{cause}', on_error: fail, retries: 0}}",
    )
    assert harness.run(spec)[0] == 1
    cause.unlink()
    code, text = harness.run(spec)
    assert code == 3, text
    (letter,) = harness.letters()
    assert letter.error == "column 'value' holds str where int is expected"
    assert (letter.step, letter.seq, letter.attempt, letter.position) == ("leaf", 1, 1, 27)


@pytest.mark.parametrize(
    ("what", "error"),
    [
        ("a tuple", "yields a tuple; it must yield lists of rows"),
        ("a dict", "yields a dict; it must yield lists of rows"),
        ("a None row", "yields a NoneType instead of a row"),
        ("nothing iterable", "yields a NoneType; it must yield lists of rows"),
    ],
)
def test_a_step_that_yields_something_else_than_rows_fails_those_rows_and_says_how(
    harness: Harness, what: str, error: str
) -> None:
    step = f"type: 'failing_steps:Odd', after: gen, bad: 77, what: {what}, retries: 0"
    code, text = harness.run(write(harness, f"odd: {{{step}}}"))
    assert code == 3, text
    assert [row["n"] for row in harness.rows()] == [n for n in range(200) if n != 77]
    (letter,) = harness.letters()
    assert error in letter.error


def test_a_step_that_returns_no_iterator_is_told_so(harness: Harness) -> None:
    spec = write(harness, "odd: {type: 'failing_steps:Odder', after: gen, retries: 0}")
    code, text = harness.run(spec)
    assert code == 1, text
    assert "step 'odd': UsageError: process of step" in text


FORGETFUL = """

class Forgets(Step):
    @property
    def outputs(self) -> list[str]:
        return ["double", "note"]

    def process(self, inputs: StepInput) -> StepOutput:
        yield [{**row, "double": 2} | ({} if row["n"] == 3 else {"note": None}) for row in inputs]


class ForgetsAll(Forgets, GlobalStep):
    pass


class ForgetsBackwards(Forgets, GlobalStep):
    def process(self, inputs: StepInput) -> StepOutput:
        yield from super().process(inputs[::-1])


class ForgetsOne(AsyncStep):
    @property
    def outputs(self) -> dict[str, bool]:
        return {"double": True, "note": True, "rare": False}

    async def process_row(self, row: Row) -> Row:
        return {**row, "double": 2} | ({} if row["n"] == 3 else {"note": None})


class CountsBadly(Count):
    @property
    def outputs(self) -> list[str]:
        return ["n", "note"]

    def process(self, offset: int = 0) -> GeneratorStepOutput:
        for rows, last in super().process(offset):
            yield [{"n": row["n"]} | ({} if row["n"] == 3 else {"note": None}) for row in rows], last
"""


def test_a_row_without_a_column_that_its_step_declares_fails_alone_in_every_kind_of_step(harness: Harness) -> None:
    spec = write(
        harness,
        "sync: {type: 'mysteps:Forgets', after: gen, output_mappings: {note: remark}}",
        "nulls: {type: 'mysteps:Forgets', after: gen, on_error: nulls}",
        "all: {type: 'mysteps:ForgetsAll', after: gen}",
        "back: {type: 'mysteps:ForgetsBackwards', after: gen, on_error: nulls}",
        "pieces: {type: 'mysteps:ForgetsBackwards', after: gen, on_error: nulls, input_batch_size: 7}",
        "one: {type: 'mysteps:ForgetsOne', after: gen}",
        "made: {type: 'mysteps:CountsBadly', rows: 20}",
        rows=20,
    )
    steps = harness.folder / "mysteps.py"
    steps.write_text(steps.read_text() + FORGETFUL)
    code, text = harness.run(spec)
    assert code == 3, text
    letters = {letter.step: letter for letter in harness.letters()}
    assert harness.record().failed == dict.fromkeys(("sync", "nulls", "all", "back", "pieces", "one", "made"), 1)
    for name in ("sync", "nulls", "all", "one"):
        column = "remark" if name == "sync" else "note"
        assert letters[name].error.startswith(f"step '{name}' declares the column '{column}' in its outputs")
        assert (letters[name].position, letters[name].attempts) == (3, 1)
        kept = letters[name].row
        assert kept is not None
        assert kept.items() >= {"n": 3, "text": "row 3"}.items()
        left = [n for n in range(20) if n != 3 or name == "nulls"]
        assert [row["n"] for row in harness.rows(name)] == left
    for name in ("back", "pieces"):
        assert letters[name].position == 16
        doubled = [(n, None if n == 3 else 2) for n in range(19, -1, -1)]
        assert [(row["n"], row["double"]) for row in harness.rows(name)] == doubled
    assert [row["n"] for row in harness.rows("made")] == [n for n in range(20) if n != 3]


NANOSECONDS = """

class Times(Step):
    outputs = property(lambda self: ["np"])

    def process(self, inputs: StepInput) -> StepOutput:
        import numpy as np

        yield [{**row, "np": np.datetime64("2024-01-01T10:00:00.000000001", "ns")} for row in inputs]
"""


def test_nanoseconds_dates_and_decimals_arrive_in_the_dataset_with_their_type(harness: Harness) -> None:
    table = pa.table(
        {
            "t": pa.array([1_700_000_000_123_456_789, 1_700_000_000_123_456_001], pa.timestamp("ns")),
            "day": [date(2024, 1, 2), None],
            "price": [Decimal("1.50"), Decimal("2.25")],
            "took": pa.array([5, 7], pa.duration("ms")),
        }
    )
    parquet.write_table(table, harness.folder / "in.parquet")
    spec = harness.write_spec(
        "name: times\nsteps:\n  load: {type: LoadDataFromFile, path: in.parquet}\n"
        "  times: {type: 'mysteps:Times', after: load}\n"
    )
    steps = harness.folder / "mysteps.py"
    steps.write_text(steps.read_text() + NANOSECONDS)
    code, text = harness.run(spec)
    assert code == 0, text
    (file,) = (harness.run_directory / "dataset" / "times").glob("*.parquet")
    found = parquet.read_table(file)
    assert found.column("t") == table.column("t")
    assert found.select(["day", "price", "took"]).to_pylist() == table.select(["day", "price", "took"]).to_pylist()
    kinds = [pa.timestamp("ns"), pa.date32(), pa.decimal128(3, 2), pa.duration("us"), pa.timestamp("ns")]
    assert found.schema.types == kinds
    assert str(found.column("np")[0].as_py()) == "2024-01-01 10:00:00.000000001"


def test_dicts_without_any_key_are_null_in_the_dataset_and_the_run_says_so(harness: Harness) -> None:
    data = "[{a: {}, b: [{}], c: {}}, {a: null, c: {x: 1}}]"
    spec = harness.write_spec(f"name: keyless\nsteps:\n  load: {{type: LoadDataFromDicts, data: {data}}}\n")
    code, text = harness.run(spec)
    assert code == 0, text
    assert harness.rows() == [{"a": None, "b": [None], "c": {"x": None}}, {"a": None, "b": None, "c": {"x": 1}}]
    said = "in the rows of 'load', no dict at 'a', 'b[]' has a key, and Parquet has no type for {}"
    assert said in " ".join(text.split())
    assert said in harness.log

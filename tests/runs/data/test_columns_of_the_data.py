"""Columns that are unknown before the run: a missing one halts it at the first batch of the step that needs it."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from common.broker.inbox import Taken
from common.protocol.batch import Batch, Failure
from common.steps.skip_rule import SkipRule
from tests.support.runs.broker import Run
from tests.support.runs.harness import Harness, harnesses
from tests.support.runs.sight import Sight
from tests.support.steps.sample_steps import Upper
from worker.batches.batch_work import Work
from worker.batches.holes import take_whole
from worker.batches.set_aside import set_aside
from worker.runners.first_batch import FirstBatch

UNKNOWN = """

class Rows(Count):
    \"\"\"Its columns depend on its data; every row has `body`, some have `more`.\"\"\"

    def output_columns(self, available: set[str] | None) -> set[str] | None:
        return None

    def process(self, offset: int = 0) -> GeneratorStepOutput:
        for rows, last in super().process(offset):
            yield [{"n": row["n"], "body": row["text"], **({"more": 1} if row["n"] % 5 else {})} for row in rows], last


class Needs(Step):
    column: str = "text"

    @property
    def inputs(self) -> list[str]:
        return [self.column]

    def process(self, inputs: StepInput) -> StepOutput:
        yield [{"n": row["n"], "got": row[self.column]} for row in inputs]


class NeedsAsync(AsyncStep):
    @property
    def inputs(self) -> list[str]:
        return ["text"]

    async def process_row(self, row: Row) -> Row:
        return {"n": row["n"], "got": row["text"]}


class NeedsAll(Needs, GlobalStep):
    pass
"""


@pytest.fixture
def harness(tmp_path: Path) -> Iterator[Harness]:
    yield from harnesses(tmp_path)


def write(harness: Harness, last: str, generator: str = "Rows") -> Path:
    spec = harness.write_spec(f"""
name: unknown
steps:
  rows: {{type: "mysteps:{generator}", rows: 200, batch_size: 20}}
  needs: {{after: rows, retries: 0, {last}}}
""")
    with (harness.folder / "mysteps.py").open("a") as file:
        file.write(UNKNOWN)
    return spec


@pytest.mark.parametrize(
    ("kind", "rows"), [("Needs", 10), ("NeedsAsync", 10), ("NeedsAll", 200)], ids=["step", "async", "global"]
)
def test_a_column_that_no_row_has_halts_the_run_with_a_remedy(harness: Harness, kind: str, rows: int) -> None:
    spec = write(harness, f'type: "mysteps:{kind}", input_batch_size: 10')
    code, text = harness.run(spec)
    assert code == 1
    expected = (
        f"step 'needs': it needs column 'text', which none of the {rows} rows of its first batch has; there are body, "
        "more, n; map one of them with input_mappings: {text: ...}"
    )
    assert expected in text
    assert harness.letters() == [], "no row fails for it"


def test_the_nearest_column_is_named_as_the_row_has_it(harness: Harness) -> None:
    spec = write(harness, 'type: "mysteps:Needs", input_mappings: {text: boddy}')
    code, text = harness.run(spec)
    assert code == 1
    assert "it needs column 'boddy' (as 'text'), which none of the 50 rows" in text
    assert "did you mean 'body'? (input_mappings: {text: body})" in text
    fixed = write(harness, 'type: "mysteps:Needs", input_mappings: {text: body}')
    assert "A fixed pipeline is a new run" in text
    assert harness.run(fixed)[0] == 0


def test_the_same_command_halts_again_in_the_same_words(harness: Harness, redis_url: str) -> None:
    spec = write(harness, 'type: "mysteps:Needs", input_batch_size: 10')
    for _ in range(2):
        code, text = harness.run(spec, "--broker", redis_url)
        assert (code, "step 'needs': it needs column 'text', which none of the 10 rows" in text) == (1, True)
    results = [entry for entry in Sight(harness, redis_url).journal() if getattr(entry, "step", "") == "needs"]
    assert {type(entry) for entry in results} == {Failure}, "no row of another batch has failed meanwhile"


def test_rows_without_a_column_that_others_have_fail_one_by_one(harness: Harness) -> None:
    code, text = harness.run(write(harness, 'type: "mysteps:Needs", column: more, input_batch_size: 10'))
    assert code == 3, text
    assert len(harness.rows()) == 160
    assert sorted(letter.row["n"] for letter in harness.letters() if letter.row) == list(range(0, 200, 5))


def test_what_one_worker_has_seen_holds_for_all(run: Run) -> None:
    """A late worker may start with rows that lack a column that others have."""
    step = Upper(name="a", input_mappings={"text": "body"})
    early, late, other = (FirstBatch(step, run.worker(name).notes) for name in ("w1", "w2", "w3"))
    assert early.complaint(work([])) is None, "no rows show nothing"
    assert "needs column 'body' (as 'text'), which none of the 2 rows" in str(early.complaint(work([{"n": 1}, {}])))
    assert early.complaint(work([{"n": 1}, {"body": "x"}])) is None
    assert early.complaint(work([{"n": 1}])) is None
    assert late.complaint(work([{"n": 1}])) is None
    assert other.complaint(work([{"n": 1}], [{"body": "x"}])) is None, "any of the inputs may have it"


def test_a_column_that_says_which_rows_pass_by_is_looked_for_as_well(run: Run) -> None:
    step = Upper(name="a", skip_when="scoer > 3")
    rule, early = SkipRule(step), FirstBatch(step, run.worker("w1").notes)
    some = work([{"score": 1, "text": "x"}, {"score": 5}])
    complaint = early.complaint(replace(some, whole=set_aside(some.whole, rule)))
    assert "its skip_when uses column 'scoer', which none of the 2 rows of its first batch has" in str(complaint)
    assert "did you mean 'score'?" in str(complaint)
    some = work([{"scoer": 1, "text": "x"}, {"score": 5}])
    assert early.complaint(replace(some, whole=set_aside(some.whole, rule))) is None
    some = work([{"score": 5}])
    assert early.complaint(replace(some, whole=set_aside(some.whole, rule))) is None, "such a row fails alone"


def work(*inputs: list[dict[str, object]]) -> Work:
    """A batch with these rows."""
    whole = take_whole(inputs)
    return Work(Taken("1-0", Batch("a", 3, 0), 1), whole, lambda: whole)


def test_a_column_that_the_steps_before_have_promised_is_not_looked_for_again(harness: Harness) -> None:
    """It was checked before the run; rows without it are rows that fail."""
    promised = (
        "\n\nclass Promises(Rows):\n    outputs = property(lambda self: {'n': True, 'text': False})\n\n"
        "    def output_columns(self, available):\n        return {'n', 'text'}\n"
    )
    spec = write(harness, 'type: "mysteps:Needs", max_failure_rate: 1.0', "Promises")
    with (harness.folder / "mysteps.py").open("a") as file:
        file.write(promised)
    code, text = harness.run(spec)
    assert code == 3, text
    assert len(harness.letters()) == 200


def test_it_is_found_in_the_dataset_of_an_interrupted_run_too(harness: Harness) -> None:
    """The first batch of the step may come late: the run is stopped before it, and halts when it is resumed."""
    spec = write(harness, 'type: "mysteps:NeedsAll"', "Rows")
    run = harness.start_run(spec.parent / spec.name, "--set", "rows.seconds=0.05")
    Sight(harness).wait_for_results("rows", 2)
    run.kill(signal.SIGINT)
    assert run.wait(30) == 130
    code, text = harness.run(spec, "--set", "rows.seconds=0.05")
    assert (code, "it needs column 'text'" in text) == (1, True)

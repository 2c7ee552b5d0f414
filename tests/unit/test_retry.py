"""Which errors are worth another try."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from common.errors import RowError, RunError, StepFailed, UsageError
from common.llms import EchoLLM
from common.steps import LoadDataFromFile, Step, StepInput, StepOutput, TextGeneration
from common.steps.base import BaseStep
from worker.attempts import Attempts
from worker.complaints import Complaints
from worker.retry import Retry, final_errors


def retry_of(step: BaseStep) -> Retry:
    return Retry(step, final_errors(step))


class Picky(Step):
    """Counts its calls, and fails batches that hold a number of `bad`."""

    final_errors = (RowError,)

    bad: list[int] = []
    final: bool = True

    def process(self, inputs: StepInput) -> StepOutput:
        CALLS.append([row["n"] for row in inputs])
        for row in inputs:
            if row["n"] in self.bad:
                raise RowError(f"{row['n']} is bad") if self.final else ConnectionError("no answer")
            row["n"] = -row["n"]
        yield inputs


CALLS: list[list[int]] = []


def tries(*errors: Exception, retries: int = 2) -> int:
    retry = retry_of(Picky(name="picky", retries=retries, backoff=(0, 0)))
    for error in errors:
        if retry.after(error) is None:
            break
    return retry.tries


def test_an_error_is_tried_again_as_often_as_the_step_says() -> None:
    assert tries(*[RuntimeError("busy")] * 9) == 3
    assert tries(*[RuntimeError("busy")] * 9, retries=0) == 1


def test_an_error_that_the_step_calls_final_is_not_tried_again() -> None:
    assert tries(*[RowError("no text")] * 9) == 1


@pytest.mark.parametrize("kind", [TypeError, KeyError, ValueError, AttributeError])
def test_an_error_of_code_or_data_that_says_the_same_again_is_not_tried_a_third_time(kind: type[Exception]) -> None:
    assert tries(*[kind("x")] * 9, retries=5) == 2
    assert tries(*(kind(f"x{number}") for number in range(9)), retries=5) == 6


@pytest.mark.parametrize(
    "error", [OSError("x"), ConnectionError("x"), TimeoutError("x"), json.JSONDecodeError("x", "", 0)]
)
def test_what_the_next_answer_may_mend_is_tried_again_though_it_says_the_same(error: Exception) -> None:
    assert tries(*[error] * 9, retries=5) == 6


class Chosen(EchoLLM):
    """A client that knows which prompts cannot be answered."""

    final_errors = (RowError,)


@pytest.mark.parametrize(("llm", "expected"), [(Chosen(), 1), (EchoLLM(), 3)])
def test_an_error_that_the_llm_of_a_step_calls_final_is_not_tried_again(llm: EchoLLM, expected: int) -> None:
    retry = retry_of(TextGeneration(llm=llm, backoff=(0, 0)))
    while retry.after(RowError("the prompt is too long")) is not None:
        pass
    assert retry.tries == expected


def test_a_file_that_is_wrong_is_not_read_again_and_one_that_cannot_be_read_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text("no JSON\n")
    loader = LoadDataFromFile(path=str(path))
    loader.load()

    def failure() -> Exception:
        with pytest.raises(RunError) as caught:
            list(loader.process())
        return caught.value

    assert retry_of(loader).after(failure()) is None

    def gone(*_: object, **__: object) -> None:
        raise OSError("the network is away")

    monkeypatch.setattr("common.steps.file_sources.FileSource.open", gone)
    error = failure()
    assert "the network is away" in str(error)
    assert retry_of(loader).after(error) is not None


def run(step: Step, rows: int) -> tuple[list[int], list[str]]:
    CALLS.clear()
    attempts = Attempts(step, lambda _: None, Complaints("picky"))
    outcome = attempts.run(lambda: [[{"n": number} for number in range(1, rows + 1)]])
    made = [row["n"] for _, rows_made in outcome.pieces for row in rows_made if row]
    return made, [failure.error for failure in outcome.failed]


def test_a_batch_with_rows_that_cannot_succeed_is_halved_at_once_and_each_row_gets_a_copy() -> None:
    made, errors = run(Picky(name="picky", bad=[7, 20], backoff=(0, 0)), 32)
    assert sorted(-number for number in made) == [n for n in range(1, 33) if n not in (7, 20)]
    assert len(errors) == 2
    assert "7 is bad" in errors[0]
    passes = sum(map(len, CALLS))
    assert passes <= 32 * 6, "n log n"
    assert CALLS.count([7]) == CALLS.count([20]) == 1


def test_a_batch_of_which_every_row_fails_is_passed_on_three_times_and_each_row_alone_once() -> None:
    made, errors = run(Picky(name="picky", bad=list(range(1, 257)), backoff=(0, 0)), 256)
    assert made == []
    assert [int(error.split()[1]) for error in errors] == list(range(1, 257))
    assert sum(map(len, CALLS)) <= 3 * 256
    assert all(CALLS.count([n]) == 1 for n in range(1, 257))


def test_after_rows_that_all_fail_those_that_do_not_are_passed_on_together_again() -> None:
    made, errors = run(Picky(name="picky", bad=list(range(1, 33)), backoff=(0, 0)), 1024)
    assert sorted(made) == sorted(-n for n in range(33, 1025))
    assert len(errors) == 32
    assert len(CALLS) < 32 + 2 * 10 + 5


def test_a_row_whose_error_may_pass_gets_its_own_retries() -> None:
    _, errors = run(Picky(name="picky", bad=[3], final=False, backoff=(0, 0)), 4)
    assert len(errors) == 1
    assert CALLS.count([1, 2, 3, 4]) == CALLS.count([3]) == 3


class Flaky(Step):
    """Fails each row the first time that it comes alone, all in the same words."""

    def process(self, inputs: StepInput) -> StepOutput:
        rows = [row["n"] for row in inputs]
        CALLS.append(rows)
        if len(rows) > 1 or CALLS.count(rows) == 1:
            raise ValueError("no answer")
        yield inputs


def test_the_error_of_a_neighbour_does_not_cost_a_row_its_retries() -> None:
    made, errors = run(Flaky(name="flaky", backoff=(0, 0)), 8)
    assert sorted(made) == list(range(1, 9))
    assert errors == []


class MisledInHalves(Step):
    """Finds out that something is wrong with its set-up, once it gets fewer than eight rows."""

    def process(self, inputs: StepInput) -> StepOutput:
        CALLS.append([row["n"] for row in inputs])
        raise UsageError("no such model") if len(inputs) < 8 else RuntimeError("no answer")
        yield


def test_a_usage_error_in_a_half_ends_the_run_at_once() -> None:
    with pytest.raises(StepFailed, match="no such model"):
        run(MisledInHalves(name="misled", retries=0), 8)
    assert len(CALLS) == 2

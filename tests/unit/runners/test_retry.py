"""Which errors are retried."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.building.components import retry_policy
from common.errors import FileChanged, RowError, RunError, SpecError, StepFailed, UsageError
from common.llms import EchoLLM
from common.steps import LoadDataFromFile, Step, StepInput, StepOutput, TextGeneration
from common.steps.base import BaseStep
from common.steps.retry import Again, GivenUp, Halts, Retry, RetryPolicy, Verdict
from worker.runners.attempts import Attempts
from worker.runners.complaints import Complaints


def retry_of(step: BaseStep) -> Retry:
    return Retry(retry_policy(step))


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
        if not isinstance(retry.after(error), Again):
            break
    return retry.tries


ERRORS = st.builds(
    lambda kind, words: kind(words),
    st.sampled_from([RuntimeError, ValueError, KeyError, OSError, RowError, RunError, TimeoutError]),
    st.sampled_from(["a", "b"]),
)
POLICIES = st.builds(
    RetryPolicy,
    st.integers(0, 6),
    st.tuples(st.floats(0, 5), st.floats(0, 20)),
    st.sampled_from([(), (RowError,), (RunError, OSError)]),
)


def verdicts(policy: RetryPolicy, errors: list[Exception]) -> list[Verdict]:
    """The verdict on each error, up to the one that ends the retries."""
    retry, found = Retry(policy), []
    for error in errors:
        found.append(retry.after(error))
        if not isinstance(found[-1], Again):
            break
    return found


@given(POLICIES, st.lists(ERRORS, min_size=8, max_size=8))
def test_a_call_is_made_again_at_most_as_often_as_the_step_says_and_then_given_up(
    policy: RetryPolicy, errors: list[Exception]
) -> None:
    *again, last = verdicts(policy, errors)
    assert len(again) <= policy.retries
    assert all(isinstance(one, Again) for one in again)
    assert last == GivenUp(errors[len(again)]), "of the last error, and not of the first one"
    assert not any(isinstance(error, policy.final) for error in errors[: len(again)])


@given(POLICIES, st.lists(ERRORS, min_size=8, max_size=8))
def test_no_wait_is_longer_than_the_step_says_nor_shorter_than_half_of_it(
    policy: RetryPolicy, errors: list[Exception]
) -> None:
    first, most = policy.backoff
    for number, one in enumerate(verdicts(policy, errors)[:-1]):
        assert isinstance(one, Again)
        full = min(most, first * 2**number)
        assert full / 2 <= one.seconds <= full


@given(
    POLICIES,
    st.lists(ERRORS, max_size=8),
    st.sampled_from([UsageError("wrong"), SpecError("wrong"), FileChanged("rows.jsonl", "it is longer")]),
)
def test_a_wrong_set_up_halts_the_run_whichever_try_finds_it(
    policy: RetryPolicy, before: list[Exception], wrong: Exception
) -> None:
    *_, last = verdicts(policy, [*before, wrong])
    if isinstance(last, GivenUp):  # before it came to that
        assert last.cause in before
    else:
        assert last == Halts(wrong)


def test_a_halt_is_said_with_the_kind_of_error_but_for_a_file_that_has_changed() -> None:
    assert Halts(UsageError("no such model")).error == "UsageError: no such model"
    assert Halts(FileChanged("rows.jsonl", "it is longer")).error.startswith("the file rows.jsonl has changed")


def test_jitter_spreads_the_waits() -> None:
    policy = RetryPolicy(3, (1.0, 3.0))
    retry = Retry(policy, lambda least, _most: least)
    assert [retry.after(RuntimeError("busy")) for _ in range(3)] == [Again(0.5), Again(1.0), Again(1.5)]


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
    while isinstance(retry.after(RowError("the prompt is too long")), Again):
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

    assert isinstance(retry_of(loader).after(failure()), GivenUp)

    def gone(*_: object, **__: object) -> None:
        raise OSError("the network is away")

    monkeypatch.setattr("common.steps.loading.file_sources.FileSource.open", gone)
    error = failure()
    assert "the network is away" in str(error)
    assert isinstance(retry_of(loader).after(error), Again)


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
    """Notices a wrong set-up once it gets fewer than eight rows."""

    def process(self, inputs: StepInput) -> StepOutput:
        CALLS.append([row["n"] for row in inputs])
        raise UsageError("no such model") if len(inputs) < 8 else RuntimeError("no answer")
        yield


def test_a_usage_error_in_a_half_ends_the_run_at_once() -> None:
    with pytest.raises(StepFailed, match="no such model"):
        run(MisledInHalves(name="misled", retries=0), 8)
    assert len(CALLS) == 2

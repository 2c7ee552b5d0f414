"""The fold, sentence by sentence: the breaker, failures, and how a halted run resumes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from common.protocol.batch import Chunk, Failure, Payload, Reopened, Result
from coordinator.fold.batch_manager import Halt
from coordinator.fold.effects import Release
from coordinator.plan.plan import Plan
from tests.support.fold.fold_executor import FoldExecutor
from tests.support.fold.fold_words import (
    ROW_BYTES,
    Finish,
    Fold,
    done,
    emitted,
    generator,
    global_step,
    halts,
    made,
    part,
    released,
    sent,
    sent_again,
    step,
)
from tests.support.fold.sequential_interpreter import Program, interpret
from tests.support.fold.trouble import Conditions

# the breaker


def breaker_fold(rows: int = 100, size: int = 5, rate: float = 0.5) -> Fold:
    """g -> a -> b; all of a's batches are sent, and the run continues."""
    fold = Fold(generator(), step("a", "g", size=size, rate=rate), step("b", "a", size=size))
    fold(*made("g", rows))
    return fold


def failed(seq: int, count: int, rows: int = 5, attempt: int = 0) -> Result:
    return done("a", seq, rows, attempt, failed=count, holes=count)


def test_a_result_with_failed_rows_is_held_until_20_rows_are_in() -> None:
    fold = breaker_fold()
    assert fold(failed(0, 1)) == []
    assert fold(done("a", 1, 5), done("a", 2, 5)) == []
    effects = fold(done("a", 3, 5))
    assert sent(effects) == [f"b{seq} <- a{seq}[0:5]" for seq in range(4)]
    assert released(effects) == []


def test_a_result_without_failed_rows_is_never_held() -> None:
    fold = breaker_fold()
    fold(failed(1, 5))
    assert sent(fold(done("a", 0, 5))) == ["b0 <- a0[0:5]"]


def test_more_failed_rows_than_the_rate_among_the_first_20_halt_the_run() -> None:
    fold = breaker_fold()
    fold(failed(0, 5), failed(1, 5), done("a", 2, 5))
    effects = fold(failed(3, 1))
    assert effects == [Halt("a", "11 of the last 20 rows failed")]
    assert fold.manager.halted == effects[0]


def test_as_many_failed_rows_as_the_rate_allows_do_not_halt_the_run() -> None:
    fold = breaker_fold()
    effects = fold(failed(0, 5), failed(1, 5), done("a", 2, 5), done("a", 3, 5))
    assert halts(effects) == []
    assert sent(effects) == [f"b{seq} <- a{seq}[0:5]" for seq in range(4)]


def test_later_the_last_1000_rows_are_judged() -> None:
    fold = breaker_fold(rows=4_000, size=100)
    for seq in range(20):
        assert halts(fold(done("a", seq, 100))) == []
    for seq in range(20, 25):
        assert halts(fold(failed(seq, 100, rows=100))) == []
    effects = fold(failed(25, 1, rows=100))
    assert effects == [Halt("a", "501 of the last 1000 rows failed")]


def test_rows_before_the_last_1000_are_forgotten() -> None:
    fold = breaker_fold(rows=4_000, size=100)
    fold(*(done("a", seq, 100) for seq in range(5)))
    for seq in range(5, 35):
        assert halts(fold(failed(seq, 50, rows=100))) == []


def test_a_step_that_ends_with_fewer_than_20_rows_applies_what_is_held() -> None:
    fold = breaker_fold(rows=15)
    assert fold(failed(0, 5), failed(1, 5)) == []
    effects = fold(failed(2, 4))
    assert sent(effects) == ["b0 <- a0[0:5]", "b1 <- a1[0:5]", "b2 <- a2[0:5]"]
    assert fold.manager.halted is None


@pytest.mark.parametrize("rows", [1, 5, 15])
def test_a_step_of_which_every_row_failed_halts_the_run_however_few_they_are(rows: int) -> None:
    fold = breaker_fold(rows=rows)
    sizes = [min(5, rows - start) for start in range(0, rows, 5)]
    effects = fold(*(failed(seq, size, rows=size) for seq, size in enumerate(sizes)))
    assert effects == [Halt("a", f"all {rows} rows failed")]
    again = fold(Reopened())
    assert len(sent_again(again)) == len(sizes)
    good = fold(*(done("a", seq, size, 1) for seq, size in enumerate(sizes)))
    assert len(sent(good)) == len(sizes)
    assert halts(good) == []


def test_rows_that_pass_a_step_by_say_nothing_about_the_rows_that_failed() -> None:
    fold = breaker_fold(rows=100, size=50)
    effects = fold(done("a", 0, 50, failed=11, holes=11, skipped=30))
    assert effects == [Halt("a", "11 of the last 20 rows failed")]


def test_a_step_halts_the_run_if_all_rows_failed_that_did_not_pass_it_by() -> None:
    fold = breaker_fold(rows=10)
    assert fold(done("a", 0, 5, skipped=5)) != []
    assert fold(done("a", 1, 5, failed=2, holes=2, skipped=3)) == [Halt("a", "all 2 rows failed")]
    assert halts(breaker_fold(rows=5)(done("a", 0, 5, skipped=5))) == []


def test_a_step_of_which_every_row_may_fail_ends_without_rows() -> None:
    fold = breaker_fold(rows=5, rate=1.0)
    assert halts(fold(failed(0, 5))) == []


def test_a_step_whose_input_ends_after_its_rows_failed_halts_the_run_at_that_end() -> None:
    fold = Fold(generator(), step("a", "g", size=5, rate=0.5))
    assert halts(fold(*made("g", 5, last=False), failed(0, 5))) == []
    assert fold(done("g", 1, 0, taken=0, last=True)) == [Halt("a", "all 5 rows failed")]


def test_rows_that_did_not_fail_before_a_halt_count_when_the_rest_fails_again() -> None:
    fold = breaker_fold(rows=10)
    fold(done("a", 0, 5), Failure("a", 1, 0, "no"), Reopened())
    assert sent(fold(failed(1, 5, attempt=1))) == ["b1 <- a1'1[0:5]"]


def test_a_global_step_of_which_every_row_failed_halts_the_run() -> None:
    fold = Fold(generator(), global_step("all", "g"))
    fold(*made("g", 3))
    assert fold(Result("all", 0, 0, (Chunk(3, 30),), taken=3, failed=3, holes=3)) == [Halt("all", "all 3 rows failed")]


def test_a_step_whose_input_ends_after_its_last_result_applies_what_is_held() -> None:
    fold = Fold(generator(), step("a", "g", size=5))
    fold(*made("g", 5, last=False), failed(0, 4))
    assert emitted(fold(done("g", 1, 0, taken=0, last=True))) == ["a0"]


def test_a_step_does_not_apply_what_is_held_while_a_batch_of_it_is_to_be_done_again() -> None:
    fold = breaker_fold(rows=10)
    assert fold(Failure("a", 1, 0, "no"), failed(0, 5)) == [Halt("a", "no")]
    assert sent_again(fold(Reopened())) == ["a0 <- g0[0:5], attempt 1", "a1 <- g0[5:10], attempt 1"]


def test_a_halted_run_still_takes_good_results_and_holds_the_others() -> None:
    fold = breaker_fold()
    fold(*(failed(seq, 5) for seq in range(4)))
    assert sent(fold(done("a", 5, 5), failed(4, 1))) == []
    assert fold.manager.steps["a"].counts.done == 1


def test_a_reopened_run_does_again_what_was_held_and_releases_its_payloads() -> None:
    fold = breaker_fold()
    fold(*(failed(seq, 5) for seq in range(4)))
    held = fold.manager.payload_bytes
    effects = fold(Reopened())
    assert released(effects) == ["a0", "a1", "a2", "a3"]
    assert sent_again(effects) == [
        "a0 <- g0[0:5], attempt 1",
        "a1 <- g0[5:10], attempt 1",
        "a2 <- g0[10:15], attempt 1",
        "a3 <- g0[15:20], attempt 1",
    ]
    assert fold.manager.payload_bytes == held - 20 * ROW_BYTES
    assert fold.manager.halted is None


def test_a_reopened_run_counts_failed_rows_anew() -> None:
    fold = breaker_fold()
    fold(*(failed(seq, 5) for seq in range(4)), Reopened())
    assert fold(failed(0, 5, attempt=1), failed(1, 5, attempt=1), failed(2, 5, attempt=1)) == []
    assert halts(fold(failed(3, 5, attempt=1))) == [Halt("a", "20 of the last 20 rows failed")]


def test_rows_before_a_halt_are_forgotten_once_the_run_is_reopened() -> None:
    fold = breaker_fold(rows=4_000, size=100)
    assert halts(fold(failed(0, 100, rows=100)))
    fold(Reopened(), done("a", 0, 100, attempt=1), *(done("a", seq, 100) for seq in range(1, 10)))
    for seq in range(10, 15):
        assert halts(fold(failed(seq, 100, rows=100))) == []
    assert fold(failed(15, 1, rows=100)) == [Halt("a", "501 of the last 1000 rows failed")]


def test_the_payloads_of_a_held_global_result_are_released_by_their_own_seqs() -> None:
    fold = Fold(generator(), global_step("all", "g"))
    fold(*made("g", 40))
    chunks = tuple(Chunk(10, 100) for _ in range(4))
    assert halts(fold(Result("all", 0, 0, chunks, taken=40, failed=30, holes=30)))
    effects = fold(Reopened())
    assert released(effects) == ["all0", "all1", "all2", "all3"]
    assert sent_again(effects) == ["all0 <- g0[0:40], attempt 1"]
    assert emitted(fold(Result("all", 0, 1, chunks, taken=40))) == ["all0'1", "all1'1", "all2'1", "all3'1"]


def test_a_run_that_halts_with_its_last_result_finishes_only_when_it_is_reopened() -> None:
    fold = Fold(generator())
    assert fold(done("g", 0, 20, taken=40, failed=30, last=True))[-1] == Halt("g", "30 of the last 40 rows failed")
    assert fold(part("g", 0, 0, 20)) == []
    assert fold(Reopened()) == [Finish()]


def test_a_generator_is_judged_but_what_it_made_is_made() -> None:
    fold = Fold(generator(), step("a", "g", size=5))
    effects = fold(done("g", 0, 5, taken=25, failed=20))
    assert sent(effects) == ["a0 <- g0[0:5]"]
    assert halts(effects) == [Halt("g", "20 of the last 25 rows failed")]
    assert fold(Reopened()) == []
    assert sent(fold(done("g", 1, 5, taken=5))) == ["a1 <- g1[0:5]"]


def test_the_breaker_forgets_results_without_rows() -> None:
    """A long run of a generator must not fill the memory."""
    fold = Fold(generator(), step("a", "g"))
    sizes = [len(fold.manager.steps["g"].breaker._recent) for seq in range(100) if fold(done("g", seq, 1, taken=0))]
    assert not any(sizes)


# failures


def test_a_failure_halts_the_run() -> None:
    fold = breaker_fold()
    assert fold(Failure("a", 0, 0, "no space left")) == [Halt("a", "no space left")]


def test_only_the_first_failure_halts() -> None:
    fold = breaker_fold()
    assert fold(Failure("a", 0, 0, "one"), Failure("a", 1, 0, "two")) == [Halt("a", "one")]


def test_a_reopened_run_does_failed_batches_again_in_order() -> None:
    fold = breaker_fold()
    fold(Failure("a", 3, 0, "two"), Failure("a", 1, 0, "one"))
    effects = fold(Reopened())
    assert sent_again(effects) == ["a1 <- g0[5:10], attempt 1", "a3 <- g0[15:20], attempt 1"]
    assert released(effects) == []


def test_what_was_in_flight_when_the_run_halted_keeps_its_attempt() -> None:
    fold = breaker_fold()
    fold(Failure("a", 1, 0, "no"), Reopened())
    assert sent(fold(done("a", 0, 5))) == ["b0 <- a0[0:5]"]


def test_late_results_of_an_old_attempt_are_ignored() -> None:
    fold = breaker_fold()
    fold(Failure("a", 0, 0, "no"), Reopened())
    before = fold.manager.payload_bytes
    assert set(fold(done("a", 0, 5), failed(0, 5), Failure("a", 0, 0, "no"))) == {Release(Payload("a", 0))}
    assert fold.manager.payload_bytes == before
    assert sent(fold(done("a", 0, 5, attempt=1))) == ["b0 <- a0'1[0:5]"]


def test_a_second_result_of_an_attempt_is_ignored() -> None:
    fold = breaker_fold()
    fold(done("a", 0, 5), failed(1, 5), Failure("a", 2, 0, "no"))
    before = fold.manager.payload_bytes
    assert fold(done("a", 0, 4, taken=5), done("a", 1, 5), done("a", 2, 5)) == [Release(Payload("a", 2))]
    assert fold.manager.payload_bytes == before


def test_a_generator_that_raised_goes_on_where_it_was() -> None:
    fold = Fold(generator(), step("a", "g", size=2))
    fold(*made("g", 2, last=False))
    assert fold(Failure("g", 1, 0, "gone")) == [Halt("g", "gone")]
    assert fold(Reopened()) == []
    assert sent(fold(done("g", 1, 2, attempt=1, taken=0))) == ["a1 <- g1'1[0:2]"]


def test_a_generators_failure_counts_once_per_attempt() -> None:
    fold = Fold(generator(), step("a", "g"))
    fold(Failure("g", 0, 0, "gone"), Failure("g", 0, 0, "gone"))
    assert fold.manager.steps["g"].counts.tickets == 1
    fold(Reopened())
    assert fold(Failure("g", 0, 0, "gone")) == []
    assert fold(Failure("g", 0, 1, "gone again")) == [Halt("g", "gone again")]
    assert fold.manager.steps["g"].counts.tickets == 2


def test_a_run_that_is_not_halted_is_not_reopened() -> None:
    fold = breaker_fold()
    fold(failed(0, 5))
    assert fold(Reopened()) == []
    assert halts(fold(*(failed(seq, 5) for seq in (1, 2, 3))))


def test_a_global_step_in_a_side_branch_may_fail() -> None:
    fold = Fold(generator(), global_step("side", "g", optional=True), step("a", "g", size=5))
    fold(*made("g", 5))
    assert fold(Failure("side", 0, 0, "no")) == []
    assert fold.manager.halted is None
    assert fold.manager.steps["side"].counts.failed == 5
    effects = fold(done("a", 0, 5), part("a", 0, 0, 5))
    assert released(effects) == ["g0"]
    assert effects[-1] == Finish()


# rows that a leaf gives and that cannot be written


def leaf_fold(rate: float = 0.5) -> Fold:
    return Fold(generator(), step("a", "g", size=5, rate=rate))


def test_a_leaf_of_which_no_row_can_be_written_halts_the_run_and_halts_it_again_when_it_is_reopened() -> None:
    fold = leaf_fold()
    fold(*made("g", 5), done("a", 0, 5))
    (halt,) = fold(part("a", 0, 0, 0, failed=5))
    assert isinstance(halt, Halt)
    assert halt.reason.startswith("none of its 5 rows could be written")
    assert fold(Reopened()) == [halt]
    assert not fold.manager.finished


def test_a_generator_of_which_every_row_fails_halts_the_run_however_few_they_are() -> None:
    fold = leaf_fold()
    halts_of = [effect for effect in fold(done("g", 0, 0, taken=3, failed=3, last=True)) if isinstance(effect, Halt)]
    assert [halt.reason[:29] for halt in halts_of] == ["all of its 3 rows failed; fix"]
    assert fold(Reopened()) == halts_of
    one_comes = leaf_fold()
    one_comes(done("g", 0, 1, taken=3, failed=2, last=True))
    assert one_comes.manager.halted is None


def test_a_leaf_of_which_no_row_can_be_written_ends_the_run_where_any_number_may_fail() -> None:
    fold = leaf_fold(rate=1)
    fold(*made("g", 5), done("a", 0, 5))
    assert fold(part("a", 0, 0, 0, failed=5)) == [Finish()]


def test_one_row_that_is_written_is_enough_for_a_run_to_end() -> None:
    fold = leaf_fold()
    fold(*made("g", 5), done("a", 0, 5))
    assert fold(part("a", 0, 0, 1, failed=4)) == [Finish()]


def test_twenty_rows_one_after_the_other_that_cannot_be_written_halt_the_run_before_it_makes_more_of_them() -> None:
    fold = leaf_fold()
    fold(*made("g", *[5] * 9, last=False), *(done("a", seq, 5) for seq in range(9)), part("a", 0, 0, 5))
    assert not halts(fold(part("a", 1, 3, 0, failed=15)))
    (halt,) = halts(fold(part("a", 4, 4, 0, failed=5)))
    assert halt.reason.startswith("none of the last 20 rows could be written")
    assert not halts(fold(Reopened(), part("a", 5, 7, 0, failed=15)))
    assert fold.manager.halted is None


# whole runs


def chain() -> tuple[Plan, dict[str, Program]]:
    steps = (generator(), step("a", "g", size=7), step("b", "a", size=4), step("c", "a", "b", size=3))
    programs = {
        "g": Program(yields=[list(range(start, start + 10)) for start in range(0, 60, 10)]),
        "a": Program(process=lambda inputs: [row + 1 for row in inputs[0]]),
        "b": Program(process=lambda inputs: [row for row in inputs[0] if row % 3]),
        "c": Program(process=lambda inputs: [sum(rows) for rows in inputs]),
    }
    return Plan({one.name: one for one in steps}), programs


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(
    "conditions",
    [
        Conditions(breaks=frozenset({("a", 2), ("g", 0), ("g", 3), ("c", 0)})),
        Conditions(outage="a"),
        Conditions(outage="b", breaks=frozenset({("a", 0)}), crashes=0.1),
    ],
)
def test_a_run_that_was_halted_and_reopened_ends_with_the_rows_of_one_that_was_not(
    conditions: Conditions, seed: int
) -> None:
    plan, programs = chain()
    executor = FoldExecutor(plan, programs, replace(conditions, seed=seed)).run()
    assert executor.halts
    assert executor.sink.leaves == interpret(plan, programs).leaves

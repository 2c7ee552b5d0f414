"""The fold, sentence by sentence: how batches are cut, payloads freed and a run ended."""

from __future__ import annotations

from common.protocol.batch import Chunk, Payload, Result
from coordinator.fold.effects import Dispatch, Emit, Release
from tests.support.fold.fold_words import (
    ROW_BYTES,
    Finish,
    Fold,
    done,
    emitted,
    generator,
    global_step,
    made,
    part,
    released,
    sent,
    step,
)

# batches


def test_a_batch_is_cut_as_soon_as_batch_size_rows_are_there() -> None:
    fold = Fold(generator(), step("a", "g", size=4))
    first, second = made("g", 3, 3, last=False)
    assert sent(fold(first)) == []
    assert sent(fold(second)) == ["a0 <- g0[0:3] g1[0:1]"]


def test_an_output_larger_than_a_batch_is_split() -> None:
    fold = Fold(generator(), step("a", "g", size=2))
    assert sent(fold(*made("g", 5, last=False))) == ["a0 <- g0[0:2]", "a1 <- g0[2:4]"]


def test_the_last_batch_takes_what_is_left() -> None:
    fold = Fold(generator(), step("a", "g", size=4))
    assert sent(fold(*made("g", 3, 3))) == ["a0 <- g0[0:3] g1[0:1]", "a1 <- g1[1:3]"]


def test_rows_that_fill_the_last_batch_leave_no_empty_batch_behind() -> None:
    fold = Fold(generator(), step("a", "g", size=3))
    assert sent(fold(*made("g", 3, 3, 0))) == ["a0 <- g0[0:3]", "a1 <- g1[0:3]"]
    assert fold.manager.steps["a"].input_ended


def test_outputs_are_cut_in_the_order_of_their_seq_whatever_the_order_of_the_results() -> None:
    fold = Fold(generator(), step("a", "g", size=2), step("b", "a", size=4))
    fold(*made("g", 6, last=False))
    assert sent(fold(done("a", 2, 2))) == []
    assert sent(fold(done("a", 1, 2))) == []
    assert sent(fold(done("a", 0, 2))) == ["b0 <- a0[0:2] a1[0:2]"]


def test_a_join_takes_batch_size_rows_from_each_predecessor_in_the_order_of_its_predecessors() -> None:
    fold = Fold(generator("g"), generator("h"), step("j", "h", "g", size=2))
    assert sent(fold(*made("g", 5, last=False))) == []
    assert sent(fold(*made("h", 3, last=False))) == ["j0 <- h0[0:2] | g0[0:2]"]


def test_the_last_batches_of_unequal_predecessors_take_what_is_left_of_each() -> None:
    fold = Fold(generator("g"), generator("h"), step("j", "g", "h", size=2))
    fold(*made("g", 3))
    assert sent(fold(*made("h", 6, last=False))) == [
        "j0 <- g0[0:2] | h0[0:2]",
        "j1 <- g0[2:3] | h0[2:4]",
        "j2 <- nothing of g | h0[4:6]",
    ]


def test_an_exhausted_predecessor_does_not_make_short_batches_of_one_that_goes_on() -> None:
    fold = Fold(generator("g"), generator("h"), step("j", "g", "h", size=4))
    fold(*made("g", 1))
    assert sent(fold(*made("h", 3, last=False))) == []


def test_a_step_may_return_fewer_rows_than_it_got() -> None:
    fold = Fold(generator(), step("a", "g", size=4), step("b", "a", size=4))
    fold(*made("g", 8, last=False))
    assert sent(fold(done("a", 0, 1, taken=4))) == []
    assert sent(fold(done("a", 1, 3, taken=4))) == ["b0 <- a0[0:1] a1[0:3]"]


def test_a_step_may_return_more_rows_than_it_got() -> None:
    fold = Fold(generator(), step("a", "g", size=2), step("b", "a", size=4))
    fold(*made("g", 2, last=False))
    assert sent(fold(done("a", 0, 9, taken=2))) == ["b0 <- a0[0:4]", "b1 <- a0[4:8]"]


def test_a_step_may_return_no_rows() -> None:
    fold = Fold(generator(), step("a", "g", size=2), step("b", "a", size=2))
    fold(*made("g", 4))
    assert sent(fold(done("a", 0, 0, taken=2))) == []
    assert sent(fold(done("a", 1, 2))) == ["b0 <- a1[0:2]"]


def test_a_batch_without_rows_is_never_sent() -> None:
    fold = Fold(generator(), step("a", "g"), global_step("all", "a"), step("b", "all"))
    fold(*made("g", 2))
    effects = fold(done("a", 0, 0, taken=2))
    assert sent(effects) == []
    assert effects[-1] == Finish()
    assert fold.manager.steps["all"].counts.batches == 0


def test_holes_count_when_batches_are_cut() -> None:
    fold = Fold(generator(), step("a", "g", size=4, rate=1.0), step("b", "a", size=2))
    fold(*made("g", 24))
    for seq in range(5):
        fold(done("a", seq, 4))
    assert sent(fold(done("a", 5, 4, failed=3, holes=3))) == ["b10 <- a5[0:2]", "b11 <- a5[2:4]"]


def test_every_successor_gets_all_the_rows() -> None:
    fold = Fold(generator(), step("a", "g", size=2), step("b", "g", size=3))
    assert sent(fold(*made("g", 3))) == ["a0 <- g0[0:2]", "a1 <- g0[2:3]", "b0 <- g0[0:3]"]


# global steps


def test_a_global_step_waits_for_everything_and_gets_it_in_one_batch() -> None:
    fold = Fold(generator("g"), generator("h"), global_step("all", "g", "h"))
    assert sent(fold(*made("g", 2, 0, 15))) == []
    assert sent(fold(*made("h", 1))) == ["all0 <- g0[0:2] g2[0:15] | h0[0:1]"]


def test_each_chunk_of_a_global_steps_output_is_an_output_batch() -> None:
    fold = Fold(generator(), global_step("all", "g"), step("a", "all", size=4))
    fold(*made("g", 9))
    result = Result("all", 0, 0, tuple(Chunk(3, 30) for _ in range(3)), taken=9)
    effects = fold(result)
    assert sent(effects) == ["a0 <- all0[0:3] all1[0:1]", "a1 <- all1[1:3] all2[0:2]", "a2 <- all2[2:3]"]
    assert released(effects) == ["g0"]


# payloads


def test_a_payload_is_released_when_the_last_batch_cut_from_it_is_done() -> None:
    fold = Fold(generator(), step("a", "g", size=2), step("b", "g", size=3))
    fold(*made("g", 3))
    assert released(fold(done("a", 0, 2), done("b", 0, 3))) == []
    assert released(fold(done("a", 1, 1))) == ["g0"]


def test_a_payload_is_kept_while_rows_of_it_are_not_cut() -> None:
    fold = Fold(generator(), step("a", "g", size=2))
    fold(*made("g", 3, last=False))
    assert released(fold(done("a", 0, 2))) == []


def test_a_payload_that_was_stored_without_rows_is_released_at_once() -> None:
    fold = Fold(generator(), step("a", "g"))
    assert released(fold(Result("g", 0, 0, (Chunk(0, 1),)))) == ["g0"]
    assert fold.manager.payload_bytes == 0


def test_a_second_result_of_a_batch_leaves_the_payload_that_is_needed_and_frees_one_that_nobody_needs() -> None:
    fold = Fold(generator(), step("a", "g"), step("b", "a"))
    fold(*made("g", 10), done("a", 0, 10))
    assert released(fold(done("a", 0, 10))) == []
    assert released(fold(done("b", 0, 10))) == ["a0"]
    assert released(fold(done("a", 0, 10))) == ["a0"]
    assert fold.manager.payload_bytes == 10 * ROW_BYTES


def test_a_second_result_with_a_file_of_its_own_frees_that_file() -> None:
    fold = Fold(generator(), step("a", "g"), step("b", "a"))
    fold(*made("g", 10), Result("a", 0, 0, (Chunk(10, 99, "a-0-first"),)))
    again = fold(Result("a", 0, 0, (Chunk(10, 99, "a-0-second"),)))
    assert again == [Release(Payload("a", 0, 0, "a-0-second"))]


def test_the_name_of_an_external_payload_stays_with_it() -> None:
    fold = Fold(generator(), step("a", "g"))
    (batch,) = (e.batch for e in fold(Result("g", 0, 0, (Chunk(10, 99, "g/0-nonce"),))) if isinstance(e, Dispatch))
    assert batch.inputs[0].slices[0].payload == Payload("g", 0, 0, "g/0-nonce")
    assert fold(done("a", 0, 10))[0] == Release(Payload("g", 0, 0, "g/0-nonce"))


def test_payload_bytes_count_what_is_announced_and_not_let_go() -> None:
    fold = Fold(generator(), step("a", "g", size=4))
    fold(*made("g", 4))
    assert fold.manager.payload_bytes == 4 * ROW_BYTES
    fold(done("a", 0, 3, taken=4))
    assert fold.manager.payload_bytes == 3 * ROW_BYTES
    fold(part("a", 0, 0, 3))
    assert fold.manager.payload_bytes == 0


def test_payloads_in_files_and_those_that_wait_for_a_global_step_do_not_count_as_work_in_flight() -> None:
    fold = Fold(generator(), step("a", "g"), global_step("all", "a"))
    fold(Result("g", 0, 0, (Chunk(10, 99, "g/0-nonce"),)))
    assert fold.manager.payload_bytes == 0
    fold(done("a", 0, 10))
    assert fold.manager.payload_bytes == 0


def test_what_a_leaf_put_into_a_file_is_released_with_the_part_that_holds_it() -> None:
    fold = Fold(generator(), step("a", "g", size=5))
    fold(*made("g", 10))
    fold(Result("a", 0, 0, (Chunk(5, 99, "a/0-nonce"),)), done("a", 1, 5))
    assert fold.manager.holdings.files == {"a/0-nonce"}
    assert fold.manager.holdings.in_store == 99
    assert [effect for effect in fold(part("a", 0, 1, 10)) if isinstance(effect, Release)] == [
        Release(Payload("a", 0, 0, "a/0-nonce"))
    ]
    assert (fold.manager.holdings.files, fold.manager.holdings.in_store) == (set(), 0)


# leaves and the end


def test_outputs_of_a_leaf_are_emitted_in_order() -> None:
    fold = Fold(generator(), step("a", "g", size=2))
    fold(*made("g", 6))
    assert emitted(fold(done("a", 1, 2))) == []
    effects = fold(done("a", 0, 2))
    assert [effect for effect in effects if isinstance(effect, Emit)] == [
        Emit(Payload("a", 0), 2, 20),
        Emit(Payload("a", 1), 2, 20),
    ]


def test_the_run_finishes_when_every_leaf_is_on_disk() -> None:
    fold = Fold(generator(), step("a", "g", size=2), step("b", "g", size=2))
    fold(*made("g", 4), done("a", 0, 2), done("a", 1, 2), done("b", 0, 2), done("b", 1, 2))
    assert fold(part("a", 0, 1, 4)) == []
    assert fold(part("b", 0, 0, 2)) == []
    assert fold(part("b", 1, 1, 2)) == [Finish()]
    assert fold.manager.finished


def test_a_part_that_is_journaled_twice_counts_once() -> None:
    fold = Fold(generator(), step("a", "g", size=2))
    fold(*made("g", 4), done("a", 0, 2), part("a", 0, 0, 2), part("a", 0, 0, 2))
    assert fold.manager.steps["a"].counts.written == 2


def test_a_generator_without_rows_finishes_the_run_at_once() -> None:
    fold = Fold(generator(), step("a", "g"), global_step("all", "a"), step("b", "all", "a"))
    assert fold(*made("g", 0)) == [Finish()]


def test_a_leaf_without_rows_does_not_hold_up_the_end() -> None:
    fold = Fold(generator(), step("a", "g"), step("b", "a"))
    fold(*made("g", 2))
    effects = fold(done("a", 0, 0, taken=2))
    assert effects == [Release(Payload("g", 0)), Finish()]


def test_a_generator_may_be_a_leaf() -> None:
    fold = Fold(generator())
    assert emitted(fold(*made("g", 2, 3))) == ["g0", "g1"]
    assert fold(part("g", 0, 1, 5)) == [Finish()]


def test_a_generators_results_count_in_order_and_only_until_the_last() -> None:
    fold = Fold(generator(), step("a", "g", size=2))
    first, second = made("g", 2, 2)
    assert fold(second) == []
    assert sent(fold(first, second)) == ["a0 <- g0[0:2]", "a1 <- g1[0:2]"]
    before = fold.manager.payload_bytes
    assert fold(done("g", 2, 2, taken=0)) == []
    assert fold.manager.payload_bytes == before


def test_the_ledger_says_what_became_of_every_row() -> None:
    fold = Fold(generator("g"), generator("h"), step("j", "g", "h", size=30))
    fold(*made("g", 30), *made("h", 30))
    fold(done("j", 0, 28, taken=26, failed=3, lost=4, holes=7, seconds=1.5), part("j", 0, 0, 21))
    counts = fold.manager.steps["j"].counts
    assert (counts.taken, counts.failed, counts.lost, counts.out, counts.holes) == (26, 3, 4, 21, 7)
    assert (counts.batches, counts.done, counts.written, counts.seconds) == (1, 1, 21, 1.5)


# what flow control asks


def test_the_backlog_is_what_a_successor_could_cut_but_for_its_other_predecessors() -> None:
    fold = Fold(generator("g"), generator("h"), step("j", "g", "h", size=2))
    fold(*made("g", 2, 2, 2, last=False))
    assert fold.manager.backlog("g") == 3
    fold(*made("h", 4, last=False))
    assert fold.manager.backlog("g") == 1
    assert fold.manager.backlog("h") == 0


def test_the_backlog_counts_outputs_that_wait_for_one_before_them() -> None:
    fold = Fold(generator(), step("a", "g", size=1), step("b", "a"))
    fold(*made("g", 3, last=False), done("a", 1, 1), done("a", 2, 1))
    assert fold.manager.backlog("a") == 2


def test_what_a_global_step_waits_for_is_no_backlog() -> None:
    fold = Fold(generator(), global_step("all", "g"))
    fold(*made("g", 2, 2, 2, last=False))
    assert fold.manager.backlog("g") == 0


def test_a_step_is_lacked_as_long_as_one_successor_cannot_cut_a_batch_without_it() -> None:
    """j has enough of a, but waits for b, which waits for a: sparing j would mean waiting forever."""
    fold = Fold(generator(), step("a", "g", size=1), step("b", "a", size=1), step("j", "a", "b", size=1))
    fold(*made("g", 3, last=False), done("a", 0, 1), done("b", 0, 0, taken=1))
    assert fold.manager.is_lacked("a")
    assert fold.manager.is_lacked("b")


def test_a_step_is_not_lacked_when_every_successor_waits_for_others_or_nothing_more_comes() -> None:
    fold = Fold(generator("g"), generator("h"), step("j", "g", "h", size=2), step("leaf", "j"))
    fold(*made("g", 3, last=False))
    assert not fold.manager.is_lacked("g")
    assert fold.manager.is_lacked("h")
    fold(*made("h", 1))
    assert not fold.manager.is_lacked("h")
    assert fold.manager.is_lacked("g")
    assert not fold.manager.is_lacked("leaf")

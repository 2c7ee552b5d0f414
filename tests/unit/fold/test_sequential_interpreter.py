"""The yardstick of the fold, measured by hand."""

from __future__ import annotations

from coordinator.plan.plan import Plan
from tests.support.fold.fold_words import branch, generator, global_step, step
from tests.support.fold.sequential_interpreter import NULLS, Outcome, Program, Row, Rows, interpret, run_batch


def tenfold(inputs: list[list[Row]]) -> list[Row]:
    return [10 * row for row in inputs[0]]


def twice(inputs: list[list[Row]]) -> list[Row]:
    return [row for row in inputs[0] for _ in range(2)]


def lists(inputs: list[list[Row]]) -> list[Row]:
    """The inputs in digits, told apart by a 9."""
    return [int("9".join("".join(map(str, rows)) for rows in inputs))]


def odd(rows: list[Row]) -> bool:
    return rows[0] % 2 == 1


def test_holes_return_to_their_places_in_an_output_of_the_same_length() -> None:
    inputs: list[Rows] = [[2, None, 4]]
    assert run_batch(step("a", "g"), Program(process=tenfold), inputs) == Outcome([20, None, 40], 2, 0, 0)


def test_holes_end_in_an_output_of_another_length() -> None:
    inputs: list[Rows] = [[2, None, 4]]
    assert run_batch(step("a", "g"), Program(process=twice), inputs) == Outcome([2, 2, 4, 4, None], 2, 0, 0)


def test_a_failed_row_is_a_hole_in_its_place() -> None:
    inputs: list[Rows] = [[1, 2, None]]
    assert run_batch(step("a", "g"), Program(process=tenfold, fails=odd), inputs) == Outcome([None, 20, None], 2, 1, 0)


def test_a_join_loses_the_positions_that_are_not_whole_in_all_inputs_that_have_them() -> None:
    inputs: list[Rows] = [[1, None, 3], [4, 5, None, 7]]
    outcome = run_batch(step("j", "a", "b"), Program(process=lists), inputs)
    assert outcome == Outcome([1947, None, None], 2, 0, 2)


def test_a_batch_of_holes_runs_nothing() -> None:
    inputs: list[Rows] = [[None, None]]
    assert run_batch(step("a", "g"), Program(process=lists), inputs) == Outcome([None, None], 0, 0, 0)


def test_nulls_are_rows() -> None:
    nulls = Program(process=tenfold, fails=odd, nulls=True)
    assert run_batch(step("a", "g"), nulls, [[1, 2]]) == Outcome([NULLS, 20], 2, 1, 0)


def test_routed_batches_meet_in_order_one_list_for_each_chosen_branch() -> None:
    steps = (
        generator("r", routed=True),
        step("x", "r", size=2, scope=branch("r", "x")),
        step("y", "r", size=2, scope=branch("r", "y")),
        step("c", "x", "y", converges="r"),
        global_step("all", "c"),
    )
    choices = (("x", "y"), ("y",), ("x",))
    programs = {
        "r": Program(yields=[[1, 2, 3], [4], [5]], choose=lambda seq, rows, successors: choices[seq]),
        "x": Program(process=lambda inputs: inputs[0]),
        "y": Program(process=twice),
        "c": Program(process=lists),
        "all": Program(process=lambda inputs: inputs[0][::-1]),
    }
    done = interpret(Plan({one.name: one for one in steps}), programs)
    assert done.leaves == {"all": [5, 44, 1239112233]}
    assert done.batches["x"] == [[[1, 2]], [[3]], [[5]]]

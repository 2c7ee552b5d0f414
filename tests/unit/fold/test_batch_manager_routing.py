"""The fold, sentence by sentence: routed batches, their branches, and where the branches meet."""

from __future__ import annotations

from typing import Any

from common.protocol.batch import Chunk, Result, Routed
from coordinator.fold.effects import Route
from tests.support.fold.fold_words import Fold, asked, branch, done, generator, global_step, made, released, sent, step


def diamond(size: int = 2) -> Fold:
    """r routes to x and y, which meet in c."""
    return Fold(
        generator("r", routed=True),
        step("x", "r", size=size, scope=branch("r", "x")),
        step("y", "r", size=size, scope=branch("r", "y")),
        step("c", "x", "y", converges="r"),
    )


def test_a_routed_output_waits_for_the_choice() -> None:
    fold = diamond(size=4)
    effects = fold(*made("r", 4, last=False))
    assert asked(effects) == [Route("r", 0, 4)]
    assert sent(effects) == []
    assert sent(fold(Routed("r", 0, ("y",)))) == ["y0 <- r0[0:4]"]


def test_a_choice_in_the_workers_commit_is_acted_on_at_once() -> None:
    fold = diamond(size=4)
    effects = fold(done("r", 0, 4, taken=0, routed=(("x",),)))
    assert asked(effects) == []
    assert sent(effects) == ["x0 <- r0[0:4]"]


def test_each_chunk_of_a_global_step_goes_where_its_worker_sends_it() -> None:
    fold = Fold(
        generator("g"),
        global_step("all", "g", routed=True),
        step("x", "all", scope=branch("all", "x")),
        step("y", "all", scope=branch("all", "y")),
    )
    fold(*made("g", 7))
    chunks = tuple(Chunk(rows, rows * 10) for rows in (3, 3, 1))
    effects = fold(Result("all", 0, 0, chunks, taken=7, routed=(("x",), ("x", "y"), ("y",))))
    assert asked(effects) == []
    assert sent(effects) == ["x0 <- all0[0:3]", "x1 <- all1[0:3]", "y0 <- all1[0:3]", "y1 <- all2[0:1]"]


def test_an_output_that_its_worker_sends_nowhere_holds_nobody_up() -> None:
    fold = diamond()
    effects = fold(done("r", 0, 2, taken=0, routed=((),)), done("r", 1, 2, taken=0, routed=(("x",),)))
    assert released(effects) == ["r0"]
    assert sent(effects) == ["x0 <- r1[0:2]"]


def test_choices_are_acted_on_in_the_order_of_the_outputs() -> None:
    fold = diamond(size=4)
    fold(*made("r", 4, 4, last=False))
    assert sent(fold(Routed("r", 1, ("x",)))) == []
    assert sent(fold(Routed("r", 0, ("x",)))) == ["x0 <- r0[0:4]", "x1 <- r1[0:4]"]


def test_the_first_choice_counts() -> None:
    fold = diamond(size=4)
    fold(*made("r", 4, 4, last=False), Routed("r", 1, ("y",)), Routed("r", 1, ("x",)))
    assert sent(fold(Routed("r", 0, ("x",)))) == ["x0 <- r0[0:4]", "y0 <- r1[0:4]"]
    assert fold(Routed("r", 0, ("y",))) == []


def test_nobody_is_asked_about_an_output_without_rows() -> None:
    fold = diamond()
    assert asked(fold(*made("r", 0, 3, 0))) == [Route("r", 1, 3)]


def test_a_batch_below_a_routing_step_is_never_cut_across_routed_batches() -> None:
    fold = Fold(
        generator("r", routed=True),
        step("x", "r", size=4, scope=branch("r", "x")),
        step("z", "x", size=3, scope=branch("r", "x")),
    )
    fold(*made("r", 5, 5))
    cut = sent(fold(Routed("r", 0, ("x",)), Routed("r", 1, ("x",))))
    assert cut == ["x0 <- r0[0:4]", "x1 <- r0[4:5]", "x2 <- r1[0:4]", "x3 <- r1[4:5]"]
    below = [sent(fold(done("x", seq, rows))) for seq, rows in enumerate((4, 1, 4, 1))]
    assert below == [["z0 <- x0[0:3]"], ["z1 <- x0[3:4] x1[0:1]"], ["z2 <- x2[0:3]"], ["z3 <- x2[3:4] x3[0:1]"]]


def test_a_convergence_step_takes_all_of_a_routed_batch_with_one_list_for_each_step_that_it_was_routed_to() -> None:
    fold = diamond()
    fold(*made("r", 4, 2), Routed("r", 0, ("x", "y")), Routed("r", 1, ("y",)))
    fold(done("x", 0, 2), done("x", 1, 7, taken=2), done("y", 0, 2), done("y", 2, 2))
    assert sent(fold(done("y", 1, 2))) == ["c0 <- x0[0:2] x1[0:7] | y0[0:2] y1[0:2]", "c1 <- y2[0:2]"]


def test_a_convergence_step_takes_routed_batches_in_order() -> None:
    fold = diamond()
    fold(*made("r", 2, 2), Routed("r", 0, ("x",)), Routed("r", 1, ("y",)))
    assert sent(fold(done("y", 0, 2))) == []
    assert sent(fold(done("x", 0, 2))) == ["c0 <- x0[0:2]", "c1 <- y0[0:2]"]


def test_a_chosen_step_that_returns_nothing_gives_an_empty_list() -> None:
    fold = diamond()
    fold(*made("r", 2), Routed("r", 0, ("x", "y")))
    fold(done("x", 0, 0, taken=2))
    assert sent(fold(done("y", 0, 2))) == ["c0 <- nothing of x | y0[0:2]"]


def test_a_routed_batch_of_which_nothing_is_left_makes_no_batch_of_the_convergence_step() -> None:
    fold = diamond()
    fold(*made("r", 2, 2), Routed("r", 0, ("x", "y")), Routed("r", 1, ("x",)))
    fold(done("x", 0, 0, taken=2), done("y", 0, 0, taken=2))
    assert sent(fold(done("x", 1, 2))) == ["c0 <- x1[0:2]"]


def test_a_routed_batch_waits_only_for_the_branches_that_end_in_the_convergence_step() -> None:
    fold = Fold(
        generator("r", routed=True),
        *(step(name, "r", scope=branch("r", name)) for name in "xyz"),
        step("c", "x", "y", converges="r"),
    )
    fold(*made("r", 2), Routed("r", 0, ("x", "z")))
    assert sent(fold(done("x", 0, 2))) == ["c0 <- x0[0:2]"]


def test_a_join_within_a_branch_keeps_to_the_routed_batch() -> None:
    inside: dict[str, Any] = {"scope": branch("r", "x")}
    fold = Fold(
        generator("r", routed=True),
        step("x", "r", **inside),
        step("p", "x", **inside),
        step("q", "x", **inside),
        step("j", "p", "q", size=3, **inside),
    )
    fold(*made("r", 4, 2), Routed("r", 0, ("x",)), Routed("r", 1, ("x",)))
    fold(done("x", 0, 4), done("x", 1, 2), done("p", 0, 4), done("p", 1, 2))
    assert sent(fold(done("q", 0, 1, taken=4))) == ["j0 <- p0[0:3] | q0[0:1]", "j1 <- p0[3:4] | nothing of q"]
    assert sent(fold(done("q", 1, 2))) == ["j2 <- p1[0:2] | q1[0:2]"]


def nested() -> Fold:
    """r routes to s and t; s routes to x and y, which meet in d; d and t meet in c."""
    inside = branch("r", "s")
    return Fold(
        generator("r", routed=True),
        step("s", "r", size=2, scope=inside, routed=True),
        step("t", "r", size=2, scope=branch("r", "t")),
        step("x", "s", size=2, scope=(*inside, ("s", "x"))),
        step("y", "s", size=2, scope=(*inside, ("s", "y"))),
        step("d", "x", "y", scope=inside, converges="s"),
        step("c", "d", "t", converges="r"),
    )


def test_routing_steps_may_be_nested() -> None:
    fold = nested()
    fold(*made("r", 4, 2), Routed("r", 0, ("s",)), Routed("r", 1, ("s", "t")))
    fold(done("s", 0, 2), done("s", 1, 2), done("s", 2, 2))
    fold(Routed("s", 0, ("x",)), Routed("s", 1, ("x", "y")), Routed("s", 2, ("y",)))
    assert sent(fold(done("x", 0, 2))) == ["d0 <- x0[0:2]"]
    assert sent(fold(done("x", 1, 2), done("y", 0, 2))) == ["d1 <- x1[0:2] | y0[0:2]"]
    assert sent(fold(done("y", 1, 2))) == ["d2 <- y1[0:2]"]
    assert sent(fold(done("d", 0, 2), done("d", 2, 2), done("t", 0, 2))) == []
    assert sent(fold(done("d", 1, 2))) == ["c0 <- d0[0:2] d1[0:2]", "c1 <- d2[0:2] | t0[0:2]"]


def test_a_routed_batch_of_which_an_inner_routing_step_leaves_nothing_is_over_at_once() -> None:
    fold = nested()
    fold(*made("r", 2, 2, last=False), Routed("r", 0, ("s", "t")), Routed("r", 1, ("t",)))
    fold(done("t", 0, 2), done("t", 1, 2))
    assert sent(fold(done("s", 0, 0, taken=2))) == ["c0 <- nothing of d | t0[0:2]", "c1 <- t1[0:2]"]


def test_a_global_step_within_a_branch_takes_all_routed_batches() -> None:
    fold = Fold(generator("r", routed=True), global_step("all", "r"), step("x", "r", scope=branch("r", "x")))
    fold(*made("r", 2, 2, 2), Routed("r", 0, ("all",)), Routed("r", 1, ("x",)))
    assert sent(fold(Routed("r", 2, ("all",)))) == ["all0 <- r0[0:2] r2[0:2]"]


def test_an_output_that_is_routed_nowhere_is_released() -> None:
    fold = diamond()
    assert released(fold(*made("r", 2), Routed("r", 0, ()))) == ["r0"]
    assert fold.manager.finished

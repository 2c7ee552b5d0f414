"""A few seeds of the chaos suite; `make chaos` plays many."""

from __future__ import annotations

import pytest

from tests.chaos.deaths import Point, die_at
from tests.chaos.scenario import EVERYWHERE, KINDS, draw
from tests.chaos.trial import play

SEEDS = (73, 199, 245)
pytestmark = pytest.mark.timeout(300)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_run_in_which_much_goes_wrong_ends_as_one_that_was_left_alone(seed: int) -> None:
    play(draw(seed))


def test_a_coordinator_may_die_before_and_after_what_it_does() -> None:
    points = [
        Point("dispatch", 2, "after"),
        Point("part_written", 1, "after"),
        Point("finish", 1, "before"),
        Point("finish", 1, "after"),
    ]
    assert die_at(points) == len(points)


def test_a_seed_is_always_the_same_scenario() -> None:
    assert draw(5) == draw(5)
    assert draw(5) != draw(6)


def test_seeds_draw_every_kind_of_fault() -> None:
    assert {fault.kind for seed in range(200) for fault in draw(seed).faults} == set(KINDS) > set(EVERYWHERE)

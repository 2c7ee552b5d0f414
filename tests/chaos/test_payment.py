"""How many answers a run may pay for twice, by what went wrong and when."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from tests.chaos.payment import AT_A_DEATH, Explained, asked_again_later, explained, in_hand
from tests.chaos.scenario import CONCURRENCY, Fault, Injected, Scenario, draw

SCENARIO = replace(draw(0), topology="local", replicas={**draw(0).replicas, "ask": 2})
BUSY = [number / 100 for number in range(3_000)]
"""An answer each hundredth of a second, for half a minute."""
TOOK_OVER = "2026-11-28T06:13:17.014Z WARNING step={step} worker=1 took over 2 batches of dead worker {worker}\n"


def most(
    *kinds: str, step: str = "ask", scenario: Scenario = SCENARIO, times: list[float] = BUSY, log: str = ""
) -> Explained:
    injected = [Injected(Fault(kind, 0.5, step, 2.0), 15.0, 15.0, step) for kind in kinds]
    return explained(scenario, injected, log, times)


@pytest.mark.parametrize(
    ("kind", "bound"),
    [
        ("worker killed", AT_A_DEATH),
        ("endpoint killed", 2 * CONCURRENCY),
        ("coordinator killed", 2 * AT_A_DEATH),
        ("batch sent twice", in_hand(SCENARIO.pipeline)),
        ("broker without its last second", 2 * in_hand(SCENARIO.pipeline)),
        ("Ctrl-C", 0),
    ],
)
def test_a_fault_explains_what_is_in_flight_or_in_hand(kind: str, bound: int) -> None:
    assert most(kind).twice == bound
    assert most(kind, kind).twice == 2 * bound


@pytest.mark.parametrize("kind", ["worker killed", "worker stopped past its lease", "batch claimed by a stranger"])
def test_a_fault_of_another_step_explains_nothing(kind: str) -> None:
    assert most(kind, step="label") == Explained(0)


def test_a_fault_explains_no_more_than_was_answered_around_it() -> None:
    assert most("worker killed", times=[14.95, 14.99, 15.02]).twice == 3
    assert most("worker killed", "endpoint killed", "coordinator killed", "batch sent twice", times=[3.0]).twice == 0


def test_workers_that_are_started_by_hand_outlive_their_coordinator() -> None:
    assert most("coordinator killed", scenario=replace(SCENARIO, topology="external")) == Explained(0)


def test_a_worker_that_is_taken_for_dead_without_a_fault_shares_what_it_has_in_hand() -> None:
    ask, other = TOOK_OVER.format(step="ask", worker="a"), TOOK_OVER.format(step="label", worker="b")
    assert most(log=ask + ask + other) == Explained(in_hand(SCENARIO.pipeline), (), AT_A_DEATH)
    assert most("worker killed", log=ask).twice == AT_A_DEATH


def test_an_answer_that_was_asked_for_again_at_once_is_told_from_one_that_was_lost() -> None:
    answers = [(1.0, 7), (1.1, 7), (1.5, 8), (9.0, 8), (1.0, 9), (9.0, 9)]
    assert asked_again_later(answers, Counter({7: 1, 8: 1, 9: 2})) == [1.5]


def test_an_answer_that_was_written_long_before_the_death_of_its_worker_is_not_lost() -> None:
    assert most("worker killed").unexplained([14.0, 14.9, 15.1, 17.0]) == [14.0, 17.0]
    assert most("Ctrl-C").unexplained([14.9]) == [14.9]

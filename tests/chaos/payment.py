"""What the answers of a model cost a run: each is paid for once, but for those in flight where a worker died."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from common.protocol.usage import Counts
from tests.chaos.endpoint import Asked
from tests.chaos.scenario import CONCURRENCY, LARGEST_BATCH, Fault, Scenario
from tests.support.runs.harness import Harness

STEP = "ask"
AT_A_DEATH = 4 * CONCURRENCY
"""Answers that die with a worker: its calls in flight, and what came in the tenth of a second in which none is written
yet. An answer takes a fiftieth of a second or more, so that is three for each call; a fourth is for a slow machine.
"""
IN_HAND = 2 * CONCURRENCY + 2 * LARGEST_BATCH
"""Rows that a worker has in hand at most: those that run, and as many that wait, in whole batches. If another worker
has the same batches while it lives, both may have the same row in flight, row after row.
"""
OF_ONE = ("worker killed", "worker killed with its keeper")
OF_ALL = ("endpoint killed",)
"""The answers that it was sending when it died never arrive."""
OF_ALL_LOCAL = (
    "coordinator killed",
    "coordinator stopped past its lease",
    "disk full",
    "supervisor killed",
    "guardian killed",
)
"""Workers die with the coordinator that has started them."""
SHARED_BY_TWO = ("worker stopped past its lease", "batch claimed by a stranger", "batch sent twice")
SHARED_BY_ALL = ("broker without its last second",)
_TOOK_OVER = re.compile(r"took over \d+ batches of dead worker (\w+)")


@dataclass(frozen=True, slots=True)
class Paid:
    """What a run has paid for.

    Args:
        rows: with an answer, as in an uninterrupted run.
        requests: at the endpoint.
        twice: answers beyond one per row.
        most: of those, that the faults explain.
        refused, errors, resets: requests without an answer.
        spent: answers that the run counted as paid for.
    """

    rows: int
    requests: int
    twice: int
    most: int
    refused: int
    errors: int
    resets: int
    spent: int


def kept(harness: Harness) -> Counts:
    """What `run.json` says about the answers in the dataset."""
    return harness.record().bill.kept


def most_twice(scenario: Scenario, injected: Iterable[Fault], log: str) -> int:
    """Answers that may have been paid for twice."""
    done = Counter(fault.kind for fault in injected)
    all_of = OF_ALL if scenario.topology == "external" else OF_ALL + OF_ALL_LOCAL
    of_one, of_all, by_two, by_all = (
        sum(done[kind] for kind in kinds) for kinds in (OF_ONE, all_of, SHARED_BY_TWO, SHARED_BY_ALL)
    )
    workers = scenario.replicas[STEP]
    # On a loaded machine, a worker may lose its lease of a second though nothing has happened to it.
    taken_for_dead = max(0, len(set(_TOOK_OVER.findall(log))) - of_one - by_two)
    dead = AT_A_DEATH * (of_one + of_all * workers)
    return dead + IN_HAND * (by_two + by_all * workers + taken_for_dead)


def check_payment(
    scenario: Scenario, harness: Harness, asked: Asked, injected: Iterable[Fault], expected: Counter[int], alone: Counts
) -> Paid:
    """Every row was answered, few twice, and the counts of the run say so.

    Args:
        asked: at the endpoint.
        expected: row -> answers in an uninterrupted run.
        alone: what that kept.
    """
    bill = harness.record().bill
    missing = expected - asked.answered
    assert not missing, f"rows without an answer that the endpoint knows of: {missing}"
    assert not set(asked.answered) - set(expected), "rows that an uninterrupted run does not ask"
    assert bill.kept == alone, "the answers in the dataset are not counted as in an uninterrupted run"
    assert bill.saved.requests == 0
    answered, spent = asked.answered.total(), bill.spent.requests
    assert bill.kept.requests <= spent <= answered, (bill.kept.requests, spent, answered)
    twice = answered - expected.total()
    most = most_twice(scenario, injected, harness.log)
    assert twice <= most, f"{twice} answers were paid for twice, but at most {most} are explained"
    requests = answered + asked.refused + asked.errors + asked.resets
    counted = (asked.refused, asked.errors, asked.resets)
    return Paid(expected.total(), requests, twice, most, *counted, spent)

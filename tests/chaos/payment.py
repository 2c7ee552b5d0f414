"""What the answers of a model cost a run: each is paid for once, but for those in flight where a worker died."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from common.llms.answers.group_commit import SECONDS
from common.protocol.usage import Counts
from tests.chaos.endpoint import Asked
from tests.chaos.endpoint_server import LATENCY, SLOW_SECONDS
from tests.chaos.scenario import CONCURRENCY, Injected, Pipeline, Scenario
from tests.support.runs.harness import Harness

STEP = "ask"
AT_A_DEATH = 4 * CONCURRENCY
"""Answers that die with a worker: its calls in flight, and what came in the tenth of a second in which none is written
yet. An answer takes a fiftieth of a second or more, so that is three for each call; a fourth is for a slow machine.
"""
UNWRITTEN = SECONDS + 0.5
"""Seconds before a death of which answers may be lost; most of them are for a slow machine."""
ON_ITS_WAY = LATENCY + SLOW_SECONDS + 0.5
"""Seconds after a death in which the endpoint still answers the dead."""
UNTIL_ALL_HAVE_LEFT = 10.0
"""Seconds from the end of what started workers to theirs."""
AT_WORK_TOGETHER = 20.0
"""Seconds in which two workers are done with what both have in hand, once both run."""
OF_ONE = ("worker killed", "worker killed with its keeper")
OF_THE_ENDPOINT = ("endpoint killed",)
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
_TOOK_OVER = re.compile(rf" step={STEP} .*took over \d+ batches of dead worker (\w+)")
_BATCH = re.compile(rf"^  {STEP}: .*input_batch_size: (\d+)", re.MULTILINE)


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


def in_hand(pipeline: Pipeline) -> int:
    """Rows that a worker has in hand at most: those that run, and as many that wait, in whole batches.

    If another worker has the same batches while it lives, both may have the same row in flight, row after row.
    """
    batch = _BATCH.search(pipeline.spec)
    assert batch is not None
    return 2 * CONCURRENCY + 2 * int(batch[1])


@dataclass(frozen=True, slots=True)
class Explained:
    """What the faults of a run explain.

    Args:
        twice: answers that may have been paid for twice.
        moments: beginnings and ends of those in which an answer may have been lost.
        anywhere: answers that may have been lost at any other moment.
    """

    twice: int
    moments: tuple[tuple[float, float], ...] = ()
    anywhere: int = 0

    def unexplained(self, lost: Sequence[float]) -> list[float]:
        """Of answers that were lost, those that came at another moment."""
        return [when for when in lost if not any(since <= when <= until for since, until in self.moments)]


def explained(scenario: Scenario, injected: Sequence[Injected], log: str, times: Sequence[float]) -> Explained:
    """Some answers are lost where a worker dies, and others are asked for by two that have the same batches in hand.

    Args:
        times: of all answers. What was lost was answered shortly before the fault, or after it.
    """
    all_of, each, local = scenario.replicas[STEP], in_hand(scenario.pipeline), scenario.topology != "external"
    twice = taken_over = 0
    moments = []
    for one in injected:
        kind, is_ours = one.fault.kind, one.step == STEP
        until = one.until + one.fault.seconds
        if kind in OF_ONE and is_ours:
            most, workers, until = AT_A_DEATH, 1, one.until + ON_ITS_WAY
        elif kind in OF_THE_ENDPOINT:  # what it was sending never arrives
            most, workers, until = CONCURRENCY * all_of, 0, one.until + ON_ITS_WAY
        elif kind in OF_ALL_LOCAL and local:
            most, workers, until = AT_A_DEATH * all_of, all_of, until + UNTIL_ALL_HAVE_LEFT
        elif kind in SHARED_BY_TWO and is_ours:
            most, workers, until = each, 1, until + AT_WORK_TOGETHER
        elif kind in SHARED_BY_ALL:
            most, workers, until = each * all_of, all_of, until + AT_WORK_TOGETHER
        else:
            continue
        since = one.since - UNWRITTEN
        twice += min(most, sum(since <= time <= until for time in times))
        taken_over += workers
        moments.append((since, until))
    # On a loaded machine, a worker may lose its lease of a second though nothing has happened to it.
    for_dead = max(0, len(set(_TOOK_OVER.findall(log))) - taken_over)
    return Explained(twice + each * for_dead, tuple(moments), AT_A_DEATH * for_dead)


def asked_again_later(answers: Sequence[tuple[float, int]], expected: Counter[int]) -> list[float]:
    """When answers came whose row was answered again so much later that no two workers had it in flight at once.

    Rows that an uninterrupted run asks for more often, by several routes, are left out.
    """
    times: dict[int, list[float]] = {}
    for when, row in answers:
        times.setdefault(row, []).append(when)
    return [
        first
        for row, of_row in times.items()
        if expected[row] == 1
        for first, then in pairwise(sorted(of_row))
        if then - first > UNWRITTEN + ON_ITS_WAY
    ]


def check_payment(
    scenario: Scenario,
    harness: Harness,
    asked: Asked,
    injected: Sequence[Injected],
    expected: Counter[int],
    alone: Counts,
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
    most = explained(scenario, injected, harness.log, [when for when, _ in asked.answers])
    assert twice <= most.twice, f"{twice} answers were paid for twice, but at most {most.twice} are explained"
    lost = most.unexplained(asked_again_later(asked.answers, expected))
    assert len(lost) <= most.anywhere, f"answers of {lost} were asked for again, but nothing went wrong then: {most}"
    requests = answered + asked.refused + asked.errors + asked.resets
    counted = (asked.refused, asked.errors, asked.resets)
    return Paid(expected.total(), requests, twice, most.twice, *counted, spent)

"""What the answers of a model cost a run: each is paid for once, but for those in flight where a worker died."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

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


def most_twice(scenario: Scenario, injected: Sequence[Injected], log: str, times: Sequence[float]) -> int:
    """Answers that may have been paid for twice: those lost at each fault, or in hand of two workers then.

    Args:
        times: of all answers. What was lost was answered shortly before the fault, or after it.
    """

    def given(after: float, before: float) -> int:
        return sum(after <= time <= before for time in times)

    workers, shared, local = scenario.replicas[STEP], in_hand(scenario.pipeline), scenario.topology != "external"
    most = taken_over = 0
    for one in injected:
        kind, is_ours = one.fault.kind, one.step == STEP
        since, until = one.since - UNWRITTEN, one.until + one.fault.seconds
        if kind in OF_ONE and is_ours:
            most += min(AT_A_DEATH, given(since, one.until + ON_ITS_WAY))
            taken_over += 1
        elif kind in OF_THE_ENDPOINT:  # what it was sending never arrives
            most += min(CONCURRENCY * workers, given(since, one.until + ON_ITS_WAY))
        elif kind in OF_ALL_LOCAL and local:
            most += min(AT_A_DEATH * workers, given(since, until + UNTIL_ALL_HAVE_LEFT))
            taken_over += workers
        elif kind in SHARED_BY_TWO and is_ours:
            most += min(shared, given(since, until + AT_WORK_TOGETHER))
            taken_over += 1
        elif kind in SHARED_BY_ALL:
            most += min(shared * workers, given(since, until + AT_WORK_TOGETHER))
            taken_over += workers
    # On a loaded machine, a worker may lose its lease of a second though nothing has happened to it.
    return most + shared * max(0, len(set(_TOOK_OVER.findall(log))) - taken_over)


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
    most = most_twice(scenario, injected, harness.log, asked.times)
    assert twice <= most, f"{twice} answers were paid for twice, but at most {most} are explained"
    requests = answered + asked.refused + asked.errors + asked.resets
    counted = (asked.refused, asked.errors, asked.resets)
    return Paid(expected.total(), requests, twice, most, *counted, spent)

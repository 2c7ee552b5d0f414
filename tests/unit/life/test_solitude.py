"""When a worker leaves because it alone finds its endpoint away."""

from __future__ import annotations

from dataclasses import replace

import pytest

from common.broker.runs import WorkerRecord
from common.llms.waiting import Waits
from worker.life.solitude import Solitude

SECONDS = 10.0
ANSWERED = WorkerRecord("other", "ask", "there", 1, loaded=True, alive=True, local=False, load_error="", refused="")
ANSWERED = replace(ANSWERED, answered=True)


def waiting(vain: float = 0.0) -> Waits:
    """Rows that wait; the last call in vain began then."""
    waits = Waits(vain=vain)
    waits.note("endpoint http://here (refused)", 3)
    return waits


def test_a_worker_is_alone_if_it_asks_in_vain_while_another_that_was_answered_is_not_away() -> None:
    solitude = Solitude(SECONDS)
    assert not solitude.look(waiting(0), [ANSWERED], 0)
    assert not solitude.look(waiting(9), [ANSWERED], 9)
    assert solitude.look(waiting(9), [ANSWERED], 10)


def test_it_asks_once_more_when_others_are_answered_again() -> None:
    solitude = Solitude(SECONDS)
    away = replace(ANSWERED, away="endpoint http://here (refused)")
    assert not solitude.look(waiting(30), [away], 30)
    assert not solitude.look(waiting(30), [away, ANSWERED], 31)
    assert not solitude.look(waiting(30), [away, ANSWERED], 50)
    assert solitude.look(waiting(49), [away, ANSWERED], 51)


@pytest.mark.parametrize(
    "other",
    [
        replace(ANSWERED, answered=False),
        replace(ANSWERED, away="endpoint http://here (refused)"),
        replace(ANSWERED, alive=False),
        replace(ANSWERED, loaded=False),
        None,
    ],
)
def test_who_has_no_answers_is_no_reason_to_leave(other: WorkerRecord | None) -> None:
    solitude = Solitude(SECONDS)
    others = [other] if other else []
    assert not any(solitude.look(waiting(now), others, now) for now in range(100))


@pytest.mark.parametrize("between", [(Waits(), [ANSWERED]), (waiting(5), [])], ids=["answered", "others gone"])
def test_an_interruption_begins_it_anew(between: tuple[Waits, list[WorkerRecord]]) -> None:
    solitude = Solitude(SECONDS)
    assert not solitude.look(waiting(0), [ANSWERED], 0)
    assert not solitude.look(*between, 5)
    assert not solitude.look(waiting(10), [ANSWERED], 11)
    assert not solitude.look(waiting(20), [ANSWERED], 20)
    assert solitude.look(waiting(20), [ANSWERED], 21)

"""Why a worker leaves: the first reason counts, and gives the exit code and the successor."""

from __future__ import annotations

import pytest

from common.errors import (
    BrokerError,
    CannotServe,
    Disconnected,
    ForeignData,
    OtherProtocol,
    PenstockError,
    RunGone,
    UsageError,
    WireError,
)
from worker.life.departure import ABANDONED, NOTHING_LEFT, OUT_OF_TURN, Departure, Leaving, Successor


@pytest.mark.parametrize(
    ("error", "code", "successor"),
    [
        (RunGone("redis://host"), 1, Successor.WITH_THE_RUN),
        (Disconnected("away"), 1, Successor.AT_ONCE),
        (BrokerError("evicts"), 1, Successor.AT_ONCE),
        (OtherProtocol("2"), 1, Successor.AT_ONCE),
        (UsageError("wrong"), 2, Successor.NOBODY),
        (CannotServe("not here"), 78, Successor.NOBODY),
        (WireError("no batch"), 78, Successor.NOBODY),
        (ForeignData("WRONGTYPE"), 78, Successor.NOBODY),
    ],
)
def test_a_worker_that_would_find_the_same_again_has_no_successor(
    error: PenstockError, code: int, successor: Successor
) -> None:
    departure = Departure.because_of(error)
    assert (departure.exit_code, departure.successor, departure.error) == (code, successor, error)


def test_the_first_reason_stands() -> None:
    leaving = Leaving()
    leaving.because(ABANDONED)
    leaving.because(OUT_OF_TURN)
    leaving.because(Departure.because_of(Disconnected("away")))
    assert leaving.asked.is_set()
    assert leaving.departure is ABANDONED


def test_who_is_only_told_to_leave_gives_a_reason_that_comes_up_on_the_way() -> None:
    leaving = Leaving()
    leaving.asked.set()
    assert leaving.departure is NOTHING_LEFT
    leaving.because(Departure.because_of(Disconnected("away")))
    assert leaving.departure.exit_code == 1

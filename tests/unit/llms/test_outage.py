"""Whose fault a failed call is."""

from __future__ import annotations

from common.llms.calls.outage import FAULTS_IN_A_ROW, MOST_PROBE, OWN_FAULTS, Outage, Record


def outage() -> Outage:
    return Outage(lambda _, high: high)


def fault(state: Outage, record: Record | None = None, *, now: float = 0.0) -> str:
    return state.failed("500", now, record or Record(), is_away=False)


def refusal(state: Outage, now: float = 0.0) -> str:
    return state.failed("refused", now, Record(), is_away=True)


def test_a_refused_connection_is_the_endpoints_fault_at_once() -> None:
    state = outage()
    assert refusal(state, 7.0) == "endpoint"
    assert state.since == 7.0


def test_a_second_fault_after_answers_to_others_is_the_rows() -> None:
    state, row = outage(), Record()
    state.worked()
    assert fault(state, row) == "endpoint"
    state.worked()
    assert fault(state, row) == "row"
    assert state.since is None


def test_a_second_fault_after_an_outage_is_not_the_rows() -> None:
    state, row = outage(), Record()
    assert fault(state, row) == "endpoint"
    refusal(state)
    state.worked()
    assert fault(state, row) == "endpoint"


def test_several_faults_in_a_row_mean_that_the_endpoint_is_away() -> None:
    state = outage()
    for number in range(FAULTS_IN_A_ROW - 1):
        assert fault(state, now=number) == "endpoint"
        assert state.since is None
    assert fault(state, now=9.0) == "endpoint"
    assert state.since == 9.0


def test_an_answer_ends_an_outage_and_what_led_to_it() -> None:
    state = outage()
    for _ in range(FAULTS_IN_A_ROW):
        fault(state)
    state.worked()
    assert state.since is None
    fault(state)
    assert state.since is None


def test_a_row_that_fails_again_and_again_alone_is_to_blame_in_the_end_and_from_then_on() -> None:
    state, row = outage(), Record()
    blamed = [fault(state, row) for _ in range(OWN_FAULTS + 2)]
    assert blamed == ["endpoint"] * (OWN_FAULTS - 1) + ["row"] * 3


def test_a_connection_that_is_refused_is_never_the_rows_fault() -> None:
    state, row = outage(), Record()
    for now in range(100):
        assert state.failed("refused", float(now), row, is_away=True) == "endpoint"
    assert state.since == 0.0


def test_probes_become_rarer_up_to_a_limit() -> None:
    state, waits = outage(), []
    for _ in range(10):
        refusal(state)
        waits.append(state.probe_at)
    assert waits == sorted(waits)
    assert waits[0] < 1.0
    assert waits[-1] == MOST_PROBE

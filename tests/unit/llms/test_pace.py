"""How fast a busy endpoint is asked, against simulated limits, on a simulated clock."""

from __future__ import annotations

import heapq
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.llms.calls.pace import Pace


class Bucket:
    """A limit: `burst` calls at once, then `rate` per second."""

    def __init__(self, rate: float, burst: float) -> None:
        self.rate, self.burst, self.level, self.at = rate, burst, burst, 0.0

    def takes(self, now: float) -> bool:
        self.level = min(self.burst, self.level + (now - self.at) * self.rate)
        self.at = now
        if self.level < 1:
            return False
        self.level -= 1
        return True


def simulate(
    limit: Bucket, rows: int, concurrency: int, latency: float, retry_after: Callable[[], float | None]
) -> tuple[int, int, float]:
    """Plays lanes against a limit: (answers, refusals, seconds)."""
    pace = Pace()
    events: list[tuple[float, int, str, float, int]] = [(0.0, lane, "ask", 0.0, 0) for lane in range(concurrency)]
    left, answers, refusals, now = rows - concurrency, 0, 0, 0.0
    while events and refusals < 10 * rows:
        now, lane, what, _sent, cuts = heapq.heappop(events)
        if what == "go" and pace.cuts != cuts:
            what = "ask"
        if what == "ask":
            wait, is_turn = pace.turn(now)
            heapq.heappush(events, (now + wait, lane, "go" if is_turn else "ask", 0.0, pace.cuts))
        elif what == "go":
            if limit.takes(now):
                heapq.heappush(events, (now + latency, lane, "done", now, 0))
            else:
                refusals += 1
                pace.refused(now, now, retry_after())
                heapq.heappush(events, (now, lane, "ask", 0.0, 0))
        else:
            answers += 1
            pace.granted(now)
            if left > 0:
                left -= 1
                heapq.heappush(events, (now, lane, "ask", 0.0, 0))
    return answers, refusals, now


@pytest.mark.parametrize("retry_after", [1.0, None])
@pytest.mark.parametrize(("rate", "burst"), [(10.0, 10.0), (10.0, 1.0), (100.0, 100.0), (3.0, 30.0)])
def test_few_calls_are_refused_and_most_of_the_limit_is_used(
    rate: float, burst: float, retry_after: float | None
) -> None:
    rows = round(rate * 120)
    answers, refusals, seconds = simulate(Bucket(rate, burst), rows, 50, 0.2, lambda: retry_after)
    assert answers == rows
    assert refusals <= 0.1 * rows + 50
    assert rows / seconds >= 0.7 * rate


def test_an_endpoint_that_refuses_nothing_is_never_slowed_down() -> None:
    answers, refusals, seconds = simulate(Bucket(1e9, 1e9), 1000, 50, 0.2, lambda: 1.0)
    assert (answers, refusals) == (1000, 0)
    assert seconds == pytest.approx(1000 / 50 * 0.2)


def test_the_refusals_of_one_burst_count_once() -> None:
    pace = Pace()
    pace.turn(0.0)
    for _ in range(40):
        pace.refused(0.0, 0.5, 1.0)
    assert pace.cuts == 1


def test_after_one_burst_the_rate_climbs_fast_though_the_burst_was_longer_than_the_first_pause() -> None:
    pace = Pace()
    pace.turn(0.0)
    for second in range(10):
        pace.granted(second)
    for refused in (10.0, 11.1, 13.2):
        pace.turn(refused)
        pace.refused(refused, refused, None)
    pace.granted(17.3)
    for second in range(18, 38):
        pace.turn(second)
    assert pace.cuts == 3
    assert pace.rate is not None
    assert pace.rate > 5


@settings(max_examples=50, deadline=None)
@given(rate=st.floats(0.5, 200), burst=st.floats(1, 100), latency=st.floats(0.01, 5), concurrency=st.integers(1, 100))
def test_every_call_is_answered_in_the_end(rate: float, burst: float, latency: float, concurrency: int) -> None:
    answers, _, _ = simulate(Bucket(rate, burst), max(concurrency, 150), concurrency, latency, lambda: None)
    assert answers == max(concurrency, 150)

"""Which workers are dead: certified ones, and those silent in looks half a lease apart and in all between."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from common.broker.deaths import Deaths

LEASE = 10.0


class Clock:
    """A clock that stands until the test moves it."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


def deaths() -> tuple[Deaths, Clock]:
    clock = Clock()
    return Deaths(LEASE, clock), clock


def test_one_look_finds_nobody_dead_of_whom_it_is_not_certified() -> None:
    seen, _ = deaths()
    assert seen.look({"a", "b"}, {"b"}) == {"b"}


def test_who_is_silent_half_a_lease_later_is_dead() -> None:
    seen, clock = deaths()
    assert seen.look({"a"}) == set()
    clock.now += LEASE / 2 - 0.1
    assert seen.look({"a"}) == set()
    clock.now += 0.1
    assert seen.look({"a"}) == {"a"}


def test_a_sign_of_life_between_two_looks_begins_anew() -> None:
    """As when a broker that had lost its last writes gets the leases again."""
    seen, clock = deaths()
    seen.look({"a", "b"})
    clock.now += LEASE / 4
    seen.look({"b"})
    clock.now += LEASE / 4
    assert seen.look({"a", "b"}) == {"b"}


def test_a_death_is_no_news_once_nothing_is_left_of_it() -> None:
    seen, _ = deaths()
    assert seen.news({"a", "b"}) == {"a", "b"}
    assert seen.look({"b"}, {"a", "b"}) == {"b"}
    assert seen.news({"a", "b"}) == {"b"}


def test_a_look_is_due_half_a_lease_after_the_last_one_that_was_whatever_came_between() -> None:
    seen, clock = deaths()
    for _ in range(4):
        assert not seen.look_is_due
        clock.now += LEASE / 8
        seen.look({"a"}, {"a"})
    clock.now += LEASE / 8
    assert not seen.look_is_due, "the fourth was"
    clock.now += 3 * LEASE / 8
    assert seen.look_is_due


LOOKS = st.lists(st.tuples(st.sampled_from([0.5, 1.0, 2.5, 5.0, 9.0]), st.sets(st.sampled_from("ab"))), max_size=20)


@given(LOOKS)
def test_dead_is_exactly_who_was_silent_in_every_look_of_half_a_lease(looks: list[tuple[float, set[str]]]) -> None:
    seen, clock = deaths()
    silent_since: dict[str, list[float]] = {"a": [], "b": []}
    for passed, silent in looks:
        clock.now += passed
        dead = seen.look(silent)
        for worker, times in silent_since.items():
            times[:] = [*times, clock.now] if worker in silent else []
            assert (worker in dead) == bool(times and clock.now - times[0] >= LEASE / 2)

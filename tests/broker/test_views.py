"""What a run looks like is published by its coordinator alone, bounded, and with its age by the broker's clock."""

from __future__ import annotations

import pytest

from common.broker.views import Views
from common.errors import ForeignData, WireError
from common.protocol.keys import HISTORIES
from tests.support.runs.broker import Run, batch, take, unchanged
from tests.support.servers.redis_server import RedisServer


def views(run: Run) -> Views:
    return Views(run.connection, run.run_id)


def publish(run: Run, view: bytes = b"view", *resolutions: int, expires: float = 0.0, epoch: str = "") -> bool:
    return views(run).publish(epoch or run.control.epoch, view, b"of " + view, resolutions or (1,), expires)


def test_a_run_that_has_published_nothing_has_no_view(run: Run) -> None:
    assert views(run).read() is None
    assert views(run).history(1) == []


def test_the_last_view_is_read_with_its_age_by_the_clock_of_the_broker(run: Run) -> None:
    assert publish(run, b"first")
    assert publish(run, b"second")
    published = views(run).read()
    assert published is not None
    assert published.message == b"second"
    assert 0 <= published.age < 30
    at = int(run.connection.command("HGET", run.keys.view, "at"))
    run.connection.command("HSET", run.keys.view, "at", at - 100_000)
    aged = views(run).read()
    assert aged is not None
    assert 100 <= aged.age < 130


def test_a_view_of_a_clock_that_was_set_back_is_of_now(run: Run) -> None:
    publish(run)
    run.connection.command("HSET", run.keys.view, "at", 10**15)
    published = views(run).read()
    assert published is not None
    assert published.age == 0


def test_a_coordinator_that_was_replaced_publishes_nothing(run: Run) -> None:
    publish(run, b"mine")
    old = run.control.epoch
    run.coordinator().take_over(dead_token=run.control.holder.token)
    assert unchanged(run, lambda: publish(run, b"of the old one", 1, 10, epoch=old)) is False


def test_nothing_of_a_run_that_is_gone_is_made_by_a_view(run: Run) -> None:
    run.connection.command("DEL", run.keys.run)
    assert publish(run) is False
    assert not run.connection.command("EXISTS", *run.keys.seen)


@pytest.mark.parametrize("resolution", list(HISTORIES))
def test_a_history_keeps_so_many_entries_and_lets_the_oldest_go(run: Run, resolution: int) -> None:
    for number in range(HISTORIES[resolution] + 20):
        publish(run, b"%d" % number, resolution)
    kept = [one.message for one in views(run).history(resolution)]
    assert kept == [b"of %d" % number for number in range(20, HISTORIES[resolution] + 20)]


def test_the_entries_of_a_history_have_their_ages_oldest_first(run: Run) -> None:
    for _ in range(3):
        publish(run, b"view", 1, 10)
    ages = [one.age for one in views(run).history(10)]
    assert ages == sorted(ages, reverse=True)
    assert all(0 <= age < 30 for age in ages)


def test_the_last_view_of_a_complete_run_goes_with_its_other_keys(run: Run) -> None:
    publish(run, b"while it runs", 1, 10)
    run.control.finish("complete", run.steps, keep=100)
    publish(run, b"complete", 1, expires=100)
    for key in run.keys.seen:
        assert 90_000 < run.connection.command("PTTL", key) <= 100_000, key


def test_what_was_published_goes_with_a_complete_run_whose_last_view_was_not(run: Run) -> None:
    publish(run, b"while it runs", 1, 10)
    run.control.finish("complete", run.steps, keep=100)
    for key in run.keys.seen:
        assert 90_000 < run.connection.command("PTTL", key) <= 100_000, key


def test_a_full_broker_shows_what_is_waited_for() -> None:
    with RedisServer() as server:
        run = Run(server.url)
        run.connection.command("CONFIG", "SET", "maxmemory", 1)
        assert run.dispatch(batch(0)) == ({}, True)
        assert publish(run, b"it is full")
        published = views(run).read()
        assert published is not None
        assert published.message == b"it is full"


def test_what_something_else_has_written_is_told_in_words(run: Run) -> None:
    publish(run)
    run.connection.command("HSET", run.keys.view, "at", "yesterday")
    with pytest.raises(WireError, match="'at' of the run"):
        views(run).read()
    for key in run.keys.seen:
        run.connection.command("DEL", key)
        run.connection.command("SET", key, "x")
    for ask in (views(run).read, lambda: views(run).history(1), lambda: publish(run)):
        with pytest.raises(ForeignData, match="WRONGTYPE"):
            ask()


def test_what_workers_have_in_hand_is_counted_by_worker(run: Run) -> None:
    run.dispatch(*(batch(seq) for seq in range(5)))
    one, other = run.worker("w1"), run.worker("w2")
    take(one, 2), take(other)
    assert views(run).in_hand([*run.steps, "no-such-step"]) == {"w1": 2, "w2": 1}
    other.inbox.hand_back(other.inbox.pending())
    assert views(run).in_hand(run.steps) == {"w1": 2}

"""The connection: a full broker, lost replies, and the registry of runs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest

from common.broker.connection import Connection
from common.broker.control import Tick
from common.broker.patience import Patience
from common.broker.runs import RunRegistry
from common.errors import BrokerFull, Disconnected, RunError
from common.protocol.batch import Payload, Reopened
from common.protocol.wire import PROTOCOL
from tests.support.runs.broker import (
    Run,
    batch,
    done,
    letter,
    made,
    part,
    take,
    tickets,
)
from tests.support.servers.proxy import Proxy
from tests.support.servers.redis_server import RedisServer
from worker.life.finder import Finder

# a full broker


@pytest.fixture
def full_broker() -> Iterator[tuple[Run, Callable[[], None]]]:
    """A run on a separate server, and a function that fills that server."""
    with RedisServer() as server:
        run = Run(server.url)
        run.load_scripts()
        yield run, lambda: run.connection.command("CONFIG", "SET", "maxmemory", "1")


FullBroker = tuple[Run, Callable[[], None]]


def test_what_finishes_work_goes_through_on_a_full_broker(full_broker: FullBroker) -> None:
    run, fill = full_broker
    run.dispatch(*map(batch, range(4)))
    worker, generator, dead = run.worker("w1"), run.worker("w2", "g"), run.worker("w3")
    orphans = take(dead, 2)
    run.die(dead)
    one, two = take(worker, 2)
    generator.generator.own()
    ticket, spare = tickets(run, generator, 2)
    run.store(Payload("a", 7), Payload("a", 8))
    fill()
    with pytest.raises(BrokerFull):
        run.connection.command("SET", "x", "y")
    assert worker.commits.commit([done(one, b"rows" * 1_000, (letter(),))]) == [True]
    assert generator.generator.commit([made(ticket, 0, 5, last=True)]) == [True]
    generator.generator.void([spare.entry])
    run.control.part_written(part(), [Payload("a", 7)], [letter()])
    assert run.control.tick(Tick(release=[Payload("a", 8)], cursor=3)) == ({}, False)
    assert run.stored(Payload("a", 2), Payload("g", 0), Payload("a", 7), Payload("a", 8)) == [True, True, False, False]
    assert [one.entry for one in worker.inbox.claim("w3", 5)] == [one.entry for one in orphans]
    worker.inbox.hand_back([two])
    assert [one.batch for one in worker.inbox.claim_handed_back(10)] == [two.batch]
    worker.membership.leave()
    assert len(run.journal()) == 3
    assert len(run.reports.letters()[0]) == 2


def test_a_part_without_payloads_to_free_is_journaled_on_a_full_broker(full_broker: FullBroker) -> None:
    """Its rows came from files, or there were none."""
    run, fill = full_broker
    fill()
    assert run.control.part_written(part(), [], [letter()]) == 1


def test_what_starts_work_writes_nothing_on_a_full_broker(full_broker: FullBroker) -> None:
    run, fill = full_broker
    run.dispatch(batch(0))
    fill()
    before = run.everything()
    assert run.dispatch(batch(1)) == ({}, True)
    assert run.dispatch(batch(1, slices=1_500)) == ({}, True)
    assert run.control.tick(Tick(redo=[batch(0, 1)])) == ({}, True)
    with pytest.raises(BrokerFull, match="is full"):
        run.control.append([Reopened()])
    after = run.everything()
    changed = {key for key in before | after if before.get(key) != after.get(key)}
    assert changed <= {run.keys.run}  # a tick also notes its cursor
    assert run.control.journal.marks(run.steps) == (0, 0, {"g": 0, "a": 1, "b": 0})
    run.connection.command("CONFIG", "SET", "maxmemory", "0")
    assert run.dispatch(batch(1)) == ({"a": 2}, False)
    assert run.control.tick(Tick(redo=[batch(0, 1)])) == ({}, False)
    assert run.control.append([Reopened()]) == 1


def test_one_tick_frees_though_there_is_no_room_to_send(full_broker: FullBroker) -> None:
    run, fill = full_broker
    run.store(Payload("g", 0))
    fill()
    large = batch(0, step="b", slices=1_500)
    tick = Tick(dispatch={"a": [batch(0)], "b": [large]}, redo=[batch(0, 1)], release=[Payload("g", 0)], cursor=1)
    assert run.control.tick(tick) == ({}, True)
    assert run.stored(Payload("g", 0)) == [False]
    assert run.control.journal.marks([])[1] == 1
    assert (run.waiting("a"), run.waiting("b")) == (0, 0)


def test_a_batch_that_is_to_drain_a_full_broker_goes_through(full_broker: FullBroker) -> None:
    run, fill = full_broker
    worker = run.worker("w1")
    fill()
    assert run.control.tick(Tick(dispatch={"a": [batch(0)]}, drain=True)) == ({"a": 1}, False)
    assert [taken.batch for taken in take(worker)] == [batch(0)]


def test_a_coordinator_lives_goes_and_comes_on_a_full_broker(full_broker: FullBroker) -> None:
    """Batches in hand must be able to drain, also after a crash."""
    run, fill = full_broker
    RunRegistry(run.connection).add(run.run_id)
    fill()
    run.control.renew()
    run.control.resign()
    other = run.coordinator()
    other.take_over()
    other.update(status="running", want="", protocol=PROTOCOL)
    other.ensure_groups(run.steps)
    other.forget_workers()
    assert other.reclaim(run.steps) == 0
    RunRegistry(run.connection).add(run.run_id)
    other.renew()
    other.finish("stopped", run.steps)
    other.finish("complete", run.steps, keep=10)


# the connection


def test_scripts_that_the_broker_has_forgotten_are_sent_again(run: Run) -> None:
    run.dispatch(batch(0), batch(1))
    worker = run.worker("w1")
    taken = take(worker, 2)
    run.connection.command("SCRIPT", "FLUSH")
    assert worker.commits.commit([done(one) for one in taken]) == [True, True]
    run.connection.command("SCRIPT", "FLUSH")
    tick = Tick(dispatch={"a": [batch(2)]}, redo=[batch(0, 1)], release=[Payload("a", 0)], cursor=2)
    assert run.control.tick(tick) == ({"a": 3}, False)
    assert (run.waiting(), run.control.journal.marks([])[1]) == (2, 2)


def test_a_broker_that_ended_is_disconnected_and_is_back_with_its_data(wait_until: Callable[..., None]) -> None:
    with RedisServer() as server:
        run = Run(server.url)
        run.dispatch(batch(0))
        server.kill()
        with pytest.raises(Disconnected, match="cannot be reached"):
            run.control.renew()
        with pytest.raises(Disconnected):
            Patience(run.connection, 0.2).reach()
        server.start()
        Patience(run.connection, 10).reach()
        run.control.renew()


@pytest.mark.parametrize(
    ("url", "shown", "reason"),
    [
        ("redsi://localhost:6379", "redsi://localhost:6379", "redis://"),
        ("localhost:6379", "***", "redis://"),
        ("redis://[::1", "redis://***", "not a broker's URL"),
        ("redis://localhost:63x79", "redis://localhost:***", "port"),
        ("redis://localhost:99999", "redis://localhost:99999", "port"),
        ("redis://localhost:6379/0?sockt_timeout=1", "redis://localhost:6379/0?***", "'sockt_timeout'; did you mean"),
        (
            "redis://localhost:6379/0?socket_timeout=soon",
            "redis://localhost:6379/0?socket_timeout=soon",
            "socket_timeout",
        ),
    ],
)
def test_a_url_that_is_none_is_refused_in_words(url: str, shown: str, reason: str) -> None:
    from common.errors import UsageError

    with pytest.raises(UsageError) as caught:
        Connection(url)
    assert str(caught.value).startswith(f"'{shown}' is not a broker's URL")
    assert reason in str(caught.value)


@pytest.mark.parametrize("url", ["http://me:hunter2@host", "redis://:hunter2@host:63x79", "redis://me:hun/ter2@host"])
def test_a_refused_url_is_shown_without_its_password(url: str) -> None:
    from common.errors import UsageError

    with pytest.raises(UsageError) as caught:
        Connection(url)
    assert "hun" not in str(caught.value)
    assert "ter2" not in str(caught.value)


# the registry


def register(run: Run, protocol: int = PROTOCOL, **fields: str) -> None:
    run.control.update(spec='{"steps": {}}', protocol=protocol, pipeline="p", **fields)
    RunRegistry(run.connection).add(run.run_id)


def test_a_run_is_read_as_it_was_written(run: Run) -> None:
    register(run, signature="abc")
    registry = RunRegistry(run.connection)
    record = registry.read(run.run_id)
    assert record is not None
    assert (record.pipeline, record.signature, record.status, record.want) == ("p", "abc", "running", "")
    registry.ask_to_stop(run.run_id)
    assert registry.status(run.run_id) == ("running", "stop")
    assert run.control.want() == "stop"


@pytest.mark.parametrize("protocol", [PROTOCOL - 1, PROTOCOL + 1])
def test_a_run_of_another_protocol_is_refused_in_words_and_leaves_other_runs_alone(
    redis_url: str, protocol: int
) -> None:
    new, old = Run(redis_url), Run(redis_url)
    register(new), register(old, protocol)
    registry = RunRegistry(new.connection)
    with pytest.raises(RunError, match=rf"with protocol {protocol}; this version has protocol {PROTOCOL}.*--fresh"):
        registry.read(old.run_id)
    assert [record.run_id for record in registry.all()] == [new.run_id]
    assert old.run_id in registry.run_ids()


def test_a_run_whose_keys_have_expired_is_forgotten(run: Run) -> None:
    register(run)
    registry = RunRegistry(run.connection)
    run.connection.command("DEL", run.keys.run)
    assert list(registry.all()) == []
    other = Run(run.url)
    registry.add(other.run_id)
    assert registry.run_ids() == [other.run_id]


def test_a_run_is_deleted_with_all_its_keys_and_no_others(redis_url: str) -> None:
    first = Run(redis_url, run_id="run[1]*")
    second = Run(redis_url, run_id="run[1]*2")
    for run in (first, second):
        register(run)
        run.dispatch(batch(0))
    before = second.everything()
    assert RunRegistry(first.connection).delete(first.run_id) > 2
    assert first.everything() == {}
    assert second.everything() == before


def test_a_worker_that_waits_for_a_run_outlasts_a_broker_that_goes_away_twice(run: Run) -> None:
    run.control.finish("complete", run.steps)
    with Proxy(run.url) as inner, Proxy(inner.url) as outer:
        finder = Finder(Connection(outer.url), step="a", run_id=run.run_id, pipeline=None, patience=20)
        outer.lose_reply(run.run_id.encode())
        inner.lose_reply(b"\r\nINFO\r\n", after=1)  # when it was reachable, and is looked at again
        assert finder.find(threading.Event()) is None
        assert (outer.lost, inner.lost) == (True, True)

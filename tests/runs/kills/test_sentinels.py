"""A broker that sentinels look after: its URL, failovers in mid-run, and a replica that has missed the last writes."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from common.broker.connection import Connection
from common.broker.patience import Patience
from common.errors import BrokerError, Disconnected, UsageError
from common.protocol.keys import Keys
from tests.support.runs.broker import Run, batch, done, take
from tests.support.runs.harness import Harness, harnesses, wait_for
from tests.support.runs.pipelines import Pipeline, start_external, start_workers
from tests.support.runs.sight import Sight
from tests.support.servers.redis_server import RedisServer
from tests.support.servers.sentinels import Sentinels, role


@pytest.fixture
def harness(tmp_path: Path) -> Iterator[Harness]:
    yield from harnesses(tmp_path, PART_ROWS="60", FLUSH_INTERVAL="0.2", PATIENCE="60")


@pytest.fixture
def setup() -> Iterator[Sentinels]:
    with Sentinels() as setup:
        yield setup


# runs


@pytest.mark.parametrize("how", ["asked for", "killed"])
def test_a_run_goes_on_through_a_failover(harness: Harness, setup: Sentinels, chain: Pipeline, how: str) -> None:
    workers = start_workers(harness, setup.url, "count", "double", "keep")
    command = start_external(harness, setup.url, chain)
    Sight(harness, setup.url).wait_for_results("double", 5)
    before = setup.master
    if how == "killed":
        before.kill()
        setup.wait_for_master_other_than(before)
    else:
        setup.failover()
    chain.check_end(harness, command, workers)
    assert role(setup.master) == b"master"


def test_a_run_goes_on_with_a_replica_that_has_missed_the_last_writes(
    harness: Harness, setup: Sentinels, chain: Pipeline
) -> None:
    """What it has is a prefix: results, parts and releases are lost together, and done again."""
    workers = start_workers(harness, setup.url, "count", "double", "keep")
    command = start_external(harness, setup.url, chain)
    sight = Sight(harness, setup.url)
    sight.wait_for_results("double", 3)
    first, second = setup.master, setup.replica
    second.ask("REPLICAOF", "127.0.0.1", "1")  # it keeps what it has, and gets nothing more
    kept, parts = len(sight.journal()), sight.parts()
    wait_for(lambda: len(sight.journal()) >= kept + 10 and sight.parts() > parts, what="work that will be lost")
    lost = len(sight.journal())
    first.kill()
    second.ask("REPLICAOF", "NO", "ONE")
    for sentinel in setup.sentinels:
        sentinel.ask("SENTINEL REMOVE", "mymaster")
        sentinel.ask("SENTINEL MONITOR", "mymaster", "127.0.0.1", second.port, 1)
    run_id = sight.run_id
    assert int(second.ask("XLEN", Keys(run_id).journal)) < lost
    chain.check_end(harness, command, workers)
    assert "another server has replaced it" in command.text or "cannot be reached" in command.text


def test_a_run_goes_on_where_the_broker_forgets_its_scripts(harness: Harness, chain: Pipeline) -> None:
    with RedisServer() as server:
        workers = start_workers(harness, server.url, "count", "double", "keep")
        command = start_external(harness, server.url, chain)
        sight = Sight(harness, server.url)
        for results in (3, 8, 13):
            sight.wait_for_results("double", results)
            connection = sight.connect()
            connection.command("SCRIPT", "FLUSH")
            connection.close()
        chain.check_end(harness, command, workers)


# the connection


def test_the_master_is_found_and_followed_with_passwords_for_servers_and_sentinels() -> None:
    with Sentinels(3, password="se/cret", sentinel_password="other") as setup:
        url = setup.url.replace("se/cret", "se%2Fcret")
        connection = Connection(url)
        Patience(connection, 10).reach()
        connection.command("SET", "key", "value")
        setup.wait_for_replica(setup.master)
        setup.failover()
        Patience(connection, 20).reach()
        assert connection.command("GET", "key") == b"value"
        setup.sentinels[0].signal(signal.SIGSTOP)  # one that does not answer is passed over
        connection.close()
        assert connection.command("GET", "key") == b"value"
        setup.sentinels[0].signal(signal.SIGCONT)
        connection.close()
        with pytest.raises(BrokerError) as caught:
            Connection(setup.url.replace("se/cret", "wrong")).facts()
        assert "wrong" not in str(caught.value)


def test_a_master_that_no_sentinel_knows_is_named(setup: Sentinels) -> None:
    with pytest.raises(Disconnected, match=r"none of the sentinels 127.0.0.1:.* names a healthy master 'theirs'"):
        Connection(setup.url.replace("mymaster", "theirs")).facts()


def test_a_server_that_was_demoted_is_left_for_the_master(setup: Sentinels) -> None:
    run = Run(setup.url)
    run.dispatch(batch(0))
    worker = run.worker("w1")
    (taken,) = take(worker)
    before = setup.master
    setup.wait_for_replica(before)
    setup.failover()
    wait_for(lambda: role(before) == b"slave", what="the demotion")
    wait_for(lambda: _is_reached(worker.consumer.connection), what="the master")
    assert worker.commits.commit([done(taken)]) == [True]
    assert len(run.journal()) == 1


def _is_reached(connection: Connection) -> bool:
    try:
        Patience(connection, 0.1).reach()
    except Disconnected:
        return False
    return True


def test_a_replica_takes_no_writes_and_is_waited_for_in_words(setup: Sentinels) -> None:
    url = f"redis://127.0.0.1:{setup.replica.port}"
    with pytest.raises(Disconnected, match="READONLY"):
        Connection(url).command("SET", "a", 1)
    with pytest.raises(Disconnected, match="READONLY"):
        Run(url)
    with pytest.raises(Disconnected, match="READONLY"):
        Patience(Connection(url), 0.2).reach()


def test_who_must_not_mix_two_lives_of_a_server_is_disconnected_until_it_looks_for_the_new_one() -> None:
    """Also if no socket was in use when the server died, so that no client saw it."""
    with RedisServer() as server:
        connection, other = Connection(server.url, one_life=True), Connection(server.url)
        Patience(connection, 5).reach()
        other.command("SET", "key", "value")
        server.restart()
        for _ in range(2):
            with pytest.raises(Disconnected, match="was restarted"):
                connection.command("GET", "key")
        assert other.command("SET", "key", "value")
        Patience(connection, 5).reach()
        assert connection.command("GET", "key") == b"value"


def test_a_server_that_is_loading_is_waited_for() -> None:
    with RedisServer("--key-load-delay", "500") as server:
        connection = Connection(server.url)
        connection.batch([("SET", f"key-{number}", "value") for number in range(4_000)])
        server.stop()
        start = threading.Thread(target=server.start)
        start.start()
        wait_for(lambda: "loading" in _why_not(connection), what="a server that loads")
        Patience(connection, 20).reach()
        assert connection.command("GET", "key-3999") == b"value"
        start.join()


def _why_not(connection: Connection) -> str:
    try:
        connection.command("GET", "key")
    except Disconnected as error:
        return str(error)
    return ""


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("redis+sentinel://host", "it does not name the master"),
        ("redis+sentinel://host:port/mymaster", "port"),
        ("redis+sentinel:///mymaster", "a sentinel has no host"),
        ("redis+sentinel://host/mymaster/zero", "the master's name must be followed"),
        ("redis+sentinel://host/mymaster?sentinel_pasword=x", "'sentinel_pasword'"),
        ("redis+sentinel://host/mymaster?sockt_timeout=1", "'sockt_timeout'"),
    ],
)
def test_a_wrong_url_of_sentinels_is_refused_in_words(url: str, reason: str) -> None:
    with pytest.raises(UsageError) as caught:
        Connection(url)
    assert reason in str(caught.value)


def test_both_passwords_stay_out_of_what_is_shown() -> None:
    connection = Connection("redis+sentinel://me:hunter1@a:1,b:2/mymaster/0?sentinel_password=hunter2")
    assert connection.shown_url == "redis+sentinel://me:***@a:1,b:2/mymaster/0?sentinel_password=***"

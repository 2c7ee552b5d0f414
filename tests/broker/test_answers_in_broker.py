"""The answers kept in a broker: their room and time, and that no fault of the broker costs a row."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import redis

from common.broker.answers import BYTES_OF_REQUEST, AnswersOfBroker
from common.broker.connection import Connection
from common.llms.answers import broker_store
from common.llms.answers.broker_store import BrokerAnswerStore
from common.protocol.keys import AnswerKeys
from tests.support.kept_answers import BUDGET, FAMILY, found, keep, key, opened, place, request
from tests.support.servers.redis_server import RedisServer
from tests.unit.llms.test_answers_of_earlier_versions import KEY, PARTS, REJECTED, REPLIES, found_later

KEYS = AnswerKeys()


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


@pytest.fixture
def url(server: RedisServer) -> str:
    with redis.Redis.from_url(server.url) as client:
        client.flushall()
    return server.url


@contextmanager
def connected(url: str) -> Iterator[Connection]:
    connection = Connection(url)
    try:
        yield connection
    finally:
        connection.close()


def warned(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


# an upgrade


def test_what_an_earlier_version_has_put_there_is_found(url: str) -> None:
    """The number in the tag of the keys is that of this format: another one needs another number."""
    tag = "penstock:{answers:1}"
    of, claims = f"{tag}:of:{KEY}", f"{tag}:claims:0123456789abcdef:1"
    with redis.Redis.from_url(url) as client:
        client.hset(of, mapping={"generation": "d498a4b7", "last": 3, "model": "m", "parts": PARTS})
        client.hset(of, mapping={"first": 1795846036000, "newest": 1795846036000, f"rejected:{REJECTED}": 1})
        for number, (digest, reply) in enumerate(REPLIES, 1):
            client.hset(of, str(number), bytes.fromhex(f"0123456789abcdef{digest}{reply}"))
        client.hset(claims, "c" * 16, "1 0 d498a4b7")
        client.zadd(f"{tag}:used", {of: 1795846036000, claims: 1795846036000})
        client.hset(f"{tag}:bytes", mapping={of: 3000, claims: 600, "total": 3600})
        for key in (of, claims, f"{tag}:used", f"{tag}:bytes"):
            client.expire(key, 1000)
    assert found_later(BrokerAnswerStore(url, "later", "begun", BUDGET, 1e12)) == [{"n": 1}, {"n": 3}, None]


# room and time


def test_what_was_not_used_for_the_longest_time_makes_room(url: str) -> None:
    budget = 40 * (BYTES_OF_REQUEST + 3_000)
    with opened(url) as store:
        for number in range(20):
            keep(store, f"old {number}", f"old {number}", os.urandom(1000).hex())
    with opened(url, "between") as store:
        assert found(store, "old 0", "between") is not None
    with opened(url, "later", budget=budget) as store:
        for number in range(200):
            keep(store, str(number), str(number), os.urandom(1000).hex())
    with connected(url) as connection:
        assert AnswersOfBroker(connection).total() <= budget
        held = {str(one.model) for one in AnswersOfBroker(connection).requests()}
        assert held == {"m"}
    with opened(url, "last") as store:
        assert found(store, "old 1", "last") is None
        # Those that are committed together are equally old, so any of them may be left.
        assert any(found(store, str(number), "last") is not None for number in range(200))


def test_answers_take_a_quarter_of_a_limited_memory_at_most() -> None:
    with RedisServer("--maxmemory", "8mb") as server, opened(server.url) as store:
        for number in range(3000):
            store.keep(key(str(number)), place(str(number)), FAMILY, request(str(number)), os.urandom(1000))
        store.close()
        with connected(server.url) as connection:
            assert 0 < AnswersOfBroker(connection).total() <= 2 << 20
            facts = connection.facts()
            assert facts.used_memory < 5 << 20


def test_what_is_not_used_expires_and_what_is_used_does_not(url: str, wait_until: Callable[..., None]) -> None:
    with opened(url, expiry=1.0) as store:
        keep(store, "a", "1", "x")
    with connected(url) as connection:
        wait_until(lambda: not connection.command("EXISTS", KEYS.request(key("a"))))
        assert AnswersOfBroker(connection).total() > 0
    with opened(url, "later", expiry=1.0) as store:
        assert found(store, "a", "1") is None
    with connected(url) as connection:
        assert AnswersOfBroker(connection).total() == 0
        assert connection.command("ZCARD", KEYS.used) == 0


def test_a_find_keeps_an_answer_from_expiring(url: str) -> None:
    with opened(url, expiry=100.0) as store:
        keep(store, "a", "1", "x")
    with opened(url, "later", expiry=1000.0) as store:
        assert found(store, "a", "1") == "x"
    with connected(url) as connection:
        assert connection.command("PTTL", KEYS.request(key("a"))) > 900_000


def test_an_answer_that_was_deleted_and_comes_again_is_nobodys(url: str) -> None:
    with opened(url) as store:
        keep(store, "a", "1", "first")
    with connected(url) as connection:
        connection.command("UNLINK", KEYS.request(key("a")))
    with opened(url, "other") as store:
        keep(store, "a", "other", "second")
    with opened(url) as store:
        assert found(store, "a", "2") == "second", "the claim was of an answer that is gone"
        assert found(store, "a", "1") is None


# trouble


def test_foreign_data_switches_the_answers_off_and_is_left_alone(url: str, caplog: pytest.LogCaptureFixture) -> None:
    with redis.Redis.from_url(url) as client:
        client.set(KEYS.request(key("a")), "mine")
        with opened(url) as store:
            assert found(store, "a", "1") is None
            keep(store, "b", "1", "x")
        assert client.get(KEYS.request(key("a"))) == b"mine"
    [said] = warned(caplog)
    assert "the run continues without them" in said


def test_a_broker_that_is_away_is_a_miss_and_what_came_meanwhile_is_kept_once_it_is_back(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(broker_store, "_PAUSE", 0.0)
    with RedisServer() as server:
        with opened(server.url) as store:
            keep(store, "a", "1", "before")
            server.kill()
            assert found(store, "b", "2") is None
            store.keep(key("b"), place("2"), FAMILY, request("b"), b"meanwhile")
            assert found(store, "b", "2") == "meanwhile"
            server.start()
            assert found(store, "c", "3") is None
        with opened(server.url, "later") as store:
            assert found(store, "b", "later") == "meanwhile"
    first, second = warned(caplog)
    assert "asked for now" in first
    assert "are used again" in second


def test_a_broker_that_is_gone_for_good_delays_no_row(caplog: pytest.LogCaptureFixture) -> None:
    with RedisServer() as server, opened(server.url) as store:
        keep(store, "a", "1", "before")
        server.kill()
        begun = time.monotonic()
        for number in range(10, 1000):
            assert found(store, str(number), str(number)) is None
            store.keep(key(str(number)), place(str(number)), FAMILY, request(str(number)), b"x" * 100_000)
        store.close()
        assert time.monotonic() - begun < 5.0
        assert len(warned(caplog)) == 1


def test_a_full_broker_finds_answers_and_gives_up_those_that_are_least_used(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with RedisServer() as server, redis.Redis.from_url(server.url) as client:
        with opened(server.url) as store:
            for number in range(400):
                keep(store, str(number), str(number), os.urandom(500).hex())
        client.set("ballast", b"x" * (1 << 20))
        client.config_set("maxmemory", client.info("memory")["used_memory"] - 1000)
        with opened(server.url, "later") as store:
            assert found(store, "399", "later") is not None
            keep(store, "new", "new", "x")
        client.config_set("maxmemory", 0)
        with connected(server.url) as connection:
            kept = sum(one.answers for one in AnswersOfBroker(connection).requests())
        assert 100 < kept < 300
    assert len(warned(caplog)) <= 1

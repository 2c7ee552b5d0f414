"""The store of kept answers in a broker: what it finds and deletes, and that no fault of the broker costs a row."""

from __future__ import annotations

import asyncio
import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import redis
from hypothesis import settings as hypothesis_settings

from common.broker.answers import BYTES_OF_REQUEST, AnswersOfBroker
from common.broker.connection import Connection
from common.llms.answers import broker_store
from common.llms.answers.broker_store import BrokerAnswerStore
from common.llms.answers.kept import Found, Kept
from common.protocol.keys import AnswerKeys
from tests.support.kept_answers import look
from tests.support.servers.redis_server import RedisServer
from tests.unit.llms.test_answer_store import FAMILY, Claims, key, place, reply, request
from tests.unit.llms.test_answers_of_earlier_versions import KEY, PARTS, REJECTED, REPLIES, found_later

BUDGET = 1 << 30
EXPIRY = 86_400.0
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
def opened(url: str, run: str = "run", budget: int = BUDGET, expiry: float = EXPIRY) -> Iterator[BrokerAnswerStore]:
    store = BrokerAnswerStore(url, run, "begun", budget, expiry)
    try:
        yield store
    finally:
        store.close()


@contextmanager
def connected(url: str) -> Iterator[Connection]:
    connection = Connection(url)
    try:
        yield connection
    finally:
        connection.close()


def keep(store: BrokerAnswerStore, prompt: str, where: str, text: str, attempt: int = 0) -> Kept:
    assert look(store, key(prompt), place(where, attempt)) is None
    return store.keep(key(prompt), place(where, attempt), FAMILY, request(prompt), text.encode())


def found(store: BrokerAnswerStore, prompt: str, where: str, attempt: int = 0) -> str | None:
    return reply(look(store, key(prompt), place(where, attempt)))


def warned(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


# finding


def test_a_place_finds_its_own_answer_before_it_is_in_the_broker_and_after(url: str) -> None:
    with opened(url) as store:
        keep(store, "a", "1", "yes")
        assert found(store, "a", "1") == "yes"
    with opened(url) as store:
        again = look(store, key("a"), place("1"))
        assert again is not None
        assert (again.reply, again.is_own) == (b"yes", True)


def test_another_run_finds_the_answers_of_an_earlier_one_one_for_each_place(url: str) -> None:
    with opened(url) as store:
        for name in ("1", "2"):
            keep(store, "a", name, f"answer {name}")
    with opened(url, "later") as store:
        answers = [look(store, key("a"), place(f"later {name}")) for name in range(3)]
        assert [reply(one) for one in answers] == ["answer 1", "answer 2", None]
        assert [one.is_own for one in answers if one] == [False, False]
        assert [found(store, "a", f"later {name}") for name in range(2)] == ["answer 1", "answer 2"]


def test_a_rejected_answer_is_found_by_its_place_alone_and_not_once_the_run_was_resumed(url: str) -> None:
    with opened(url) as store:
        store.reject(keep(store, "a", "1", "bad"))
        assert found(store, "a", "1") == "bad"
        assert found(store, "a", "1", attempt=1) is None
    with opened(url) as store:
        assert found(store, "a", "1") == "bad"
        keep(store, "a", "1", "good", attempt=1)
        assert found(store, "a", "1", attempt=1) == "good"
    with opened(url, "later") as store:
        assert found(store, "a", "later") == "good"
        assert found(store, "a", "later 2") is None


def test_of_two_answers_for_one_place_the_first_stays_and_the_other_is_given_to_another(url: str) -> None:
    """As when a batch was delivered twice."""
    with opened(url) as one, opened(url) as other:
        assert found(other, "a", "1") is None
        keep(one, "a", "1", "first")
        one.close()
        other.keep(key("a"), place("1"), FAMILY, request("a"), b"second")
    with opened(url) as store:
        assert found(store, "a", "1") == "first"
        assert found(store, "a", "2") == "second"


def test_an_answer_that_came_after_one_of_another_run_stays_its_places_own(url: str) -> None:
    """Both runs have asked, and the other one's answer has come first."""
    with opened(url) as mine, opened(url, "other") as theirs:
        assert found(mine, "a", "1") is None
        keep(theirs, "a", "other 1", "theirs")
        theirs.close()
        mine.keep(key("a"), place("1"), FAMILY, request("a"), b"mine")
    with opened(url) as store:
        assert [found(store, "a", name) for name in ("2", "3", "1")] == ["theirs", None, "mine"]


def test_look_ups_of_many_rows_go_together_and_each_gets_its_own(url: str) -> None:
    with opened(url) as store:
        for number in range(200):
            keep(store, f"prompt {number}", str(number), f"answer {number}")

    async def all_at_once(store: BrokerAnswerStore) -> list[Found | None]:
        numbers = range(200)
        return await asyncio.gather(*(store.find(key(f"prompt {n}"), place(f"later {n}")) for n in numbers))

    with opened(url, "later") as store:
        answers = asyncio.run(all_at_once(store))
        assert [reply(one) for one in answers] == [f"answer {number}" for number in range(200)]


class BrokerClaims(Claims):
    """Two runs of two workers each, which share nothing but the broker."""

    def store(self, run: str) -> BrokerAnswerStore:  # type: ignore[override]
        return BrokerAnswerStore(f"{SERVER.url}?db=1", run, self.folder.name, BUDGET, EXPIRY)

    def teardown(self) -> None:
        super().teardown()
        with redis.Redis.from_url(f"{SERVER.url}?db=1") as client:
            client.flushdb()


BrokerClaims.TestCase.settings = hypothesis_settings(max_examples=15, stateful_step_count=15, deadline=None)
SERVER = RedisServer()


class TestBrokerClaims(BrokerClaims.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        SERVER.start()

    @classmethod
    def tearDownClass(cls) -> None:
        SERVER.kill()


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


# kill -9

WORKER = """
import sys, time
from tests.support.kept_answers import look
from tests.broker.test_answers_in_broker import BrokerAnswerStore, BUDGET, EXPIRY, FAMILY, key, place, request
store = BrokerAnswerStore(sys.argv[1], "run", "begun", BUDGET, EXPIRY)
for number in range(10_000):
    look(store, key(str(number)), place(str(number)))
    store.keep(key(str(number)), place(str(number)), FAMILY, request(str(number)), b"x" * 1000)
    print(number, time.time(), flush=True)
    time.sleep(0.002)
"""


def test_a_killed_worker_loses_the_answers_of_the_last_tenth_of_a_second_at_most(url: str) -> None:
    worker = subprocess.Popen([sys.executable, "-c", WORKER, url], stdout=subprocess.PIPE, text=True)
    assert worker.stdout is not None
    lines = [worker.stdout.readline().split() for _ in range(150)]
    worker.kill()
    killed_at = time.time()
    lines += [line.split() for line in worker.stdout if line.count(" ") == 1]
    worker.wait()
    with opened(url, "later") as store:
        lost = [float(at) for number, at in lines if found(store, number, f"later {number}") is None]
    assert len(lost) < len(lines) / 2
    assert all(at > killed_at - 1.0 for at in lost), "they were committed long before"


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


def test_a_damaged_value_is_a_miss_and_is_removed(url: str, caplog: pytest.LogCaptureFixture) -> None:
    with opened(url) as store:
        keep(store, "a", "1", "first")
        keep(store, "a", "2", "second")
    with redis.Redis.from_url(url) as client:
        client.hset(KEYS.request(key("a")), "1", b"\0" * 40)
    with opened(url) as store:
        assert found(store, "a", "1") is None
    with opened(url, "later") as store:
        assert found(store, "a", "later") == "second"
    assert warned(caplog) == []


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

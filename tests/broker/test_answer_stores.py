"""What both stores of kept answers do, that in a file and that in a broker: what they find, and whose it is."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import redis
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from common.llms.answers.answers_file import answers_file
from common.llms.answers.kept import Answers, Found
from common.protocol.keys import AnswerKeys
from tests.support.kept_answers import (
    FAMILY,
    found,
    keep,
    key,
    look,
    opened,
    place,
    put,
    reply,
    request,
    store_at,
)
from tests.support.places import REPOSITORY
from tests.support.servers.redis_server import RedisServer


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


@pytest.fixture(params=["file", "broker"])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A folder, or the URL of an empty broker."""
    if request.param == "file":
        return str(tmp_path)
    url = str(request.getfixturevalue("server").url)
    with redis.Redis.from_url(url) as client:
        client.flushall()
    return url


def test_a_place_finds_its_own_answer_before_it_is_committed_and_after(where: str) -> None:
    with opened(where) as store:
        keep(store, "a", "1", "yes")
        assert found(store, "a", "1") == "yes"
    with opened(where) as store:
        again = look(store, key("a"), place("1"))
        assert again is not None
        assert (again.reply, again.is_own) == (b"yes", True)


def test_another_run_finds_the_answers_of_an_earlier_one_one_for_each_place(where: str) -> None:
    with opened(where) as store:
        for name in ("1", "2"):
            keep(store, "a", name, f"answer {name}")
    with opened(where, "later") as store:
        answers = [look(store, key("a"), place(f"later {name}")) for name in range(3)]
        assert [reply(one) for one in answers] == ["answer 1", "answer 2", None]
        assert [one.is_own for one in answers if one] == [False, False]
        assert [found(store, "a", f"later {name}") for name in range(2)] == ["answer 1", "answer 2"]


def test_equal_prompts_of_one_run_are_not_given_each_others_answers(where: str) -> None:
    with opened(where) as store:
        keep(store, "a", "1", "first")
    with opened(where) as store:
        keep(store, "a", "2", "second")
        assert found(store, "a", "1") == "first"


def test_a_rejected_answer_is_found_by_its_place_alone_and_not_once_the_run_was_resumed(where: str) -> None:
    with opened(where) as store:
        store.reject(keep(store, "a", "1", "bad"))
        assert found(store, "a", "1") == "bad"
        assert found(store, "a", "1", attempt=1) is None
    with opened(where) as store:
        assert found(store, "a", "1") == "bad"
        keep(store, "a", "1", "good", attempt=1)
        assert found(store, "a", "1", attempt=1) == "good"
    with opened(where, "later") as store:
        assert found(store, "a", "later") == "good"
        assert found(store, "a", "later 2") is None


def test_an_answer_that_is_rejected_as_it_was_found_is_given_to_no_other_run(where: str) -> None:
    with opened(where) as store:
        keep(store, "a", "1", "bad")
    with opened(where) as store:
        again = look(store, key("a"), place("1"))
        assert again is not None
        store.reject(again.kept)
    with opened(where, "later") as store:
        assert found(store, "a", "later") is None


def test_of_two_answers_for_one_place_the_first_stays_and_the_other_is_given_to_another(where: str) -> None:
    """As when a batch was delivered twice."""
    with opened(where) as one, opened(where) as other:
        assert found(other, "a", "1") is None
        keep(one, "a", "1", "first")
        one.close()
        put(other, "a", "1", "second")
    with opened(where) as store:
        assert found(store, "a", "1") == "first"
        assert found(store, "a", "2") == "second"


def test_two_answers_for_one_place_that_are_committed_together_leave_it_the_first(where: str) -> None:
    """As when two rows ask for the vector of one text at once: its place is that of the whole run."""
    with opened(where) as store:
        assert found(store, "a", "1") is None
        for text in ("first", "second"):
            put(store, "a", "1", text)
    with opened(where) as store:
        assert found(store, "a", "1") == "first"
        assert found(store, "a", "2") == "second"


def test_an_answer_that_came_after_one_of_another_run_stays_its_places_own(where: str) -> None:
    """Both runs have asked, and the other one's answer has come first."""
    with opened(where) as mine, opened(where, "other") as theirs:
        assert found(mine, "a", "1") is None
        keep(theirs, "a", "other 1", "theirs")
        theirs.close()
        put(mine, "a", "1", "mine")
    with opened(where) as store:
        assert [found(store, "a", name) for name in ("2", "3", "1")] == ["theirs", None, "mine"]


def test_look_ups_of_many_rows_go_together_and_each_gets_its_own(where: str) -> None:
    with opened(where) as store:
        for number in range(200):
            keep(store, f"prompt {number}", str(number), f"answer {number}")

    async def all_at_once(store: Answers) -> list[Found | None]:
        numbers = range(200)
        return await asyncio.gather(*(store.find(key(f"prompt {n}"), place(f"later {n}")) for n in numbers))

    with opened(where, "later") as store:
        answers = asyncio.run(all_at_once(store))
        assert [reply(one) for one in answers] == [f"answer {number}" for number in range(200)]


def damage_the_first(where: str) -> None:
    """The first answer to "a" cannot be read."""
    if "://" in where:
        with redis.Redis.from_url(where) as client:
            client.hset(AnswerKeys().request(key("a")), "1", b"\0" * 40)
        return
    with closing(sqlite3.connect(answers_file(Path(where)))) as connection, connection:
        connection.execute("UPDATE answers SET reply = zeroblob(10) WHERE id = 1")


def test_a_damaged_value_is_a_miss_and_the_next_answer_is_taken(where: str, caplog: pytest.LogCaptureFixture) -> None:
    with opened(where) as store:
        keep(store, "a", "1", "first")
        keep(store, "a", "2", "second")
    damage_the_first(where)
    with opened(where) as store:
        assert found(store, "a", "1") is None
    with opened(where, "later") as store:
        assert found(store, "a", "later") == "second"
    assert [record for record in caplog.records if record.name == "penstock.llm"] == []


class Claims(RuleBasedStateMachine):
    """Two runs of two workers each, beside dicts that say what each place must find."""

    places = st.integers(0, 3)
    runs = st.sampled_from(["one", "two"])
    prompts = st.sampled_from(["a", "b"])

    def __init__(self) -> None:
        super().__init__()
        self.folder = TemporaryDirectory()
        self.stores = {(run, n): self.store(run) for run in ("one", "two") for n in (0, 1)}
        self.answers: dict[str, list[str]] = {"a": [], "b": []}
        self.rejected: set[str] = set()
        self.claims: dict[tuple[str, str, int], str] = {}
        self.paid = 0

    def where(self) -> str:
        return self.folder.name

    def store(self, run: str) -> Answers:
        return store_at(self.where(), run)

    def teardown(self) -> None:
        for store in self.stores.values():
            store.close()
        self.folder.cleanup()

    @rule(run=runs, worker=st.integers(0, 1), prompt=prompts, number=places, bad=st.booleans())
    def ask(self, run: str, worker: int, prompt: str, number: int, bad: bool) -> None:
        store, here = self.stores[run, worker], place(f"{run} {prompt} {number}")
        found = look(store, key(prompt), here)
        mine = self.claims.get((run, prompt, number))
        taken = {answer for (other, _, _), answer in self.claims.items() if other == run}
        free = [one for one in self.answers[prompt] if one not in taken and one not in self.rejected]
        expected = mine or next(iter(free), None)
        assert reply(found) == expected
        if found is None:
            self.paid += 1
            expected = f"{run}: {self.paid}"
            kept = store.keep(key(prompt), here, FAMILY, request(prompt), expected.encode())
            self.answers[prompt].append(expected)
        else:
            assert found.is_own == found.reply.decode().startswith(run)
            kept = found.kept
        assert expected is not None
        self.claims[run, prompt, number] = expected
        if bad:
            store.reject(kept)
            self.rejected.add(expected)
        # Another worker knows of an answer once it is committed.
        store.close()
        self.stores[run, worker] = self.store(run)

    @invariant()
    def no_answer_is_in_two_places_of_a_run(self) -> None:
        for run in ("one", "two"):
            mine = [answer for (other, _, _), answer in self.claims.items() if other == run]
            assert len(mine) == len(set(mine))


class BrokerClaims(Claims):
    """The same, sharing nothing but a broker."""

    def where(self) -> str:
        return f"{SERVER.url}?db=1"

    def teardown(self) -> None:
        super().teardown()
        with redis.Redis.from_url(self.where()) as client:
            client.flushdb()


SERVER = RedisServer()
TestClaims = Claims.TestCase
for each in (Claims, BrokerClaims):
    each.TestCase.settings = hypothesis_settings(max_examples=15, stateful_step_count=15, deadline=None)


class TestBrokerClaims(BrokerClaims.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        SERVER.start()

    @classmethod
    def tearDownClass(cls) -> None:
        SERVER.kill()


# several processes

CLAIMANT = """
import sys
from tests.support.kept_answers import found, opened, put
with opened(sys.argv[1], "later") as store:
    for number in range(200):
        place = f"{sys.argv[2]} {number}"
        answer = found(store, "a", place)
        print(answer or "paid", flush=True)
        if answer is None:
            put(store, "a", place, "new")
"""


def python(code: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", code, *arguments], stdout=subprocess.PIPE, text=True, cwd=REPOSITORY)


def test_two_workers_at_once_never_take_the_same_answer(where: str) -> None:
    with opened(where) as store:
        for number in range(300):
            keep(store, "a", str(number), str(number))
    workers = [python(CLAIMANT, where, name) for name in ("x", "y")]
    said = [worker.communicate(timeout=60)[0].split() for worker in workers]
    answers = [line for lines in said for line in lines if line != "paid"]
    assert sorted(answers, key=int) == [str(number) for number in range(300)]
    assert sum(map(len, said)) == 400


KILLED = """
import sys, time
from tests.support.kept_answers import keep, store_at
store = store_at(sys.argv[1])
for number in range(10_000):
    keep(store, str(number), str(number), "x" * 1000)
    print(number, time.time(), flush=True)
    time.sleep(0.005)
"""


def test_kill_minus_nine_loses_the_answers_of_the_last_moment_and_no_others(where: str) -> None:
    worker = python(KILLED, where)
    assert worker.stdout is not None
    lines = [worker.stdout.readline() for _ in range(150)]
    worker.kill()
    killed_at = time.time()
    lines += worker.stdout.readlines()
    worker.wait()
    worker.stdout.close()
    kept = [line.split() for line in lines if line.endswith("\n")]
    with opened(where, "later") as store:
        lost = [(number, at) for number, at in kept if found(store, number, f"later {number}") is None]
    # Those of a tenth of a second, 20 of them, and as many that came while others were committed on a slow machine.
    assert len(lost) <= 60
    assert lost == [(number, at) for number, at in kept[len(kept) - len(lost) :]]
    assert all(float(at) > killed_at - 1.0 for _, at in lost), "they were committed long before"

"""Answers that were paid for, kept in a broker: workers that share nothing else, as on several hosts."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from common.broker.answers import AnswersOfBroker
from common.broker.connection import Connection
from tests.runs.data.test_answers_of_runs import complete, endpoint, numbered, write, write_rows
from tests.support.runs.harness import Command, Harness, harnesses, wait_for
from tests.support.runs.hosts import worker
from tests.support.servers.chat_server import completion
from tests.support.servers.redis_server import RedisServer

KEPT = ("--answers", "broker", "--broker")


@pytest.fixture
def harness(tmp_path: Path) -> Iterator[Harness]:
    yield from harnesses(tmp_path)


@pytest.fixture
def workers(harness: Harness, redis_url: str) -> list[Command]:
    """Two of step `ask`, and one of each other step, which serve one run after the other."""
    return [worker(harness, redis_url, step, "--stay") for step in ("load", "ask", "ask", "last")]


def test_workers_on_several_hosts_pay_for_no_answer_twice(
    harness: Harness, redis_url: str, workers: list[Command]
) -> None:
    write_rows(harness, [f"row {number % 40}" for number in range(60)])
    external = (*KEPT, redis_url, "--workers", "external")
    with endpoint(numbered(), delay=0.001) as chat:
        first = complete(harness, write(harness, chat, batch=3), *external)
        assert len({answer for _, answer in first}) == len(chat.requests) == 120
        again = complete(harness, write(harness, chat, batch=4, columns="[generation, instruction]"), *external)
        assert len(chat.requests) == 120
        assert sorted(again) == sorted(first)
        assert complete(harness, write(harness, chat, batch=3), "--fresh", *external)
        assert len(chat.requests) == 120
    assert not (harness.folder / "cache" / "answers.sqlite").exists()


def test_what_a_killed_worker_was_given_another_host_finds_again(
    harness: Harness, redis_url: str, workers: list[Command]
) -> None:
    write_rows(harness, [f"row {number}" for number in range(300)])
    with endpoint(numbered(), delay=0.02) as chat:
        spec = write(harness, chat, batch=50, more="concurrency: 4")
        run = harness.start_run(spec, *KEPT, redis_url, "--workers", "external")
        wait_for(lambda: len(chat.requests) > 150, what="some answers")
        os.killpg(workers[1].process.pid, signal.SIGKILL)
        assert run.wait() == 0, run.text
        rows = harness.rows()
        assert len(rows) == len({row["generation"] for row in rows}) == 600
        # In flight: four rows with two calls each, and five rounds of them in a tenth of a second.
        assert len(chat.requests) - 600 <= 8 + 5 * 8
        asked = Counter(body["messages"][-1]["content"] for _, _, body in chat.requests)
        assert max(asked.values()) <= 4


def test_a_broker_that_restarts_delays_the_run_and_costs_no_row(harness: Harness) -> None:
    write_rows(harness, [f"row {number}" for number in range(200)])
    with RedisServer() as broker, endpoint(numbered(), delay=0.02) as chat:
        spec = write(harness, chat, batch=10, more="concurrency: 4")
        run = harness.start_run(spec, *KEPT, broker.url)
        wait_for(lambda: len(chat.requests) > 100, what="some answers")
        broker.restart()
        assert run.wait() == 0, run.text
        rows = harness.rows()
        assert len(rows) == len({row["generation"] for row in rows}) == 400
        paid = len(chat.requests)
        # What the broker's last second forgot may be asked again, and what was asked while it was away.
        assert paid < 400 + 400
        assert len(complete(harness, spec, "--fresh", *KEPT, broker.url)) == 400
        assert len(chat.requests) == paid
    assert harness.letters() == []


def test_a_small_broker_has_room_for_the_run_first(harness: Harness) -> None:
    write_rows(harness, [f"row {number}" for number in range(300)])
    with RedisServer("--maxmemory", "6mb") as broker:
        text = "".join(os.urandom(15_000).hex())
        with endpoint(lambda body: completion(f"{body['messages'][-1]['content']} {text}")) as chat:
            rows = complete(harness, write(harness, chat), *KEPT, broker.url)
        connection = Connection(broker.url)
        assert AnswersOfBroker(connection).total() <= 6_000_000 // 4 * 1.1
        connection.close()
    assert len(rows) == 600


def test_answers_are_not_kept_in_a_broker_that_ends_with_the_run(harness: Harness) -> None:
    write_rows(harness)
    with endpoint(numbered()) as chat:
        code, text = harness.run(write(harness, chat), "--answers", "broker")
    assert code == 2
    assert "--broker URL" in text

"""Workers on several hosts, of which one cannot reach the endpoint: it holds no rows while the others get answers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from common.errors import EXIT_ENDPOINT_AWAY
from tests.support.runs.harness import Command, Harness, harnesses, wait_for
from tests.support.runs.hosts import coordinator, said, worker
from tests.support.servers.chat_server import Endpoint, echoed, endpoint
from tests.support.servers.sentinels import free_port

ROWS = 60
SPEC = """
name: asking
steps:
  load: {{type: LoadDataFromDicts, data: {data}, batch_size: 5}}
  ask:
    type: TextGeneration
    after: load
    input_batch_size: 5
    concurrency: 10
    retries: 0
    max_deliveries: 1
    on_error: fail
    llm: {{type: OpenAILLM, model: m}}
"""
ALL = [f"answer to row {number}" for number in range(ROWS)]


@pytest.fixture
def harness(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Harness]:
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    yield from harnesses(tmp_path, ALONE="0.5")


@pytest.fixture
def spec(harness: Harness) -> Path:
    return harness.write_spec(SPEC.format(data=[{"instruction": f"row {number}"} for number in range(ROWS)]))


@pytest.fixture
def nobody() -> str:
    """The URL of an endpoint that is not there."""
    return f"http://127.0.0.1:{free_port()}/v1"


class Hosts:
    """Workers whose endpoint each host names for itself."""

    def __init__(self, harness: Harness, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self._harness, self._redis, self._environment = harness, redis_url, monkeypatch

    def start(self, url: str, *steps: str, **settings: str) -> Command:
        self._environment.setenv("OPENAI_BASE_URL", url)
        if steps == ("load", "ask"):
            return self._harness.start("pipeline-worker", "--all-steps", "--broker", self._redis, **settings)
        return worker(self._harness, self._redis, *steps, **settings)


@pytest.fixture
def hosts(harness: Harness, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> Hosts:
    return Hosts(harness, redis_url, monkeypatch)


def slow_after_first_answers(at: Endpoint) -> None:
    """Most rows wait for an answer for as long as the test likes."""
    wait_for(lambda: at.chat.requests, what="the first answer")
    at.chat.delay = 4


def asked(at: Endpoint) -> list[str]:
    return sorted(body["messages"][-1]["content"] for _, _, body in at.chat.requests)


def test_a_worker_that_alone_finds_its_endpoint_away_hands_its_rows_back_and_leaves(
    harness: Harness, redis_url: str, hosts: Hosts, spec: Path, nobody: str
) -> None:
    with endpoint(echoed, delay=0.05) as at:
        run = coordinator(harness, spec, redis_url)
        loads, others = hosts.start(nobody, "load"), hosts.start(at.url, "ask")
        slow_after_first_answers(at)
        alone = hosts.start(nobody, "ask")
        assert alone.wait() == EXIT_ENDPOINT_AWAY, alone.text
        at.chat.delay = 0
        assert run.wait() == 0, run.text
        assert [one.wait() for one in (loads, others)] == [0, 0]
        rows = asked(at)
    assert re.search(rf"leaves and hands its batches back: it finds endpoint {nobody} \(.* away, but other", alone.text)
    assert "leaves and hands its batches back" in harness.log
    assert [row["generation"] for row in harness.rows()] == ALL
    assert rows == sorted(f"row {number}" for number in range(ROWS))
    assert not harness.letters()


def test_where_all_workers_find_it_away_none_leaves_and_the_run_halts(
    harness: Harness, redis_url: str, hosts: Hosts, spec: Path, nobody: str
) -> None:
    workers = [hosts.start(nobody, step) for step in ("load", "ask", "ask")]
    code, text = harness.run(spec, "--broker", redis_url, "--workers", "external", PATIENCE="2")
    assert code == 1
    assert f"waited 2 s for endpoint {nobody}" in text
    assert [one.wait() for one in workers] == [0, 0, 0], [one.text for one in workers]


def test_a_supervisor_starts_another_worker_after_a_while(
    harness: Harness, redis_url: str, hosts: Hosts, spec: Path
) -> None:
    with endpoint(echoed, delay=0.05) as at, endpoint(echoed) as other:
        other.stop()
        run = coordinator(harness, spec, redis_url)
        loads, others = hosts.start(at.url, "load"), hosts.start(at.url, "ask")
        slow_after_first_answers(at)
        alone = hosts.start(other.url, "load", "ask", ALONE="0.3")
        said(alone, "leaves and hands its batches back")
        other.start()
        wait_for(lambda: other.chat.requests, what="an answer to the worker that has come back")
        at.chat.delay = 0
        assert run.wait() == 0, run.text
        assert [one.wait() for one in (loads, alone, others)] == [0, 0, 0], alone.text
        rows = asked(at) + asked(other)
    assert alone.text.count("step 'ask' loaded") == 2
    assert sorted(rows) == sorted(f"row {number}" for number in range(ROWS))

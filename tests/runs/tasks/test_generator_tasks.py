"""Runs that begin with a model: its answers are the rows of a generator."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.places import STEPS_FOLDER
from tests.support.runs.harness import Harness, harnesses, wait_for
from tests.support.servers.chat_server import Answer, completion, echoed, endpoint, serving
from tests.support.servers.on_a_thread import on_a_thread

SPEC = """
name: numbers
steps:
  ask:
    type: "sample_tasks:Numbered"
    num_rows: 7
    num_generations: 2
    batch_size: 4
    llm: {type: OpenAILLM, model: m}
"""
SAID = [f"answer to Say {number}." for number in range(7) for _ in range(2)]


@pytest.fixture
def harness(tmp_path: Path) -> Iterator[Harness]:
    (tmp_path / "sample_tasks.py").write_text((STEPS_FOLDER / "sample_tasks.py").read_text())
    yield from harnesses(tmp_path)


def test_no_answer_of_a_generator_task_is_paid_for_twice(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def answer(body: dict[str, Any]) -> Answer:
        asked.append(body["messages"][0]["content"])
        return completion(f"{asked[-1]} {asked.count(asked[-1])}")

    spec = harness.write_spec(SPEC)
    with on_a_thread(serving(answer)) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        code, text = harness.run(spec)
        assert code == 0, text
        assert "14 answers" in text
        first = harness.rows()
        assert [row["number"] for row in first] == [number for number in range(7) for _ in range(2)]
        assert len({row["said"] for row in first}) == 14
        code, text = harness.run(spec, "--fresh")
        assert code == 0, text
    assert len(asked) == 14
    assert sorted(row["said"] for row in harness.rows()) == sorted(row["said"] for row in first)


def test_a_generator_task_waits_for_an_endpoint_that_is_away(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = harness.write_spec(SPEC)
    with endpoint(echoed) as at:
        monkeypatch.setenv("OPENAI_BASE_URL", at.url)
        at.stop()
        code, text = harness.run(spec, PATIENCE="1")
        assert code == 1
        assert f"waited 1 s for endpoint {at.url} (connection refused); once that is fixed, rerun" in text
        run = harness.start_run(spec, PATIENCE="60", GRACE="30")
        wait_for(lambda: "waiting for endpoint" in run.text)
        stopped = time.monotonic()
        run.kill(signal.SIGINT)
        assert run.wait() == 130, run.text
        assert time.monotonic() - stopped < 10
        run = harness.start_run(spec)
        wait_for(lambda: "waiting for endpoint" in run.text)
        at.start()
        assert run.wait() == 0, run.text
    assert [row["said"] for row in harness.rows()] == SAID

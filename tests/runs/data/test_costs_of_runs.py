"""What calls of models took, in real runs: what the dataset holds is counted exactly, whatever happened to the run."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.runs.harness import Harness, harnesses, wait_for
from tests.support.runs.sight import Sight
from tests.support.servers.chat_server import Answer, ChatServer, serving
from tests.support.servers.on_a_thread import on_a_thread

ROWS = 60
SPEC = f"""
name: costly
prices: {{m: {{input: 1, output: 10, cached: 0.5}}}}
steps:
  load: {{type: LoadDataFromDicts, data: {[{"instruction": f"row {n}"} for n in range(ROWS)]}, batch_size: 5}}
  ask:
    type: TextGeneration
    after: load
    input_batch_size: 5
    concurrency: 5
    retries: 1
    llm: {{type: OpenAILLM, model: m}}
"""
NEVER = ("row 7", "row 33")
"""Rows that are answered with no words."""


@pytest.fixture
def harness(tmp_path: Path) -> Iterator[Harness]:
    yield from harnesses(tmp_path)


class Counter:
    """Answers with the tokens that each answer took, a different number each time; some answers are empty."""

    def __init__(self) -> None:
        self.calls: list[tuple[int, int, int]] = []

    def answer(self, body: dict[str, Any]) -> Answer:
        number = len(self.calls) + 1
        took = (100 + number, number % 50, number % 13)
        self.calls.append(took)
        prompt, cached, out = took
        is_bad = number % 9 == 0 or body["messages"][-1]["content"] in NEVER
        text = "" if is_bad else json.dumps(took)
        usage = {
            "prompt_tokens": prompt,
            "completion_tokens": out,
            "prompt_tokens_details": {"cached_tokens": cached},
        }
        choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}
        return 200, {}, {"id": "1", "model": "m-2026", "choices": [choice], "usage": usage}


@contextmanager
def endpoint(delay: float = 0.0) -> Iterator[tuple[Counter, ChatServer]]:
    counter = Counter()
    with on_a_thread(serving(counter.answer, delay)) as server:
        yield counter, server


def bill_of(harness: Harness) -> dict[str, Any]:
    command = harness.start("pipeline-coordinator", "status", "--json", harness.run_directory)
    assert command.wait() == 0, command.text
    bill: dict[str, Any] = json.loads(command.text)["bill"]
    return bill


def numbers(counts: dict[str, Any]) -> tuple[int, int, int, int]:
    return counts["requests"], counts["input_tokens"], counts["cached_tokens"], counts["output_tokens"]


def in_dataset(harness: Harness) -> tuple[int, int, int, int]:
    took = [json.loads(row["generation"]) for row in harness.rows()]
    return len(took), *(sum(each) for each in zip(*took, strict=True))  # type: ignore[return-value]


def total(counter: Counter) -> tuple[int, int, int, int]:
    return len(counter.calls), *(sum(each) for each in zip(*counter.calls, strict=True))  # type: ignore[return-value]


def test_of_an_uninterrupted_run_all_is_counted_and_bad_answers_are_wasted(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = harness.write_spec(SPEC)
    with endpoint() as (counter, server):
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        code, text = harness.run(spec)
    assert code == 3, text
    bill = bill_of(harness)
    kept = numbers(bill["kept"])
    assert kept == in_dataset(harness)
    assert numbers(bill["spent"]) == total(counter)
    assert numbers(bill["wasted"]) == tuple(paid - some for paid, some in zip(total(counter), kept, strict=True))
    assert bill["kept"]["finish_reasons"] == {"stop": kept[0]}
    assert not bill["is_lower_bound"]
    requests, prompt, cached, out = kept
    assert bill["kept"]["dollars"] == pytest.approx(((prompt - cached) + cached * 0.5 + out * 10) / 1e6)
    assert [(line["step"], line["model"]) for line in bill["models"]] == [("ask", "m")]
    assert f"  models      {len(counter.calls)} answers, " in text
    assert "  wasted      " in text
    card = (harness.run_directory / "dataset" / "README.md").read_text()
    assert f"| `ask` | `m` | {requests} | {prompt:,} | {cached:,} | {out:,} |" in card


def test_after_kills_what_is_kept_is_exactly_what_the_dataset_holds(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = harness.write_spec(SPEC)
    with endpoint(delay=0.05) as (counter, server):
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        command = harness.start_run(spec)
        wait_for(lambda: len(counter.calls) >= 15, what="some answers")
        sight = Sight(harness)
        sight.worker("ask").send_signal(signal.SIGKILL)
        killed_at = len(counter.calls)
        wait_for(lambda: len(counter.calls) >= killed_at + 10, what="answers of another worker")
        command.kill()
        command.wait()
        asked = len(counter.calls)
        assert asked < ROWS
        code, text = harness.run(spec)
    assert code == 3, text
    bill = bill_of(harness)
    assert numbers(bill["kept"]) == in_dataset(harness)
    kept, spent, paid = numbers(bill["kept"]), numbers(bill["spent"]), total(counter)
    assert all(some <= more <= all_ for some, more, all_ in zip(kept, spent, paid, strict=True))
    assert spent[0] > kept[0]
    assert bill["is_lower_bound"]
    assert "a worker was killed, and its last calls are not counted" in text


def test_a_run_that_is_stopped_and_resumed_has_one_bill(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = harness.write_spec(SPEC)
    with endpoint(delay=0.05) as (counter, server):
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        command = harness.start_run(spec)
        wait_for(lambda: len(counter.calls) >= 15, what="some answers")
        command.kill(signal.SIGINT)
        assert command.wait() == 130
        assert f"  models      {len(counter.calls)} answers, " in command.text
        code, text = harness.run(spec)
    assert code == 3, text
    bill = bill_of(harness)
    assert numbers(bill["kept"]) == in_dataset(harness)
    assert numbers(bill["spent"]) == total(counter)
    assert not bill["is_lower_bound"]


def test_answers_that_an_earlier_run_has_paid_for_are_saved(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = harness.write_spec(SPEC)
    with endpoint() as (counter, server):
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        code, text = harness.run(spec)
        assert code == 3, text
        before, asked = in_dataset(harness), len(counter.calls)
        code, text = harness.run(spec, "--fresh")
    assert code == 3, text
    bill = bill_of(harness)
    assert in_dataset(harness)[0] == bill["kept"]["requests"] + bill["saved"]["requests"]
    assert bill["saved"]["requests"] >= before[0]
    assert bill["spent"]["requests"] == len(counter.calls) - asked
    assert "paid for before" in text


def test_a_price_that_is_unknown_is_not_shown_as_nothing(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = harness.write_spec(SPEC.replace("prices: {m:", "prices: {other:"))
    with endpoint() as (_, server):
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        code, text = harness.run(spec)
    assert code == 3, text
    assert "; cost unknown; no price for m" in text
    bill = bill_of(harness)
    assert (bill["spent"]["dollars"], bill["spent"]["unpriced"]) == (None, ["m"])
    assert "| unknown |" in (harness.run_directory / "dataset" / "README.md").read_text()

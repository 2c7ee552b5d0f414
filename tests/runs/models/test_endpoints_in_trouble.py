"""Runs whose endpoint is away, busy, wrong or half broken: no row is lost to it, and none is asked in vain."""

from __future__ import annotations

import re
import signal
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from tests.support.runs.harness import Harness, harnesses, wait_for
from tests.support.servers.chat_server import Answer, completion, echoed, endpoint

ROWS = 60
SPEC = """
name: asking
steps:
  load: {{type: LoadDataFromDicts, data: {data}, batch_size: 10}}
  ask:
    type: TextGeneration
    after: load
    input_batch_size: 10
    concurrency: 8
    backoff: [0.01, 0.02]
    {more}
    llm: {{type: OpenAILLM, model: m, base_url: "{url}"}}
"""


@pytest.fixture
def harness(tmp_path: Path) -> Iterator[Harness]:
    yield from harnesses(tmp_path)


def spec_for(harness: Harness, url: str, more: str = "", rows: int = ROWS) -> Path:
    data = [{"instruction": f"row {number}"} for number in range(rows)]
    return harness.write_spec(SPEC.format(data=data, url=url, more=more))


def number_in(body: dict[str, Any]) -> int:
    return int(re.findall(r"row (\d+)", body["messages"][-1]["content"])[0])


def error(status: int, message: str = "no", headers: dict[str, str] | None = None) -> Answer:
    return status, headers or {}, {"error": {"message": message}}


def answers(harness: Harness) -> list[str]:
    return [row["generation"] for row in harness.rows()]


ALL = [f"answer to row {number}" for number in range(ROWS)]


@pytest.mark.parametrize("trouble", ["refused", "500", "503"])
def test_an_endpoint_that_goes_away_and_comes_back_loses_no_row_and_uses_no_attempt(
    harness: Harness, trouble: str
) -> None:
    with endpoint(echoed, delay=0.05) as at:
        run = harness.start_run(spec_for(harness, at.url, "retries: 0\n    batch_timeout: 1\n    on_error: fail"))
        wait_for(lambda: len(at.chat.requests) > 15)
        if trouble == "refused":
            at.stop()
        else:
            at.chat.answer = lambda _: error(int(trouble))
        wait_for(lambda: f"waiting for endpoint {at.url} (" in run.text)
        since = time.monotonic()
        wait_for(lambda: time.monotonic() > since + 1.5)  # longer than batch_timeout
        at.chat.answer = echoed
        if trouble == "refused":
            at.start()
        assert run.wait() == 0, run.text
    assert answers(harness) == ALL


def test_a_run_halts_when_its_endpoint_stays_away_and_is_resumed_by_the_same_command(harness: Harness) -> None:
    with endpoint(echoed) as at:
        spec = spec_for(harness, at.url)
        at.stop()
        code, text = harness.run(spec, PATIENCE="1")
        assert code == 1
        assert f"waited 1 s for endpoint {at.url} (connection refused); once that is fixed, rerun" in text
        assert not harness.letters()
        at.start()
        code, text = harness.run(spec)
        assert code == 0, text
    assert answers(harness) == ALL


def test_a_run_halts_though_a_worker_without_rows_does_not_know_that_the_endpoint_is_away(harness: Harness) -> None:
    with endpoint(echoed) as at:
        spec = spec_for(harness, at.url, "resources: {replicas: 2}", rows=5)
        at.stop()
        code, text = harness.run(spec, PATIENCE="1")
    assert code == 1
    assert f"waited 1 s for endpoint {at.url}" in text


def test_a_stop_does_not_wait_for_an_endpoint_that_is_away(harness: Harness) -> None:
    with endpoint(echoed) as at:
        spec = spec_for(harness, at.url)
        at.stop()
        run = harness.start_run(spec, PATIENCE="60", GRACE="30")
        wait_for(lambda: "waiting for endpoint" in run.text)
        stopped = time.monotonic()
        run.kill(signal.SIGINT)
        assert run.wait() == 130, run.text
        assert time.monotonic() - stopped < 10
        assert not harness.letters()
        at.start()
        assert harness.run(spec)[0] == 0
    assert answers(harness) == ALL


def test_one_prompt_that_always_gives_500_is_one_failed_row_and_holds_up_nothing(harness: Harness) -> None:
    def answer(body: dict[str, Any]) -> Answer:
        return error(500, "boom") if number_in(body) == 17 else echoed(body)

    with endpoint(answer, delay=0.01) as at:
        code, text = harness.run(spec_for(harness, at.url))
        asked = [number_in(body) for _, _, body in at.chat.requests]
    assert code == 3, text
    (letter,) = harness.letters()
    assert "500: boom" in letter.error
    assert answers(harness) == [one for one in ALL if one != "answer to row 17"]
    assert asked.count(17) <= 8


@pytest.mark.parametrize(("max_retries", "calls"), [(0, 1), (2, 3)])
def test_a_client_repeats_a_call_by_itself_where_that_is_wanted(harness: Harness, max_retries: int, calls: int) -> None:
    def answer(body: dict[str, Any]) -> Answer:
        return error(500, "boom") if number_in(body) == 17 else echoed(body)

    with endpoint(answer, delay=0.02) as at:
        arguments = ("--set", f"ask.llm.max_retries={max_retries}")
        code, text = harness.run(spec_for(harness, at.url, "retries: 0"), *arguments)
        asked = [number_in(body) for _, _, body in at.chat.requests]
    assert code == 3, text
    assert calls < asked.count(17) <= calls + 4  # the first faults say nothing


def test_a_rate_limit_fails_no_row(harness: Harness) -> None:
    begun = time.monotonic()
    granted = count()

    def answer(body: dict[str, Any]) -> Answer:
        if next(granted) >= 8 + 30 * (time.monotonic() - begun):
            return error(429, "Rate limit reached", {"retry-after-ms": "100"})
        return echoed(body)

    with endpoint(answer) as at:
        code, text = harness.run(spec_for(harness, at.url, "retries: 0"))
    assert code == 0, text
    assert answers(harness) == ALL


def test_a_worker_says_that_its_endpoint_has_asked_for_a_pause(harness: Harness) -> None:
    with endpoint(lambda _: error(429, "tomorrow", {"retry-after": "60"})) as at:
        run = harness.start_run(spec_for(harness, at.url))
        said = f"waits for endpoint {at.url} (429: tomorrow)"

        def shown() -> bool:
            status = harness.start("pipeline-coordinator", "status", "asking", "--json")
            return status.wait() == 0 and said in status.text

        wait_for(shown, what=said)
        run.kill(signal.SIGINT)
        assert run.wait() == 130, run.text


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (error(401, "Incorrect API key"), "check the key|holds no key"),
        (error(404, "The model `m` does not exist"), "no such model, or base_url is wrong"),
        (error(429, "You exceeded your current quota"), "has no credit or quota left"),
        (error(400, "Unrecognized request argument supplied: foo"), "an option of the call is wrong"),
    ],
)
def test_a_wrong_setup_halts_the_run_at_the_first_row_though_others_of_its_batch_hang(
    harness: Harness, answer: Answer, words: str
) -> None:
    def answered(body: dict[str, Any]) -> Answer:
        return answer

    with endpoint(answered) as at:
        code, text = harness.run(spec_for(harness, at.url, "on_error: skip"))
        asked = len(at.chat.requests)
    assert code == 1
    assert re.search(words, text)
    assert asked < ROWS
    assert not harness.letters()


def test_a_bad_answer_of_three_generations_costs_one_more_call(harness: Harness) -> None:
    asked: list[int] = []

    def answer(body: dict[str, Any]) -> Answer:
        asked.append(number_in(body))
        return completion("") if asked.count(4) == 2 and asked[-1] == 4 else echoed(body)

    with endpoint(answer) as at:
        code, text = harness.run(spec_for(harness, at.url, "num_generations: 3", rows=10))
    assert code == 0, text
    assert len(asked) == 31
    assert len(harness.rows()) == 30


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (completion("   "), "gave no text"),
        (completion("half", "length"), "cut off at the limit of its tokens"),
        (completion("half", "content_filter"), "was filtered"),
        ((200, {}, "<html>"), "not JSON"),
    ],
)
def test_bad_answers_are_asked_again_and_then_failed_rows(harness: Harness, answer: Answer, words: str) -> None:
    with endpoint(lambda body: answer if number_in(body) == 3 else echoed(body)) as at:
        code, text = harness.run(spec_for(harness, at.url, "retries: 2", rows=10))
        asked = [number_in(body) for _, _, body in at.chat.requests]
    assert code == 3, text
    assert asked.count(3) == 3
    (letter,) = harness.letters()
    assert words in letter.error
    assert letter.attempts == 3


def test_an_answer_that_is_cut_short_is_kept_where_that_is_meant(harness: Harness) -> None:
    with endpoint(lambda _: completion("half", "length")) as at:
        code, text = harness.run(spec_for(harness, at.url, "accept: [length]", rows=10))
    assert code == 0, text
    assert answers(harness) == ["half"] * 10


def test_a_prompt_that_is_too_long_fails_once(harness: Harness) -> None:
    def answer(body: dict[str, Any]) -> Answer:
        return error(400, "maximum context length is 5 tokens") if number_in(body) == 3 else echoed(body)

    with endpoint(answer) as at:
        code, text = harness.run(spec_for(harness, at.url, rows=10))
        asked = [number_in(body) for _, _, body in at.chat.requests]
    assert code == 3, text
    assert asked.count(3) == 1

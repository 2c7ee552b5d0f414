"""Answers of LLMs that know no store are kept if their class allows it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, ClassVar

import pytest
from pydantic import SecretStr

from common.llms import LLM, Generation
from common.llms.answers.answers_file import answers_file
from common.llms.answers.row_answers import RowAnswers, use_answers
from common.llms.answers.store import AnswerStore
from common.llms.metering import Tally, use_tally
from common.steps.retry import OutOfRetries, RetryPolicy
from tests.support.asking import ask

CALLS: list[str] = []
MESSAGES: Any = [{"role": "user", "content": "hi"}]


class Mine(LLM):
    """Numbers its answers."""

    keeps_answers: ClassVar[bool] = True

    style: str = "plain"
    key: SecretStr | None = None
    client: Any = None
    wrong: int = 0

    @property
    def model_name(self) -> str:
        return "mine-1"

    async def agenerate(self, messages: Any, *, temperature: float = 0.0) -> Generation:
        CALLS.append(self.style)
        text = "" if len(CALLS) <= self.wrong else f"answer {len(CALLS)}"
        return Generation(text, "stop", input_tokens=3, output_tokens=5, logprobs=self.client, tool_calls=None)


class Forgetful(Mine):
    """May answer otherwise the next time."""

    keeps_answers = False


@pytest.fixture(autouse=True)
def _no_calls() -> None:
    CALLS.clear()


def answers(folder: Path, llm: LLM, run: str = "run", rows: int = 2, **options: Any) -> tuple[list[Any], Tally]:
    """An answer for each of some rows, and what they took."""

    async def all_rows() -> tuple[list[Any], Tally]:
        store = AnswerStore(answers_file(folder), run, "begun", 1 << 30)
        use_tally(tally := Tally())
        try:
            found = []
            for place in range(rows):
                use_answers(RowAnswers(store, (run, "begun", "ask", 0, place), 0))
                found.append(await ask(llm, MESSAGES, RetryPolicy(1, (0, 0)), **options))
            return found, tally
        finally:
            store.close()

    return asyncio.run(all_rows())


def test_an_answer_is_asked_for_once_and_counted_as_what_it_is(tmp_path: Path) -> None:
    first, tally = answers(tmp_path, Mine())
    assert len(CALLS) == 2
    assert tally.usage.total.requests == 2
    again, tally = answers(tmp_path, Mine(), run="other")
    assert len(CALLS) == 2
    assert [one.text for one in again] == [one.text for one in first] == ["answer 1", "answer 2"]
    assert [one.cached for one in again] == ["elsewhere"] * 2
    assert (tally.usage.total.requests, tally.saved.total.requests, tally.saved.total.output_tokens) == (0, 2, 10)


@pytest.mark.parametrize("llm", [Mine(style="other"), Mine(generation_kwargs={"temperature": 1.0})])
def test_another_call_is_another_question(tmp_path: Path, llm: Mine) -> None:
    answers(tmp_path, Mine())
    answers(tmp_path, llm, run="other", **llm.generation_kwargs)
    assert len(CALLS) == 4


def test_a_secret_is_no_part_of_the_question(tmp_path: Path) -> None:
    answers(tmp_path, Mine(key=SecretStr("a")))
    answers(tmp_path, Mine(key=SecretStr("b")), run="other")
    assert len(CALLS) == 2


@pytest.mark.parametrize("llm", [Forgetful(), Mine(client=object())])
def test_what_may_not_or_cannot_be_known_again_is_asked_each_time(tmp_path: Path, llm: LLM) -> None:
    answers(tmp_path, llm)
    answers(tmp_path, llm, run="other")
    assert len(CALLS) == 4


def test_a_bad_answer_is_not_given_to_another_run(tmp_path: Path) -> None:
    with pytest.raises(OutOfRetries):
        answers(tmp_path, Mine(wrong=2), rows=1)
    found, _ = answers(tmp_path, Mine(wrong=2), run="other", rows=1)
    assert found[0].text == "answer 3"
    again, _ = answers(tmp_path, Mine(wrong=2), run="third", rows=1)
    assert (again[0].text, len(CALLS)) == ("answer 3", 3)

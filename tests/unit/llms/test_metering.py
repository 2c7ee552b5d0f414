"""An answer is spent once it came, and kept once the row keeps it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from common.llms.base import LLM, ChatMessage, Generation
from common.llms.metering import Meter, Tally, note_answer, use_tally
from common.protocol.usage import Usage
from common.steps.retry import OutOfRetries, RetryPolicy
from tests.support.asking import ask

ANSWER = Generation("yes", "stop", input_tokens=10, output_tokens=2)
EMPTY = Generation("", "stop", input_tokens=10, output_tokens=0)


class Scripted(LLM):
    """Gives the answers of a script."""

    script: list[Generation]

    @property
    def model_name(self) -> str:
        return "scripted"

    async def agenerate(self, messages: list[ChatMessage], **kwargs: Any) -> Generation:
        return self.script.pop(0)


class Counting(Scripted):
    """Notes its answers itself, as the clients of endpoints do."""

    async def agenerate(self, messages: list[ChatMessage], **kwargs: Any) -> Generation:
        answer = await super().agenerate(messages, **kwargs)
        note_answer("counting", answer)
        return answer


def asked(llm: LLM, times: int = 1, retries: int = 2) -> tuple[Tally, Usage]:
    """Asks for answers at the same time: what the row has, and what was spent."""
    meter = Meter()
    tally = Tally(meter)

    async def row() -> None:
        use_tally(tally)
        policy = RetryPolicy(retries, (0.0, 0.0))
        await asyncio.gather(*(ask(llm, [], policy) for _ in range(times)))

    try:
        asyncio.run(row())
    except OutOfRetries:
        tally = Tally()  # the row has failed
    return tally, meter.spent


@pytest.fixture(params=[Scripted, Counting])
def client(request: pytest.FixtureRequest) -> Any:
    return request.param


def requests(usage: Usage) -> int:
    return usage.total.requests


def test_an_answer_is_counted_once_whether_its_client_counts_or_not(client: Any) -> None:
    tally, spent = asked(client(script=[ANSWER]))
    assert tally.usage == spent
    assert (requests(spent), spent.total.input_tokens, spent.total.output_tokens) == (1, 10, 2)


def test_a_bad_answer_is_spent_and_not_kept(client: Any) -> None:
    tally, spent = asked(client(script=[EMPTY, EMPTY, ANSWER]))
    assert (requests(tally.usage), requests(spent)) == (1, 3)
    assert spent.total.input_tokens == 30


def test_each_of_several_generations_is_counted_for_itself(client: Any) -> None:
    tally, spent = asked(client(script=[ANSWER, EMPTY, ANSWER, ANSWER]), times=3)
    assert (requests(tally.usage), requests(spent)) == (3, 4)


def test_nothing_is_kept_of_a_row_that_failed(client: Any) -> None:
    tally, spent = asked(client(script=[EMPTY] * 3))
    assert (requests(tally.usage), requests(spent)) == (0, 3)


def test_an_answer_that_this_run_has_paid_for_before_is_kept_and_not_spent_again() -> None:
    meter = Meter()
    tally = Tally(meter)
    tally.note(Usage.of_call("m"), "earlier")
    assert (requests(tally.usage), requests(tally.saved), requests(meter.spent)) == (1, 0, 0)


def test_an_answer_that_another_run_has_paid_for_is_saved() -> None:
    meter = Meter()
    tally = Tally(meter)
    tally.note(Usage.of_call("m"), "elsewhere")
    assert (requests(tally.usage), requests(tally.saved), requests(meter.spent)) == (0, 1, 0)


def test_an_answer_outside_a_pipeline_is_counted_nowhere() -> None:
    note_answer("m", ANSWER)
    use_tally(Tally())
    note_answer("m", ANSWER)

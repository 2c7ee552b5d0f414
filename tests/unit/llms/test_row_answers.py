"""The places of a row's answers: each sample and each question has its own, and finds it again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import RowError
from common.llms import Generation, OpenAILLM
from common.llms.answers.answers_file import answers_file
from common.llms.answers.request_key import KEY_BYTES
from common.llms.answers.row_answers import BatchAnswers, RowAnswers, use_answers
from common.llms.answers.store import AnswerStore
from common.llms.calls.calling import NotAnAnswer
from common.llms.embeddings.kept_vectors import shares
from common.steps.retry import OutOfRetries, RetryPolicy
from tests.support.asking import ask
from tests.support.servers.chat_server import Answer, ChatServer, completion, serving

MESSAGES: Any = [{"role": "user", "content": "hi"}]
Row = Callable[[OpenAILLM], Awaitable[Any]]


@contextmanager
def opened(folder: Path, run: str = "run") -> Iterator[AnswerStore]:
    store = AnswerStore(answers_file(folder), run, "begun", 1 << 30)
    try:
        yield store
    finally:
        store.close()


def numbered(bad: tuple[int, ...] = (), broken: tuple[int, ...] = ()) -> Callable[[dict[str, Any]], Answer]:
    """Numbers its answers; some are empty, some no answers at all."""
    numbers = iter(range(10_000))

    def answer(body: dict[str, Any]) -> Answer:
        number = next(numbers)
        if number in broken:
            return 200, {}, {"hello": "world"}
        return completion("" if number in bad else str(number))

    return answer


def run_rows(
    folder: Path, answer: Callable[[dict[str, Any]], Answer], *rows: Row, run: str = "run"
) -> tuple[list[Any], ChatServer]:
    """Runs rows of one batch, in their order, against an endpoint of its own."""

    async def work() -> tuple[list[Any], ChatServer]:
        with opened(folder, run) as store:
            async with serving(answer) as chat:
                llm = OpenAILLM(model="m", base_url=chat.url)
                await llm.aload()
                made = []
                for place, row in enumerate(rows):
                    use_answers(RowAnswers(store, (run, "begun", "ask", 0, place), 0))
                    made.append(await row(llm))
                await llm.aunload()
                return made, chat

    return asyncio.run(work())


async def once(llm: OpenAILLM) -> str | None:
    return (await llm.agenerate(MESSAGES)).text


async def three_samples(llm: OpenAILLM) -> list[str | None]:
    found = await asyncio.gather(*(ask(llm, MESSAGES, RetryPolicy(2, (0, 0))) for _ in range(3)))
    return [answer.text for answer in found]


def test_rows_with_equal_prompts_and_samples_have_an_answer_each_and_find_it_again(tmp_path: Path) -> None:
    made, chat = run_rows(tmp_path, numbered(), once, once, three_samples)
    assert len(chat.requests) == 5
    assert {*made[:2], *made[2]} == {"0", "1", "2", "3", "4"}
    again, chat = run_rows(tmp_path, numbered(), once, once, three_samples)
    assert (again, len(chat.requests)) == (made, 0)


def test_samples_that_were_asked_again_find_the_good_answer_behind_the_bad_one(tmp_path: Path) -> None:
    made, chat = run_rows(tmp_path, numbered(bad=(0, 2)), three_samples)
    assert len(chat.requests) == 5
    again, chat = run_rows(tmp_path, numbered(), three_samples)
    assert (again, len(chat.requests)) == (made, 0)
    elsewhere, chat = run_rows(tmp_path, numbered(), three_samples, run="other")
    assert (sorted(elsewhere[0]), len(chat.requests)) == (sorted(made[0]), 0)


def test_a_call_that_failed_takes_no_place(tmp_path: Path) -> None:
    """So an answer that came after a failure is found when there is no failure."""
    is_away = iter([True])

    def failing(body: dict[str, Any]) -> Answer:
        return (400, {}, {"error": {"message": "too long"}}) if next(is_away, False) else completion("good")

    async def twice(llm: OpenAILLM) -> str | None:
        with pytest.raises(RowError):
            await llm.agenerate(MESSAGES)
        return await once(llm)

    made, chat = run_rows(tmp_path, failing, twice)
    assert len(chat.requests) == 2
    assert run_rows(tmp_path, numbered(), once)[0] == made == ["good"]


def test_a_task_that_ended_without_an_answer_leaves_its_place_to_the_next_attempt(tmp_path: Path) -> None:
    async def cancelled_first(llm: OpenAILLM) -> str | None:
        task = asyncio.ensure_future(once(llm))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        return await asyncio.ensure_future(once(llm))

    [made], _ = run_rows(tmp_path, numbered(), cancelled_first)
    [again], chat = run_rows(tmp_path, numbered(), once)
    assert (again, len(chat.requests)) == (made, 0)


def test_what_is_no_answer_of_the_api_is_not_given_to_another_run(tmp_path: Path) -> None:
    async def in_vain(llm: OpenAILLM) -> None:
        with pytest.raises(NotAnAnswer):
            await llm.agenerate(MESSAGES)

    run_rows(tmp_path, numbered(broken=(0,)), in_vain)
    made, chat = run_rows(tmp_path, numbered(), once, run="other")
    assert (made, len(chat.requests)) == (["0"], 1)


def test_a_row_that_failed_for_bad_answers_is_asked_anew_by_another_run(tmp_path: Path) -> None:
    async def in_vain(llm: OpenAILLM) -> None:
        with pytest.raises(OutOfRetries):
            await ask(llm, MESSAGES, RetryPolicy(1, (0, 0)))

    _, chat = run_rows(tmp_path, numbered(bad=(0, 1)), in_vain)
    assert len(chat.requests) == 2
    _, chat = run_rows(tmp_path, numbered(), in_vain)
    assert len(chat.requests) == 0, "the same place has the same answers"
    made, chat = run_rows(tmp_path, numbered(), once, run="other")
    assert (made, len(chat.requests)) == (["0"], 1)


def test_a_generation_says_who_had_paid_for_it(tmp_path: Path) -> None:
    async def whole(llm: OpenAILLM) -> Generation:
        return await llm.agenerate(MESSAGES)

    said = [run_rows(tmp_path, numbered(), whole, run=run)[0][0].cached for run in ("one", "one", "two", "two")]
    assert said == [None, "earlier", "elsewhere", "elsewhere"]


def test_outside_a_pipeline_nothing_is_kept() -> None:
    async def work() -> int:
        async with serving(numbered()) as chat:
            llm = OpenAILLM(model="m", base_url=chat.url)
            await llm.aload()
            await once(llm)
            await once(llm)
            await llm.aunload()
            return len(chat.requests)

    assert asyncio.run(work()) == 2


def test_the_places_of_a_failed_call_of_a_batch_go_to_the_calls_of_its_parts(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        answers = BatchAnswers(store, ("run", "begun", "ask", 0, -1), 0)
        key = b"k" * KEY_BYTES
        answers.begin_call()
        whole = [answers.take_place(key)[0] for _ in range(4)]
        assert len({place.claimant for place in whole}) == 4
        answers.give_back()
        parts = []
        for _ in range(2):
            answers.begin_call()
            parts += [answers.take_place(key)[0] for _ in range(2)]
        assert parts == whole
        answers.begin_call()
        assert answers.take_place(key)[0] not in whole


@given(st.lists(st.text(), max_size=20), st.one_of(st.none(), st.integers(0, 10_000)))
def test_the_shares_of_tokens_add_up(texts: list[str], tokens: int | None) -> None:
    found = shares(tokens, texts)
    if tokens is None or not texts:
        assert found == [None] * len(texts)
    else:
        assert sum(one for one in found if one is not None) == tokens
        assert all(one is not None and one >= 0 for one in found)

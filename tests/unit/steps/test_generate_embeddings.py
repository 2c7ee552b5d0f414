"""GenerateEmbeddings: the vector of each text or conversation, against a real HTTP server on loopback."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from common.building.components import models_in, retry_policy
from common.llms.answers.answers_file import answers_file
from common.llms.answers.row_answers import RowAnswers, use_answers
from common.llms.answers.store import AnswerStore
from common.llms.calls.calling import CallFailed, NotAnAnswer, RequestRefused
from common.llms.embeddings import EchoEmbeddings, OpenAIEmbeddings
from common.llms.metering import Tally, use_tally
from common.protocol.usage import Counts
from common.steps import EmbeddingGeneration, GenerateEmbeddings
from common.steps.base import BaseStep, Row
from common.steps.retry import Again, GivenUp, Retry
from common.steps.tasks.asker import PromptError
from tests.support.servers.chat_server import Answer, ChatServer, serving

CHAT = [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Hi there"}]
AS_IN_DISTILABEL = {"add_generation_prompt": True, "use_activation": False}


def vector(body: dict[str, Any]) -> Answer:
    """As vLLM's server has it: the number of messages, and their characters."""
    count = sum(len(message["content"]) for message in body["messages"])
    data = [{"object": "embedding", "index": 0, "embedding": [len(body["messages"]), float(count)]}]
    usage = {"prompt_tokens": count, "total_tokens": count, "completion_tokens": 0}
    return 200, {}, {"id": "embd-1", "object": "list", "model": "m", "data": data, "usage": usage}


def embedded(
    rows: Sequence[Row], answer: Any = vector, store: AnswerStore | None = None, **options: Any
) -> tuple[list[Row], ChatServer, Tally]:
    """What the rows become, one after the other, what the server was asked, and what that took."""

    async def whole() -> tuple[list[Row], ChatServer, Tally]:
        use_tally(tally := Tally())
        async with serving(answer) as chat:
            llm = {"type": "OpenAIEmbeddings", "model": "m", "base_url": chat.url, **options}
            step = GenerateEmbeddings(llm=llm)
            step.load()
            await step.aload()
            try:
                made = []
                for number, row in enumerate(rows):
                    if store is not None:
                        use_answers(RowAnswers(store, ("run", "begun", "embed", 0, number), 0))
                    made.append(await step.process_row(row))
                return made, chat, tally
            finally:
                await step.aunload()
                step.unload()

    return asyncio.run(whole())


def test_a_text_is_a_message_of_the_user_and_a_conversation_is_sent_whole() -> None:
    rows = [{"id": 1, "text": "Hello"}, {"id": 2, "text": CHAT}]
    made, chat, tally = embedded(rows, extra_body=AS_IN_DISTILABEL, dimensions=2)
    assert made == [
        {**rows[0], "embedding": [1.0, 5.0], "model_name": "m"},
        {**rows[1], "embedding": [2.0, 13.0], "model_name": "m"},
    ]
    assert [path for path, _, _ in chat.requests] == ["/v1/embeddings"] * 2
    more = {"model": "m", "encoding_format": "float", "dimensions": 2, **AS_IN_DISTILABEL}
    assert [body for _, _, body in chat.requests] == [
        {**more, "messages": CHAT[:1]},
        {**more, "messages": CHAT},
    ]
    assert tally.usage.of("m") == Counts(requests=2, input_tokens=18)


def test_messages_lose_what_parquet_adds_and_may_have_images() -> None:
    image = {"type": "image", "image": b"\x89PNG\r\n\x1a\n"}
    row = {"text": [{"role": "user", "content": [{"type": "text", "text": "What?"}, image], "name": None}]}
    _, chat, _ = embedded([row])
    (message,) = chat.requests[0][2]["messages"]
    assert message.keys() == {"role", "content"}
    assert message["content"][1]["image_url"]["url"].startswith("data:image/png;base64,")


def test_no_vector_of_a_conversation_is_paid_for_twice(tmp_path: Path) -> None:
    rows = [{"text": "Hello"}, {"text": CHAT}, {"text": CHAT[:1]}, {"text": "Hello"}]
    store = AnswerStore(answers_file(tmp_path), "run", "begun", 1 << 30)
    first, chat, tally = embedded(rows, store=store)
    assert len(chat.requests) == 2
    assert (tally.usage.of("m").input_tokens, tally.saved.of("m").input_tokens) == (18, 10)
    again, chat, tally = embedded(rows, store=store)
    assert (again, chat.requests) == (first, [])
    assert tally.usage.of("m").input_tokens == 18
    store.close()


@pytest.mark.parametrize(
    ("answer", "kind", "message"),
    [
        ((400, {}, {"error": {"message": "Missing: 'input'"}}), RequestRefused, "sent as messages, which vLLM's"),
        ((400, {}, {"error": {"message": "too many tokens"}}), RequestRefused, "too many tokens$"),
        ((200, {}, {"data": []}), NotAnAnswer, r"it has the vectors \[\] of 1 texts"),
        ((500, {}, {"error": {"message": "broken"}}), CallFailed, "broken"),
    ],
)
def test_an_error_of_the_server_has_the_class_that_it_has_elsewhere(
    answer: Answer, kind: type[Exception], message: str
) -> None:
    answers = iter([vector] * 3)
    rows = [{"text": "good"}] * 3 + [{"text": "bad"}]
    with pytest.raises(kind, match=message):
        embedded(rows, lambda body: next(answers, lambda _: answer)(body))


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({}, "the row has no column 'text'"),
        ({"text": None}, "column 'text' holds None where a text or a conversation is expected"),
        ({"text": []}, "column 'text' holds an empty list"),
        ({"text": [{"role": "user"}]}, r"text\[0\] must be a message, .*, not a mapping without 'content'$"),
        ({"text": [{"role": "user", "content": [{"type": "image", "image": "a.png"}]}]}, "part 0 of message 0"),
    ],
)
def test_a_row_without_text_is_never_sent(row: Row, message: str) -> None:
    with pytest.raises(PromptError, match=message):
        embedded([row])


@pytest.mark.parametrize(
    "step",
    [GenerateEmbeddings(llm={"type": "EchoEmbeddings"}), EmbeddingGeneration(embeddings=OpenAIEmbeddings(model="m"))],
    ids=lambda step: type(step).__name__,
)
def test_a_call_that_failed_is_tried_again_and_a_wrong_row_is_not(step: BaseStep) -> None:
    def verdict(error: Exception) -> object:
        return Retry(retry_policy(step)).after(error)

    assert isinstance(verdict(CallFailed("broken")), Again)
    assert isinstance(verdict(NotAnAnswer("broken")), Again)
    assert isinstance(verdict(PromptError("no text")), GivenUp)


def test_the_stand_in_embeds_the_words_of_a_conversation() -> None:
    step = GenerateEmbeddings(llm=EchoEmbeddings())
    text, chat = asyncio.run(step.process_row({"text": "Hello"})), asyncio.run(step.process_row({"text": CHAT}))
    assert text["embedding"] == EchoEmbeddings().encode(["Hello"])[0] != chat["embedding"]
    assert chat["embedding"] == EchoEmbeddings().encode(["Hello\nHi there"])[0]
    assert [model.model_name for _, model in models_in(step)] == ["echo"]


def test_a_client_of_texts_alone_is_refused_before_the_run() -> None:
    llm = {"type": "InferenceEndpointsEmbeddings", "model_id": "org/m"}
    with pytest.raises(ValidationError, match="InferenceEndpointsEmbeddings encodes texts alone; use OpenAIEmbeddings"):
        GenerateEmbeddings(llm=llm)

"""Clients of embedding models, against a real HTTP server on loopback."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, TypeAdapter, ValidationError

from common.building.signed_parameters import signed_parameters
from common.errors import UnknownType, UsageError
from common.llms.calls.calling import CallFailed, NotAnAnswer, RequestRefused, WrongSetup
from common.llms.metering import Tally, use_tally
from common.naming.plain_data import dump_value
from common.protocol.usage import Counts, Usage
from penstock.embeddings import EchoEmbeddings, Embeddings, InferenceEndpointsEmbeddings, OpenAIEmbeddings
from tests.support.servers.chat_server import Answer, ChatServer, serving

KEY = "sk-secret-1234567890"
TEXTS = ["a", "bb", "ccc", "dddd", "eeeee"]


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "HF_TOKEN"):
        monkeypatch.delenv(name, raising=False)


def vectors(body: dict[str, Any]) -> Answer:
    """Each text's length, in an order that is not that of the texts."""
    data = [{"object": "embedding", "index": n, "embedding": [len(text), 0.5]} for n, text in enumerate(body["input"])]
    usage = {"prompt_tokens": sum(map(len, body["input"])), "total_tokens": 99}
    return 200, {}, {"object": "list", "data": data[::-1], "model": "m", "usage": usage}


def encoded(
    answer: Callable[[dict[str, Any]], Answer],
    inputs: Sequence[str] = TEXTS,
    cls: type[Any] = OpenAIEmbeddings,
    **options: Any,
) -> tuple[Any, ChatServer, Usage]:
    """The vectors, what the endpoint was asked, and what that took."""

    async def one() -> tuple[Any, ChatServer, Usage]:
        use_tally(tally := Tally())
        async with serving(answer) as chat:
            client = cls(**({"model": "m", "base_url": chat.url} | options))
            client.load()
            await client.aload()
            try:
                return await client.aencode(inputs), chat, tally.usage
            finally:
                await client.aunload()

    return asyncio.run(one())


# OpenAI's API


def test_texts_go_out_in_batches_and_come_back_in_their_order_and_are_counted() -> None:
    found, chat, usage = encoded(vectors, batch_size=2, dimensions=2, api_key=KEY, extra_body={"user": "u"})
    assert found == [[float(len(text)), 0.5] for text in TEXTS]
    assert [path for path, _, _ in chat.requests] == ["/v1/embeddings"] * 3
    assert chat.requests[0][1]["authorization"] == f"Bearer {KEY}"
    more = {"model": "m", "encoding_format": "float", "dimensions": 2, "user": "u"}
    assert [body for _, _, body in chat.requests] == [
        {**more, "input": TEXTS[:2]},
        {**more, "input": TEXTS[2:4]},
        {**more, "input": TEXTS[4:]},
    ]
    assert usage.of("m") == Counts(requests=3, input_tokens=15)


def test_no_texts_are_no_call() -> None:
    found, chat, _ = encoded(vectors, [])
    assert (found, chat.requests) == ([], [])


def test_a_program_without_an_event_loop_calls_encode() -> None:
    ready: list[Any] = []

    async def serve() -> None:
        async with serving(vectors) as chat:
            client = OpenAIEmbeddings(model="m", base_url=chat.url)
            ready.append(await asyncio.to_thread(client.encode, TEXTS[:2]))

    asyncio.run(serve())
    assert ready == [[[1.0, 0.5], [2.0, 0.5]]]


@pytest.mark.parametrize(
    ("answer", "kind", "message"),
    [
        ((401, {}, {"error": {"message": "no"}}), WrongSetup, "set the environment variable OPENAI_API_KEY"),
        ((404, {}, {"error": {"message": "no m"}}), WrongSetup, "no such model"),
        ((400, {}, {"error": {"message": "maximum context length"}}), RequestRefused, "maximum context length"),
        ((200, {}, {"data": []}), NotAnAnswer, r"it has the vectors \[\] of 1 texts"),
        ((200, {}, {"data": [{"index": 0, "embedding": "AAAA"}]}), NotAnAnswer, "is not a list of numbers"),
        ((200, {}, {"choices": []}), NotAnAnswer, "it has no list of data"),
    ],
)
def test_an_error_has_the_class_that_it_has_for_a_language_model(
    answer: Answer, kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind, match=message):
        encoded(lambda _: answer, ["a"])


def test_a_busy_endpoint_is_waited_for() -> None:
    answers = iter([lambda _: (429, {"retry-after-ms": "20"}, {"error": {"message": "busy"}}), vectors])
    found, chat, _ = encoded(lambda body: next(answers)(body), ["a"])
    assert found == [[1.0, 0.5]]
    assert len(chat.requests) == 2


def test_a_server_error_is_the_fault_of_the_call_in_the_end() -> None:
    answers = iter([*[vectors] * 3, *[lambda _: (500, {}, {"error": {"message": "broken"}})] * 50])
    with pytest.raises(CallFailed, match="broken"):
        encoded(lambda body: next(answers)(body), batch_size=1)


def test_openai_itself_needs_a_key() -> None:
    with pytest.raises(UsageError, match="needs a key: set the environment variable OPENAI_API_KEY"):
        OpenAIEmbeddings(model="m").load()


# Hugging Face


def features(body: dict[str, Any]) -> Answer:
    return 200, {}, [[len(text), 0.25] for text in body["inputs"]]


def test_a_server_of_hugging_face_takes_inputs_and_returns_vectors() -> None:
    found, chat, usage = encoded(
        features, cls=InferenceEndpointsEmbeddings, model="", model_id="org/m", batch_size=4, normalize=True
    )
    assert found == [[float(len(text)), 0.25] for text in TEXTS]
    assert [path for path, _, _ in chat.requests] == ["/v1", "/v1"]
    assert chat.requests[1][2] == {"inputs": TEXTS[4:], "normalize": True}
    assert usage.of("org/m") == Counts(requests=2, unreported=2)


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        ([[[0.1]]], "it has a vector for each token"),
        ([], "it has 0 vectors of 1 texts"),
        ({"a": 1}, "it is not a list of vectors"),
        ([[]], "is not a list of numbers"),
    ],
)
def test_another_shape_is_no_answer(reply: Any, message: str) -> None:
    with pytest.raises(NotAnAnswer, match=message):
        encoded(lambda _: (200, {}, reply), ["a"], InferenceEndpointsEmbeddings)


def test_a_model_of_the_hub_is_asked_through_the_router_with_a_token(monkeypatch: pytest.MonkeyPatch) -> None:
    client = InferenceEndpointsEmbeddings(model_id="org/m")
    assert client.served_at.endswith("router.huggingface.co/hf-inference/models/org/m/pipeline/feature-extraction")
    with pytest.raises(UsageError, match="HF_TOKEN"):
        client.load()
    monkeypatch.setenv("HF_TOKEN", "hf_x")
    client.load()
    with pytest.raises(ValidationError, match="name a model: set model_id, or base_url"):
        InferenceEndpointsEmbeddings()


# the stand-in


@given(st.lists(st.text(), max_size=4), st.integers(1, 40))
def test_the_stand_in_has_vectors_of_length_1_that_depend_on_the_text_alone(texts: list[str], size: int) -> None:
    client = EchoEmbeddings(dimensions=size)
    found = client.encode(texts)
    assert found == [client.encode([text])[0] for text in texts]
    assert all(len(vector) == size and math.isclose(sum(each * each for each in vector), 1) for vector in found)


def test_texts_that_share_words_are_nearer_than_others() -> None:
    one, near, far = EchoEmbeddings().encode(["the cat sat here", "the cat sat there", "no dogs are allowed"])

    def product(other: list[float]) -> float:
        return sum(a * b for a, b in zip(one, other, strict=True))

    assert product(near) > product(far)


# in a spec


class Holder(BaseModel):
    embeddings: Embeddings


class Own(Embeddings):
    """As written for distilabel."""

    @property
    def model_name(self) -> str:
        return "own"

    def encode(self, inputs: Sequence[str]) -> list[list[float]]:
        return [[1.0] for _ in inputs]


def test_a_field_takes_a_client_or_a_mapping_with_its_type() -> None:
    written = {"type": "OpenAIEmbeddings", "model": "m", "dimensions": 3}
    holder = Holder.model_validate({"embeddings": written})
    assert isinstance(holder.embeddings, OpenAIEmbeddings)
    assert dump_value(holder.embeddings) == written
    assert holder.model_dump()["embeddings"] == written
    named = {"type": f"{__name__}:Own"}
    allowed = TypeAdapter(Embeddings).validate_python(named, context={"allow": (__name__,)})
    assert asyncio.run(allowed.aencode(["a", "b"])) == [[1.0], [1.0]]
    with pytest.raises((ValidationError, UnknownType), match="is not allowed here"):
        Holder.model_validate({"embeddings": named})
    with pytest.raises(ValidationError, match=r"embeddings need a type"):
        Holder.model_validate({"embeddings": {"model": "m"}})


def test_where_they_are_and_how_many_texts_go_at_once_is_no_part_of_the_signature() -> None:
    client = OpenAIEmbeddings(model="m", dimensions=3, batch_size=7, base_url="http://h/v1", timeout=5)
    assert signed_parameters(dump_value(client), client).keys() - {"type"} == {"model", "dimensions"}

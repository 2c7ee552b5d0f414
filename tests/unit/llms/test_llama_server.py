"""Our clients against llama.cpp's own server, which nobody of ours has written, with a tiny model of random weights."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from common.errors import UsageError
from common.llms import AnthropicLLM, Generation, OpenAILLM
from common.llms.calls.calling import RequestRefused, WrongSetup
from common.llms.embeddings import OpenAIEmbeddings
from common.llms.endpoint_llm import EndpointLLM
from common.llms.structured.structured_output import StructuredOutput
from tests.support.asking import HI, answer_of
from tests.support.servers.llama_server import KEY, llama_server, why_no_llama_server
from tests.support.servers.tiny_model import CONTEXT, WIDTH, write_tiny_model

pytestmark = pytest.mark.skipif(bool(why_no_llama_server()), reason=why_no_llama_server())

LONG: list[Any] = [{"role": "user", "content": "x" * 2 * CONTEXT}]
APIS = ("chat", "completions", "responses")
POINT = {
    "type": "object",
    "properties": {"x": {"type": "integer", "maximum": 99}, "of": {"enum": ["a", "b"]}},
    "required": ["x", "of"],
    "additionalProperties": False,
}
HUGE = {"type": "array", "minItems": 9_999, "items": {"type": "string", "minLength": 9_999}}
ENDLESS = {"extra_body": {"ignore_eos": True}}
PIXEL = "data:image/png;base64,iVBORw0KGgo="


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("llama") / "tiny.gguf"
    write_tiny_model(path)
    return path


@pytest.fixture(scope="module")
def url(model: Path) -> Iterator[str]:
    with llama_server(model) as url:
        yield url


@pytest.fixture(scope="module")
def guarded(model: Path) -> Iterator[str]:
    """Serves vectors to who has the key."""
    with llama_server(model, "embeddings", "key") as url:
        yield url


def ask(
    url: str,
    messages: list[Any] = HI,
    cls: type[EndpointLLM] = OpenAILLM,
    options: Mapping[str, Any] | None = None,
    **more: Any,
) -> Generation:
    usual = {"model": "tiny", "base_url": f"{url}/v1", "max_retries": 2}
    usual |= {"provider": "llamacpp"} if cls is OpenAILLM else {}
    llm = cls(**(usual | more), generation_kwargs={"max_tokens": 12, **(options or {})})
    return asyncio.run(answer_of(llm, messages, patience=20.0))


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("api", APIS)
def test_an_answer_is_read_whole_and_streamed_by_each_api(url: str, api: str, stream: bool) -> None:
    answer = ask(url, api=api, stream=stream, options=ENDLESS)
    assert len(answer.text or "") == 12
    assert answer.finish_reason == ("stop" if api == "responses" else "length"), "there the server does not say"
    assert answer.input_tokens == (2 if api == "completions" else 5)
    assert Path(answer.model or "").name == "tiny.gguf"
    assert answer.output_tokens == 12, "a token for each letter"
    assert answer.cached_tokens is not None


@pytest.mark.parametrize("stream", [False, True])
def test_a_seed_gives_the_same_answer_again_and_another_seed_another_one(url: str, stream: bool) -> None:
    texts = [ask(url, options={"seed": seed, "max_tokens": 30, **ENDLESS}, stream=stream).text for seed in (3, 3, 4)]
    assert texts[0] == texts[1] != texts[2]


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_says_why_it_ended(url: str, stream: bool) -> None:
    written = {"extra_body": {"grammar": 'root ::= "abcdef"'}}
    ended = ask(url, options=written, stream=stream)
    assert (ended.text, ended.finish_reason) == ("abcdef", "stop")
    cut = ask(url, options={**written, "max_tokens": 4}, stream=stream)
    assert (cut.text, cut.finish_reason) == ("abcd", "length")
    stopped = ask(url, options={**written, "stop": ["d"]}, stream=stream)
    assert (stopped.text, stopped.finish_reason) == ("abc", "stop")


@pytest.mark.parametrize("stream", [False, True])
def test_logprobs_are_those_of_each_token(url: str, stream: bool) -> None:
    options = {"logprobs": True, "top_logprobs": 2, "max_tokens": 3, **ENDLESS}
    answer = ask(url, options=options, stream=stream)
    tokens = answer.logprobs["content"]
    assert "".join(each["token"] for each in tokens) == answer.text
    assert [len(each["top_logprobs"]) for each in tokens] == [2, 2, 2]
    assert all(each["logprob"] <= 0 for each in tokens)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("form", "answers"),
    [
        ({"format": "choice", "schema": ["grün", 'a "b"\\c\n', "rot"]}, ("grün", 'a "b"\\c\n', "rot")),
        ({"format": "grammar", "schema": 'root ::= "yes" | "no"'}, ("yes", "no")),
    ],
)
def test_an_answer_has_the_form_that_the_server_is_told(
    url: str, form: dict[str, Any], answers: tuple[str, ...], stream: bool
) -> None:
    assert ask(url, structured_output=form, options={"max_tokens": 30}, stream=stream).text in answers


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_is_json_of_the_schema(url: str, stream: bool) -> None:
    answer = ask(url, structured_output={"schema": POINT}, options={"max_tokens": 200, "seed": 1}, stream=stream)
    found = json.loads(answer.text or "")
    assert found.keys() == {"x", "of"}
    assert isinstance(found["x"], int)
    assert found["of"] in ("a", "b")


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("api", APIS)
def test_a_prompt_that_is_too_long_fails_once(url: str, api: str, stream: bool) -> None:
    with pytest.raises(RequestRefused, match=f"exceeds the available context size .{CONTEXT} tokens"):
        ask(url, LONG, api=api, stream=stream)


def test_an_image_for_a_model_that_sees_none_fails_once(url: str) -> None:
    parts = [{"type": "text", "text": "What is this?"}, {"type": "image_url", "image_url": {"url": PIXEL}}]
    with pytest.raises(RequestRefused, match="image input is not supported"):
        ask(url, [{"role": "user", "content": parts}])


@pytest.mark.parametrize(
    ("cls", "more"),
    [(OpenAILLM, {}), (OpenAILLM, {"api": "responses"}), (AnthropicLLM, {})],
    ids=["chat", "responses", "messages"],
)
def test_tools_of_chat_completions_are_understood_by_each_api(
    url: str, cls: type[EndpointLLM], more: dict[str, Any]
) -> None:
    tools = [{"type": "function", "function": {"name": "locate", "description": "Finds it.", "parameters": POINT}}]
    assert ask(url, cls=cls, options={"tools": tools, "tool_choice": "auto", **ENDLESS}, **more).text


@pytest.mark.parametrize(
    ("options", "more", "message"),
    [
        ({}, {"base_url": "{url}/v2"}, r"404: .*base_url is wrong"),
        ({"temperature": "hot"}, {}, r"type must be number.*see generation_kwargs"),
        ({"top_logprobs": 2}, {}, r"requires logprobs.*see generation_kwargs"),
        ({"tools": [{"type": "function"}]}, {}, r"(?s)500: Failed to parse tools.*see generation_kwargs"),
        ({"tool_choice": "whenever"}, {}, r"Invalid tool_choice.*see generation_kwargs"),
        ({}, {"structured_output": {"format": "grammar", "schema": "root ::= ("}}, "does not take this structured"),
        ({}, {"structured_output": {"schema": HUGE}}, "does not take this structured_output: simplify its schema"),
    ],
)
def test_what_would_fail_every_row_halts_the_run(
    url: str, options: dict[str, Any], more: dict[str, Any], message: str
) -> None:
    given = {name: value.format(url=url) if isinstance(value, str) else value for name, value in more.items()}
    with pytest.raises(WrongSetup, match=message):
        ask(url, options=options, **given)


def test_a_form_of_a_row_that_the_server_refuses_fails_the_row_alone(url: str) -> None:
    async def answer() -> None:
        llm = OpenAILLM(model="tiny", base_url=f"{url}/v1", provider="llamacpp")
        llm.load()
        await llm.aload()
        try:
            form = StructuredOutput(format="grammar", schema="root ::= (")
            await llm.with_form(form).agenerate(HI)
        finally:
            await llm.aunload()

    with pytest.raises(RequestRefused, match="failed to parse grammar"):
        asyncio.run(answer())


def test_a_wrong_key_halts_the_run(guarded: str) -> None:
    with pytest.raises(WrongSetup, match=r"401: Invalid API Key; check the key in the environment variable LLAMA_API"):
        ask(guarded, api_key="sk-another")
    assert ask(guarded, api_key=KEY, options=ENDLESS).text


@pytest.mark.parametrize("stream", [False, True])
def test_the_messages_api_is_spoken_too(url: str, stream: bool) -> None:
    answer = ask(
        url,
        [{"role": "system", "content": "Be brief."}, *HI],
        cls=AnthropicLLM,
        stream=stream,
        options=ENDLESS | {"temperature": 0},
    )
    assert (len(answer.text or ""), answer.finish_reason) == (12, "length")
    assert answer.input_tokens == 9 + 1 + 1 + 5
    with pytest.raises(RequestRefused, match="exceeds the available context size"):
        ask(url, LONG, cls=AnthropicLLM, stream=stream)


def test_vectors_come_in_the_order_of_their_texts(guarded: str) -> None:
    embeddings = OpenAIEmbeddings(
        model="tiny", provider="llamacpp", base_url=f"{guarded}/v1", api_key=KEY, batch_size=2
    )
    vectors = embeddings.encode(["one", "two", "three"])
    assert [len(vector) for vector in vectors] == [WIDTH] * 3
    assert vectors[2] == pytest.approx(embeddings.encode(["three"])[0], abs=1e-3)
    assert vectors[2] != pytest.approx(vectors[0], abs=1e-3)


def test_a_text_that_is_too_long_for_a_vector_fails_once(guarded: str) -> None:
    embeddings = OpenAIEmbeddings(model="tiny", base_url=f"{guarded}/v1", api_key=KEY, max_retries=2)
    with pytest.raises(RequestRefused, match="too large to process"):
        embeddings.encode(["x" * 3 * CONTEXT])


def test_a_server_without_vectors_halts_the_run(url: str) -> None:
    with pytest.raises(UsageError, match=r"501: .*with which options it was started"):
        OpenAIEmbeddings(model="tiny", base_url=f"{url}/v1").encode(["one"])


def test_a_server_that_takes_texts_alone_refuses_a_conversation_and_the_error_says_why(guarded: str) -> None:
    embeddings = OpenAIEmbeddings(model="tiny", base_url=f"{guarded}/v1", api_key=KEY)

    async def encoded() -> None:
        await embeddings.aload()
        try:
            await embeddings.aencode_conversation(HI)
        finally:
            await embeddings.aunload()

    with pytest.raises(RequestRefused, match="sent as messages, which vLLM's server takes"):
        asyncio.run(encoded())

"""The providers as data: where each is, what it does in its own way, and the classes that have their names."""

from __future__ import annotations

import asyncio
import re
from typing import Any
from urllib.parse import urlsplit

import pytest

from common.errors import UsageError
from common.llms import ClientvLLM, GroqLLM, MistralLLM, OllamaLLM, OpenAILLM, TogetherLLM
from common.llms.calls.verdicts import ErrorReply, judge, pause_asked_for
from common.llms.embeddings import OpenAIEmbeddings
from common.llms.endpoint_llm import EndpointLLM
from common.llms.providers import PROVIDERS, provider_at
from tests.support.asking import HI, answer_of
from tests.support.places import REPOSITORY
from tests.support.servers.api_server import KEY, serving_api
from tests.support.servers.openai_server import OpenAIServer

QUOTA = "You exceeded your current quota, please check your plan and billing details."
SAID = [
    ("anthropic", 400, ErrorReply("max_tokens: 9000 > 4096, which is the maximum allowed"), "setup"),
    ("anthropic", 400, ErrorReply("output_config.format.schema: For 'array' type, 'uniqueItems' ..."), "setup"),
    ("anthropic", 400, ErrorReply("`temperature` is deprecated for this model.", "invalid_request_error"), "setup"),
    ("anthropic", 400, ErrorReply("You have reached your specified API usage limits."), "setup"),
    ("deepseek", 503, ErrorReply("Service is too busy."), "busy"),
    ("deepseek", 422, ErrorReply("invalid parameters"), "setup"),
    ("gemini", 503, ErrorReply("This model is currently experiencing high demand.", kind="UNAVAILABLE"), "busy"),
    ("gemini", 429, ErrorReply(f"{QUOTA} Quota exceeded for metric: requests, limit: 0, model: x"), "setup"),
    ("gemini", 429, ErrorReply(f"{QUOTA} limit: 15. Please retry in 11.6s.", kind="RESOURCE_EXHAUSTED"), "busy"),
    ("groq", 498, ErrorReply("capacity exceeded", code="capacity_exceeded"), "busy"),
    ("groq", 400, ErrorReply("Failed to call a function.", code="tool_use_failed"), "fault"),
    ("huggingface", 503, ErrorReply("Service Unavailable"), "away"),
    ("huggingface", 424, ErrorReply("Request failed during generation"), "fault"),
    ("tgi", 424, ErrorReply("Request failed during generation"), "fault"),
    ("together", 403, ErrorReply("input token count exceeds the context length"), "request"),
    ("xai", 403, ErrorReply("Your team has used all available credits or reached its monthly spending limit"), "setup"),
    ("xai", 429, ErrorReply("Your team has reached its monthly spending limit"), "setup"),
]
"""What providers say in their own way, and its class: at least once for each line of each of them."""


@pytest.mark.parametrize(
    ("given", "asked", "name"),
    [
        ("https://api.eu.mistral.ai", "https://api.eu.mistral.ai/v1/chat/completions", "mistral"),
        ("https://api.together.xyz/v1", "https://api.together.xyz/v1/chat/completions", "together"),
        (
            "https://dashscope.aliyuncs.com/",
            "https://dashscope.aliyuncs.com/compatible-mode/v1/chat/completions",
            "dashscope",
        ),
    ],
)
def test_another_host_of_a_provider_is_asked_there_and_in_the_provider_s_way(given: str, asked: str, name: str) -> None:
    llm = OpenAILLM(model="m", base_url=given)
    assert llm._request_url == asked
    assert llm._provider is PROVIDERS[name]
    with pytest.raises(UsageError, match=f"set the environment variable {PROVIDERS[name].key_env}"):
        llm.load()


@pytest.mark.parametrize(("name", "status", "error", "kind"), SAID)
def test_what_a_provider_says_in_its_own_way_is_classed(name: str, status: int, error: ErrorReply, kind: str) -> None:
    assert judge(status, error, PROVIDERS[name].rules).kind == kind


def test_every_line_of_a_provider_changes_the_class_or_the_advice_of_something_that_it_says() -> None:
    for name, provider in PROVIDERS.items():
        said = [(status, error) for whose, status, error, _ in SAID if whose == name]
        for line in provider.rules:
            others = [rule for rule in provider.rules if rule is not line]
            assert any(judge(*each, provider.rules) != judge(*each, others) for each in said), (name, line)


@pytest.mark.parametrize(
    ("name", "status", "message", "kind"),
    [
        ("gemini", 503, "something else", "fault"),
        ("groq", 400, "invalid JSON body", "request"),
        ("together", 403, "you may not", "setup"),
        ("xai", 403, "Content violates usage guidelines. Failed check: SAFETY_CHECK_TYPE_BIO", "request"),
        ("xai", 429, "rate limit exceeded", "busy"),
        ("xai", 400, "Incorrect API key provided: xai-***", "setup"),
        ("mistral", 422, "extra_forbidden: Extra inputs are not permitted", "setup"),
        ("openrouter", 403, "Your input was flagged", "request"),
        ("openrouter", 402, "Insufficient credits", "setup"),
        ("together", 503, "The server is overloaded", "busy"),
        ("fireworks", 404, "Model not found, inaccessible, and/or not deployed", "setup"),
    ],
)
def test_what_it_says_as_others_do_has_the_common_class(name: str, status: int, message: str, kind: str) -> None:
    assert judge(status, ErrorReply(message), PROVIDERS[name].rules).kind == kind


@pytest.mark.parametrize(
    ("headers", "message", "seconds"),
    [
        ({}, "You exceeded your current quota. Please retry in 11.665902715s.", 11.665902715),
        ({}, "Rate limit is exceeded. Try again in 26 seconds.", 26),
        ({}, "Please retry after 99999 seconds.", 600),
        ({"retry-after": "2"}, "Please retry in 11.6s.", 2),
        ({}, "Please retry in 2 steps.", None),
        ({}, "", None),
    ],
)
def test_a_pause_is_asked_for_by_a_header_or_else_in_words(
    headers: dict[str, str], message: str, seconds: float | None
) -> None:
    assert pause_asked_for(headers, message) == seconds


def test_providers_are_found_by_the_hosts_of_their_urls() -> None:
    for provider in PROVIDERS.values():
        assert re.match(r"https://" if provider.needs_key else r"http://127\.0\.0\.1:\d+/v1$", provider.url)
        assert not provider.url.endswith("/")
        if provider.needs_key:
            assert provider_at(urlsplit(provider.url).hostname) is provider


def test_a_url_of_a_provider_without_its_path_is_completed() -> None:
    assert OpenAILLM(model="m", base_url="https://api.groq.com")._url == PROVIDERS["groq"].url
    assert OpenAILLM(model="m", base_url="https://api.openai.com/")._url == PROVIDERS["openai"].url
    assert OpenAILLM(model="m", base_url="https://api.groq.com/other/v1")._url == "https://api.groq.com/other/v1"


def test_the_table_of_providers_in_the_guide_is_that_of_the_code() -> None:
    text = (REPOSITORY / "docs" / "guides" / "models.md").read_text()
    rows = [
        f"| `{name}` | `{provider.url}` | `{provider.key_env}`{'' if provider.needs_key else ', if it wants one'} |"
        for name, provider in PROVIDERS.items()
    ]
    assert "\n".join(rows) in text


# distilabel's classes


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_BASE_URL", "TOGETHER_BASE_URL", "GROQ_BASE_URL", "OLLAMA_HOST", "GROQ_API_KEY"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("llm", "name"),
    [
        (GroqLLM(model="m"), "groq"),
        (GroqLLM(model="m", base_url="https://api.groq.com"), "groq"),
        (MistralLLM(model="m"), "mistral"),
        (MistralLLM(model="m", endpoint="https://api.mistral.ai", max_concurrent_requests=64), "mistral"),
        (TogetherLLM(model="m"), "together"),
        (OllamaLLM(model="m", follow_redirects=True), "ollama"),
        (ClientvLLM(model="m", tokenizer="t"), "vllm"),
    ],
    ids=lambda each: each if isinstance(each, str) else type(each).__name__,
)
def test_a_class_of_distilabel_asks_its_provider(llm: EndpointLLM, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "http://elsewhere/v1")
    provider = PROVIDERS[name]
    assert (llm._url, llm._key_name) == (provider.url, provider.key_env)
    if provider.needs_key:
        monkeypatch.delenv(provider.key_env, raising=False)
        with pytest.raises(UsageError, match=provider.key_env):
            llm.load()
    else:
        llm.load()


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("gpu-1", "http://gpu-1:11434/v1"),
        ("gpu-1:8000", "http://gpu-1:8000/v1"),
        ("http://gpu-1/", "http://gpu-1:11434/v1"),
        ("https://ollama.com", "https://ollama.com/v1"),
        ("http://gpu-1:11434/v1", "http://gpu-1:11434/v1"),
    ],
)
def test_a_host_of_ollama_is_written_as_its_clients_take_it(
    host: str, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert OllamaLLM(model="m", host=host).base_url == url
    monkeypatch.setenv("OLLAMA_HOST", host)
    assert OllamaLLM(model="m")._url == url


def test_fields_that_a_provider_refuses_are_not_sent_and_options_have_its_names() -> None:
    assert "stream_options" in OpenAILLM(model="m", base_url="http://h/v1", stream=True).asks(HI)[1]
    assert "stream_options" not in OpenAILLM(model="m", provider="groq", stream=True).asks(HI)[1]
    vectors = OpenAIEmbeddings(model="m", provider="mistral", dimensions=5)
    assert vectors.asks(HI)[1]["output_dimension"] == 5
    for name in ("mistral", "cohere"):
        options = {"seed": 1, "max_completion_tokens": 5}
        llm = OpenAILLM(model="m", provider=name, stream=True, generation_kwargs=options)
        request = llm.asks(HI)[1]
        assert request["max_tokens" if name == "mistral" else "max_completion_tokens"] == 5
        assert "stream_options" not in request
        assert request["random_seed" if name == "mistral" else "seed"] == 1


def test_a_class_of_a_provider_keeps_its_ways_behind_a_gateway() -> None:
    async def sent() -> dict[str, Any]:
        async with serving_api(OpenAIServer()) as server:
            llm = MistralLLM(model="m", base_url=f"{server.url}/v1", api_key=KEY, stream=True)
            assert (await answer_of(llm)).text == "answer to hi"
            return server.asked[0].body

    assert asyncio.run(sent()) == {"model": "m", "messages": HI, "stream": True}
    assert GroqLLM(model="m", base_url="http://gateway/v1")._provider.rules == PROVIDERS["groq"].rules
    assert OpenAILLM(model="m", base_url="http://gateway/v1")._provider.renames == {}


def test_options_of_ollamas_own_api_are_sent_as_chat_completions_have_them() -> None:
    own = {"num_predict": 5, "temperature": 0.2, "stop": None}
    llm = OllamaLLM(model="m", generation_kwargs={"options": own, "format": "json", "temperature": 0.5})
    llm.load()
    assert llm.asks(HI)[1] == {
        "model": "m",
        "messages": HI,
        "max_tokens": 5,
        "temperature": 0.5,
        "response_format": {"type": "json_object"},
    }
    schema = {"type": "object"}
    request = OllamaLLM(model="m", generation_kwargs={"format": schema}).asks(HI)[1]
    assert request["response_format"] == {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}
    with pytest.raises(UsageError, match=r"no option 'options\.num_ctx'; .*; set others in the Modelfile"):
        OllamaLLM(model="m", generation_kwargs={"options": {"num_ctx": 5}}).load()

"""Our clients against `transformers serve`, with a tiny model of random weights, where that is installed."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from common.llms import Generation, OpenAILLM
from common.llms.calls.calling import WrongSetup
from tests.support.asking import HI, answer_of
from tests.support.servers.transformers_server import transformers_server, why_no_transformers, write_tiny_transformer

pytestmark = [
    pytest.mark.skipif(bool(why_no_transformers()), reason=why_no_transformers()),
    pytest.mark.timeout(300),
]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("transformer") / "tiny"
    write_tiny_transformer(folder)
    return folder


@pytest.fixture(scope="module")
def url(model: Path) -> Iterator[str]:
    with transformers_server(model) as url:
        yield url


def ask(url: str, served: Path, messages: list[Any] = HI, **options: Any) -> Generation:
    usual = {"model": str(served), "base_url": f"{url}/v1", "generation_kwargs": {"max_tokens": 12}}
    return asyncio.run(answer_of(OpenAILLM(**(usual | options)), messages, patience=60.0))


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("api", ["chat", "completions", "responses"])
def test_an_answer_is_read_whole_and_streamed_by_each_api(url: str, model: Path, api: str, stream: bool) -> None:
    answer = ask(url, model, api=api, stream=stream)
    assert answer.text
    assert answer.finish_reason in ("stop", "length")
    assert answer.input_tokens == (2 if api == "completions" else 5)
    assert answer.output_tokens is not None
    assert 0 < answer.output_tokens <= 12


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"base_url": "{url}/v2"}, r"404: .*base_url is wrong"),
        ({"model": "another"}, r"400: Server is pinned to .*no such model"),
        ({"generation_kwargs": {"extra_body": {"top_k_k": 1}}}, r"422: Unexpected fields.*see generation_kwargs"),
    ],
)
def test_what_would_fail_every_row_halts_the_run(url: str, model: Path, options: dict[str, Any], message: str) -> None:
    given = {name: value.format(url=url) if isinstance(value, str) else value for name, value in options.items()}
    with pytest.raises(WrongSetup, match=message):
        ask(url, model, **given)

"""Instructions that a model writes: what an endpoint is sent, what is refused, and what is drawn."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest

from common.errors import RowError
from common.llms import OpenAILLM
from common.steps.tasks import Magpie, MagpieGenerator
from common.steps.tasks.asker import PromptError
from common.steps.tasks.raw_chats import RAW_CHATS, family_of
from tests.support.servers.chat_server import Answer, serving
from tests.support.tasks.scripted import rows_of, scripted

QWEN = {"magpie_pre_query_template": "qwen2"}


def test_an_endpoint_continues_the_turns_so_far() -> None:
    said = iter(["Name a star.<|eot_id|>", "Vega.", "Another?"])

    def answer(body: dict[str, Any]) -> Answer:
        return 200, {}, {"choices": [{"text": next(said), "finish_reason": "stop"}]}

    async def conversation() -> tuple[Any, list[Any]]:
        async with serving(answer) as chat:
            llm = OpenAILLM(model="m", base_url=chat.url, api="completions")
            task = Magpie(
                llm=llm, magpie_pre_query_template="llama3", n_turns=2, end_with_user=True, system_prompt="Be brief."
            )
            task.load()
            await task.aload()
            try:
                return await task.process_row({}), chat.requests
            finally:
                await task.aunload()

    row, requests = asyncio.run(conversation())
    assert [turn["content"] for turn in row["conversation"]] == ["Name a star.", "Vega.", "Another?"]
    system = "<|start_header_id|>system<|end_header_id|>\n\nBe brief.<|eot_id|>"
    user = "<|start_header_id|>user<|end_header_id|>\n\n"
    assistant = "<|start_header_id|>assistant<|end_header_id|>\n\n"
    first = system + user
    second = f"{first}Name a star.<|eot_id|>{assistant}"
    assert [body["prompt"] for _, _, body in requests] == [first, second, f"{second}Vega.<|eot_id|>{user}"]


@pytest.mark.parametrize("cls", [Magpie, MagpieGenerator])
@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"llm": {"type": "OpenAILLM", "model": "m"}}, "api: completions"),
        ({"llm": {"type": "AnthropicLLM", "model": "m"}}, "AnthropicLLM as it is set sends conversations"),
        ({"llm": {"type": "InferenceEndpointsLLM", "model_id": "m"}}, "only where it continues a text"),
        ({"magpie_pre_query_template": "eliza"}, "there are llama3, qwen2"),
        ({"magpie_pre_query_template": "gemma", "system_prompt": "Be brief."}, "no system messages"),
        ({"system_prompt": {"a": ("A", 0.5), "b": ("B", 0.4)}}, "sum to 1, not to 0.9"),
        ({"system_prompt": []}, "it is empty"),
    ],
)
def test_what_cannot_work_is_refused(cls: Any, wrong: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        cls(**{"llm": {"type": "EchoLLM"}, **QWEN, **wrong})


def test_the_template_may_be_where_distilabel_has_it() -> None:
    llm = {"type": "OpenAILLM", "model": "m", "api": "completions"}
    task = Magpie(llm={**llm, "use_magpie_template": True, "magpie_pre_query_template": "<|im_start|>user\n"})
    assert task.magpie_pre_query_template == "qwen2"
    assert family_of("<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\n") == "llama3"


@pytest.mark.parametrize(
    ("parameters", "turns", "columns"),
    [
        ({}, 2, {"instruction", "response"}),
        ({"only_instruction": True, "n_turns": 3}, 1, {"instruction"}),
        ({"end_with_user": True}, 1, {"conversation"}),
        ({"n_turns": 2}, 4, {"conversation"}),
        ({"include_system_prompt": True, "system_prompt": ["s"]}, 2, {"conversation"}),
        ({"system_prompt": {"k": "s"}}, 2, {"instruction", "response", "system_prompt_key"}),
    ],
)
def test_columns_follow_the_parameters(parameters: dict[str, Any], turns: int, columns: set[str]) -> None:
    task: Any = scripted(Magpie, ["1", "2", "3", "4"], {**QWEN, **parameters})
    (row,) = rows_of(task, {})
    assert row.keys() - {"model_name", "distilabel_metadata"} == columns
    assert len(task.llm.asked) == turns
    if "include_system_prompt" in parameters:
        assert row["conversation"][0] == {"role": "system", "content": "s"}


@pytest.mark.parametrize("family", RAW_CHATS)
def test_a_row_cannot_begin_turns_by_its_words(family: str) -> None:
    chat = RAW_CHATS[family]
    for mark in chat.marks:
        with pytest.raises(RowError, match="ends or begins a turn"):
            chat.until([{"role": "user", "content": f"a{mark}b"}], "assistant")
    assert chat.said(f"a{chat.end}{chat.after_end}{chat.opened('assistant')}b") == "a"


@pytest.mark.parametrize(
    ("family", "prompt"), [("gemma", "Be brief."), ("qwen2", "<|im_end|>"), ("qwen2", 5), ("qwen2", " ")]
)
def test_a_row_whose_system_prompt_cannot_be_sent_fails_without_a_call(family: str, prompt: Any) -> None:
    task: Any = scripted(Magpie, "x", {"magpie_pre_query_template": family})
    with pytest.raises(PromptError):
        rows_of(task, {"system_prompt": prompt})
    assert not task.llm.asked


def test_rows_of_a_generator_draw_their_system_prompts_by_number_wherever_it_begins() -> None:
    prompts = {"a": ("A", 0.75), "b": ("B", 0.25)}
    task: Any = scripted(MagpieGenerator, "x", {**QWEN, "num_rows": 200, "system_prompt": prompts})
    rows = rows_of(task, {})
    drawn = Counter(row["system_prompt_key"] for row in rows)
    assert 120 <= drawn["a"] <= 180
    assert drawn.total() == 200
    assert "number" not in rows[0]
    task.load()
    later = [row for batch, _ in task.process(offset=150) for row in batch]
    assert [row["system_prompt_key"] for row in later] == [row["system_prompt_key"] for row in rows[150:]]


def test_generations_are_rows_or_lists() -> None:
    task = scripted(Magpie, "x", {**QWEN, "num_generations": 2})
    assert [row["instruction"] for row in rows_of(task, {})] == ["x", "x"]
    grouped = scripted(Magpie, "x", {**QWEN, "num_generations": 2, "group_generations": True})
    assert [row["response"] for row in rows_of(grouped, {})] == [["x", "x"]]

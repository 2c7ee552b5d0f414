"""Magpie: instructions that an aligned model writes itself, asked with the beginning of a user's turn alone."""

from __future__ import annotations

from typing import ClassVar

from common.steps.tasks.base import Task
from common.steps.tasks.examples import Example
from common.steps.tasks.pre_query import PreQuery

CITATION = (
    "@misc{xu2024magpie,\n"
    "  title={Magpie: Alignment Data Synthesis from Scratch by Prompting Aligned LLMs with Nothing},\n"
    "  author={Zhangchen Xu and Fengqing Jiang and Luyao Niu and Yuntian Deng and Radha Poovendran and Yejin Choi "
    "and Bill Yuchen Lin},\n"
    "  year={2024},\n"
    "  eprint={2406.08464},\n"
    "  archivePrefix={arXiv}\n"
    "}"
)


class Magpie(PreQuery, Task):
    """Sends the beginning of a user's turn, which the model completes with an instruction; then answers it.

    Adds `instruction` and `response`; `instruction` alone with `only_instruction`; and `conversation`, a list of
    messages, with `n_turns` above 1, `end_with_user` or `include_system_prompt`. A row's column `system_prompt`
    replaces that of the step. If `system_prompt` is a mapping, `system_prompt_key` says which was drawn; rows that hold
    the same draw the same.

    The `llm` must continue a text as it is: `OpenAILLM` and its kin with `api: completions`, at vLLM, llama.cpp or
    Text Generation Inference. The endpoint adds the token that begins a text. A turn with the marks of another turn in
    it is asked for again, `parse_retries` times; then the row fails.
    """

    _version: ClassVar[int] = 2

    inputs: ClassVar[dict[str, bool]] = {"system_prompt": False}
    citations = (CITATION,)
    worked_examples = (
        Example(
            row={"system_prompt": "You help people who grow vegetables."},
            reply=["When do I sow beans?", "In May, once the soil is warm."],
            made={"instruction": "When do I sow beans?", "response": "In May, once the soil is warm."},
            parameters={"magpie_pre_query_template": "qwen2"},
        ),
        Example(
            row={},
            reply=["Name a star.", "Vega.", "How far is it?"],
            made={
                "conversation": [
                    {"role": "user", "content": "Name a star."},
                    {"role": "assistant", "content": "Vega."},
                    {"role": "user", "content": "How far is it?"},
                ]
            },
            parameters={"magpie_pre_query_template": "llama3", "n_turns": 2, "end_with_user": True},
        ),
    )

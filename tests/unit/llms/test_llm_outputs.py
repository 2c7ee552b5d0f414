"""What `agenerate` of a user's own class may return."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from common.llms import LLM, Generation
from common.llms.outputs import generate
from tests.support.asking import HI


class Own(LLM):
    output: Any = None

    @property
    def model_name(self) -> str:
        return "own"

    async def agenerate(self, input: list[Any], num_generations: int = 1) -> Any:
        assert input == HI
        return self.output


def returned(output: Any) -> Generation:
    return asyncio.run(generate(Own(output=output), HI, {}))


@pytest.mark.parametrize(
    ("output", "generation"),
    [
        (Generation("a", "stop"), Generation("a", "stop")),
        ("a", Generation("a")),
        (None, Generation(None)),
        (["a"], Generation("a")),
        ([None], Generation(None)),
        ([], Generation(None)),
        ({"generations": ["a"]}, Generation("a")),
        (
            {"generations": ["a"], "statistics": {"input_tokens": [3], "output_tokens": [1]}, "logprobs": [[-0.5]]},
            Generation("a", input_tokens=3, output_tokens=1, logprobs=[-0.5]),
        ),
        ({"generations": ["a"], "statistics": {"input_tokens": 3}}, Generation("a", input_tokens=3)),
    ],
)
def test_an_answer_may_be_a_generation_a_text_or_what_distilabel_returns(output: Any, generation: Generation) -> None:
    assert returned(output) == generation


@pytest.mark.parametrize(
    ("output", "fault"),
    [
        (3, r"returned a .* without a list of generations"),
        ({"text": "a"}, r"returned a .* without a list of generations"),
        ([3], r"returned a .* where a text is expected"),
        (["a", "b"], r"returned 2 generations where one was asked for \(set num_generations of the step\)"),
    ],
)
def test_anything_else_is_a_fault_of_its_class(output: Any, fault: str) -> None:
    with pytest.raises(TypeError, match=f"agenerate of Own {fault}; it returns a Generation, a text, or"):
        returned(output)

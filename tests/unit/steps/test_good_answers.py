"""Which answers a row can keep."""

from __future__ import annotations

import pytest

from common.llms.base import Generation
from common.steps.tasks.asking import BadAnswer, check_answer


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("length", "was cut off at the limit of its tokens"),
        ("model_length", "was cut off at the limit of its tokens"),
        ("content_filter", "was filtered"),
        ("abort", "was broken off"),  # vLLM and SGLang as they go down
        ("error", "was broken off"),
        ("insufficient_system_resource", "was broken off"),  # DeepSeek
        ("pause_turn", "was broken off"),  # Anthropic
    ],
)
def test_a_part_of_an_answer_is_kept_only_where_that_is_meant(reason: str, words: str) -> None:
    answer = Generation("half an ans", reason)
    with pytest.raises(BadAnswer, match=words):
        check_answer(answer, "m")
    check_answer(answer, "m", accept=[reason])


@pytest.mark.parametrize("reason", ["stop", "eos_token", "tool_calls", "COMPLETE", None])
def test_any_other_reason_is_that_of_a_whole_answer(reason: str | None) -> None:
    check_answer(Generation("an answer", reason), "m")
    with pytest.raises(BadAnswer, match="gave no text"):
        check_answer(Generation(" ", reason), "m")

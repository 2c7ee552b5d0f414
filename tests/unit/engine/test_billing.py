"""What a model costs that several hosts serve depends on where a pipeline asks it."""

from __future__ import annotations

from typing import Any

import pytest

from common.llms.price_table import HOSTED, TABLE, Price
from common.spec.spec import PipelineSpec
from coordinator.engine.billing import prices_of

OPEN = "openai/gpt-oss-120b"


def spec(*clients: dict[str, Any], **more: Any) -> PipelineSpec:
    steps = {f"ask{number}": {"type": "TextGeneration", "llm": client} for number, client in enumerate(clients)}
    return PipelineSpec.from_dict({"name": "p", "steps": steps, **more})


@pytest.mark.parametrize(
    ("client", "host"),
    [
        ({"type": "GroqLLM"}, "groq"),
        ({"type": "TogetherLLM"}, "together"),
        ({"type": "OpenAILLM", "provider": "groq"}, "groq"),
        ({"type": "OpenAILLM", "base_url": "https://api.together.xyz/v1"}, "together"),
    ],
)
def test_an_open_model_costs_what_its_host_says(client: dict[str, Any], host: str) -> None:
    assert prices_of(spec({**client, "model": OPEN})).of(OPEN) == HOSTED[host][OPEN]


@pytest.mark.parametrize(
    "clients",
    [
        [{"type": "OpenAILLM", "base_url": "http://127.0.0.1:8000/v1"}],
        [{"type": "GroqLLM", "base_url": "http://127.0.0.1:8000/v1"}],
        [{"type": "OpenAILLM", "provider": "fireworks"}],
        [{"type": "GroqLLM"}, {"type": "TogetherLLM"}],
    ],
)
def test_an_open_model_at_another_host_or_at_two_has_no_price(clients: list[dict[str, Any]]) -> None:
    assert prices_of(spec(*({**client, "model": OPEN} for client in clients))).of(OPEN) is None


def test_clients_in_lists_are_found_and_the_prices_of_the_pipeline_come_first() -> None:
    step = {
        "type": "mysteps:Debate",
        "llms": [{"type": "GroqLLM", "model": OPEN}, {"type": "OpenAILLM", "model": "o3"}],
    }
    data = {"name": "p", "steps": {"debate": step}}
    prices = prices_of(PipelineSpec.from_dict(data))
    assert (prices.of(OPEN), prices.of("o3")) == (HOSTED["groq"][OPEN], TABLE["o3"])
    own = prices_of(PipelineSpec.from_dict({**data, "prices": {OPEN: {"input": 1, "output": 2}}}))
    assert own.of(OPEN) == Price(1, 2)

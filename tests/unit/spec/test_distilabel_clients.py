"""Clients of models as distilabel dumps them: each becomes the client of the same name, with the same endpoint."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from common.llms.endpoint_llm import EndpointLLM
from coordinator.plan.load import prepare

COMMON = {
    "use_magpie_template": False,
    "magpie_pre_query_template": None,
    "generation_kwargs": {"max_new_tokens": 64, "temperature": 0.5},
    "use_offline_batch_generation": False,
    "offline_batch_generation_block_until_done": None,
    "jobs_ids": None,
    "structured_output": None,
}
DUMPS: list[tuple[str, str, dict[str, Any], str, dict[str, Any]]] = [
    (
        "openai",
        "OpenAILLM",
        {
            "model": "m",
            "base_url": "https://api.openai.com/v1",
            "default_headers": None,
            "max_retries": 6,
            "timeout": 120,
        },
        "https://api.openai.com/v1/chat/completions",
        {"max_completion_tokens": 64},
    ),
    (
        "azure",
        "AzureOpenAILLM",
        {"model": "m", "base_url": "https://x.openai.azure.com/", "api_version": "2024-10-21", "timeout": 120},
        "https://x.openai.azure.com/openai/deployments/m/chat/completions?api-version=2024-10-21",
        {"max_tokens": 64},
    ),
    (
        "anthropic",
        "AnthropicLLM",
        {"model": "m", "base_url": "https://api.anthropic.com", "timeout": 600.0, "max_retries": 6},
        "https://api.anthropic.com/v1/messages",
        {"max_tokens": 64},
    ),
    (
        "huggingface.inference_endpoints",
        "InferenceEndpointsLLM",
        {"model_id": "m", "endpoint_name": None, "base_url": None, "tokenizer_id": "m", "model_display_name": None},
        "https://router.huggingface.co/v1/chat/completions",
        {"max_tokens": 64},
    ),
    (
        "groq",
        "GroqLLM",
        {"model": "m", "base_url": "https://api.groq.com", "max_retries": 2, "timeout": 120},
        "https://api.groq.com/openai/v1/chat/completions",
        {"max_tokens": 64},
    ),
    (
        "mistral",
        "MistralLLM",
        {"model": "m", "endpoint": "https://api.mistral.ai", "max_concurrent_requests": 64, "max_retries": 6},
        "https://api.mistral.ai/v1/chat/completions",
        {"max_tokens": 64},
    ),
    (
        "together",
        "TogetherLLM",
        {"model": "m", "base_url": "https://api.together.xyz/v1", "timeout": 120},
        "https://api.together.xyz/v1/chat/completions",
        {"max_tokens": 64},
    ),
    (
        "ollama",
        "OllamaLLM",
        {"model": "m", "host": "http://gpu-1:11434", "timeout": 120, "follow_redirects": True, "tokenizer_id": "m"},
        "http://gpu-1:11434/v1/chat/completions",
        {"max_tokens": 64},
    ),
    (
        "vllm",
        "ClientvLLM",
        {"model": "m", "base_url": "http://gpu-1:8000/v1", "tokenizer": "m", "tokenizer_revision": None},
        "http://gpu-1:8000/v1/chat/completions",
        {"max_tokens": 64},
    ),
]


@pytest.mark.parametrize(("module", "name", "fields", "url", "sent"), DUMPS, ids=[dump[1] for dump in DUMPS])
def test_a_client_of_a_dump_asks_the_same_endpoint(
    module: str,
    name: str,
    fields: dict[str, Any],
    url: str,
    sent: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])
    for variable in ("OPENAI_BASE_URL", "ANTHROPIC_BASE_URL", "OPENAI_API_VERSION", "OLLAMA_HOST"):
        monkeypatch.delenv(variable, raising=False)
    info = {"module": f"distilabel.models.llms.{module}", "name": name}
    load = {"data": [{"instruction": "hi"}], "type_info": {"module": "distilabel.steps", "name": "LoadDataFromDicts"}}
    task = {
        "llm": {**COMMON, **fields, "type_info": info},
        "type_info": {"module": "distilabel.steps.tasks.text_generation", "name": "TextGeneration"},
    }
    steps = [{"name": "load", "step": {"name": "load", **load}}, {"name": "ask", "step": {"name": "ask", **task}}]
    dump = {"name": "dumped", "steps": steps, "connections": [{"from": "load", "to": ["ask"]}]}
    path = tmp_path / "pipeline.json"
    path.write_text(json.dumps({"distilabel": {"version": "1.5.3"}, "pipeline": dump}))
    llm = prepare(path).steps["ask"].llm  # type: ignore[attr-defined]
    assert isinstance(llm, EndpointLLM)
    assert type(llm).__name__ == name
    assert (llm._request_url, llm.model_name) == (url, "m")
    request = llm.asks([{"role": "user", "content": "hi"}])[1]
    assert {**request, **sent} == request

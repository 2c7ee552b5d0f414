"""What of a spec is refused as a secret in plain text, and what is none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from common.errors import SpecError
from common.faults import SpecFault
from common.secrets import refuse_secrets
from common.spec import PipelineSpec
from coordinator.load import prepare

SK = "sk-" + "a1B2" * 8


@pytest.mark.parametrize(
    "params",
    [
        {"secret_access_key": "x"},
        {"aws_access_key_id": "x"},
        {"private_key": "x"},
        {"privateKey": "x"},
        {"ssh-private-key": "x"},
        {"passwd": "x"},
        {"DB_PASSWD": "x"},
        {"pwd": "x"},
        {"pwd": "/x"},
        {"PWD": "x"},
        {"MYSQL_PWD": "/x"},
        {"env": {"PWD": "x"}},
        {"env": [["PWD", "x"]]},
        {"password": 123456},
        {"passphrase": "x"},
        {"auth": "x"},
        {"auth": ["me", "x"]},
        {"credentials": "x"},
        {"api_key=x": None},
        {"api_key:x": None},
        {"svc:api_key=x": None},
        {"api_key: =x": None},
        {"api_key=": "x"},
        {"X-Api-Key:": "x"},
        {"svc:api_key": "x"},
        {"db:password": 123456},
        {"auth/x:token": ["x"]},
        {"cookies:": {"session": "x"}},
        {"headers": [["X-Api-Key:", "x"]]},
        {"headers": [{"name": "svc:api_key", "value": "x"}]},
        {"apiKey": "x"},
        {"apikey": "x"},
        {"API-Key": "x"},
        {"openaiApiKey": "x"},
        {"api_keys": ["x", "y"]},
        {"hubToken": "x"},
        {"accessToken": "x"},
        {"bearer": "x"},
        {"X-Api-Key": "x"},
        {"Ocp-Apim-Subscription-Key": "x"},
        {"cookies": {"session": "x"}},
        {"headers": [["Authorization", "x"]]},
        {"headers": [["Accept", "y"], ["x-api-key", "x"]]},
        {"headers": [{"name": "Authorization", "value": "x"}]},
        {"headers": ["Authorization: Bearer x"]},
        {"extra_headers": "X-Api-Key: x"},
        {"anything": "Bearer abcdef123456"},
        {"anything": SK},
        {"anything": ["a", {"b": [SK]}]},
        {"options": [{"deep": [{"api_key": "x"}]}]},
        {"llms": [{"type": "OpenAILLM", "api_key": "x"}]},
        {"url": "http://me:x@h/v1"},
        {"url": "   http://me:x@h/v1"},
        {"url": "\n\thttps://:x@h"},
        {"url": "http://me:p/x@h"},
        {"urls": ["http://h", "http://me:x@h"]},
        {"url": "https://h/v1?api_key=x"},
        {"url": "https://h/v1?n=1&p%61ssword=x"},
        {"path": "simplecache::s3://key:x@bucket/y"},
        {"url": f"https://ghp_{'a1B2' * 9}@github.com/me/it"},
        {"key": "-----BEGIN RSA PRIVATE KEY-----\nabc"},
    ],
    ids=repr,
)
def test_what_looks_like_a_secret_is_refused_by_its_place(params: dict[str, Any]) -> None:
    with pytest.raises(SpecFault) as refused:
        refuse_secrets({"inner": params}, ("steps", "a"))
    assert "'steps.a.inner." in str(refused.value)
    with pytest.raises(SpecFault):
        PipelineSpec.from_dict({"name": "demo", "steps": {"a": {"type": "A", **params}}})


@pytest.mark.parametrize(
    "params",
    [
        {"max_tokens": 5, "max_new_tokens": 5, "token_count": "n", "tokens": "words", "num_tokens": "n"},
        {"key_column": "id", "key": "id", "sort_key": "id", "partition_key": "id", "keys": ["a", "b"]},
        {"author": "me", "authors": ["me"], "authority": "x", "authentic": "yes"},
        {"api_key_env": "MY_KEY", "token_env": "MY_TOKEN", "password_column": "p", "secret_santa": "x"},
        {"api_key": None, "token": "", "auth": None, "use_auth": True, "password": False},
        {"eos_token": "</s>", "pad_token": "<pad>", "stop_token": "x", "max_token": 3, "image_token": "<i>"},
        {"tokenizer": "gpt2", "passes": 3, "passage": "x", "compass": "north", "bypass": "x", "cookiecutter": "x"},
        {"input_mappings": {"token": "word"}, "output_mappings": {"password": "word"}},
        {"data": [{"password": "a column", "pairs": [["token", "NOUN"]]}], "examples": [{"token": "x"}]},
        {"template": "Secret: {{ secret }}", "system_prompt": "Password: say it", "text": "Basic instructions"},
        {"url": "http://localhost:8000/v1", "path": "s3://bucket/a@b", "file": "hf://datasets/me/it@main/x.jsonl"},
        {"url": "https://host:8000/@me", "mail": "me@example.org", "to": "sftp://user@host/rows"},
        {"model": "sk-model", "stop": ["Bearer", "Bearer of bad news"]},
        {"words": ["token", "x"]},
        {"token:": None, "svc:api_key": "", "password=": True, "svc:max_tokens": 5},
        {"env": {"PWD": "/home/me", "OLDPWD": "/home"}},
        {"env": [["PWD", "/home/me"]]},
        {"env": [{"name": "PWD", "value": "/home/me"}]},
    ],
    ids=repr,
)
def test_what_only_sounds_like_a_secret_is_taken(params: dict[str, Any]) -> None:
    refuse_secrets(params, ("steps", "a"))


def test_options_of_routing_functions_are_looked_at_too() -> None:
    routing = {"a": {"function": "mine:choose", "api_key": "x"}}
    with pytest.raises(SpecFault, match=r"'routing\.a\.api_key' holds a secret"):
        PipelineSpec.from_dict({"name": "demo", "steps": {"a": {"type": "A"}}, "routing": routing})


LLM = {"type": "OpenAILLM", "model": "m"}


@pytest.mark.parametrize(
    "override",
    [
        "ask.llm.api_key=planted",
        "ask.llm={api_key: planted}",
        "ask.llm={'api_key=planted'}",
        "ask.llm=api_key=planted",
        "ask.llm={api_key: planted",
        "ask.llm.api_key: planted",
        "ask.llm.api_key: planted=1",
        "{api_key: planted}",
        "ask.llm.generation_kwargs={extra_headers: [[X-Api-Key, planted]]}",
        "ask.llm={base_url: 'http://me:planted@h'}",
        "aks.llm={api_key: planted}",
        "ask.llm.model.api_key:planted.x=1",
    ],
)
def test_a_secret_in_an_override_is_not_repeated(override: str, tmp_path: Path) -> None:
    steps = {"load": {"type": "LoadDataFromDicts", "data": [{"instruction": "a"}]}}
    steps["ask"] = {"type": "TextGeneration", "after": "load", "llm": LLM}
    spec = tmp_path / "spec.yaml"
    spec.write_text(json.dumps({"name": "demo", "steps": steps}))
    with pytest.raises(SpecError, match="--set ") as refused:
        prepare(spec, [override])
    assert "planted" not in str(refused.value)

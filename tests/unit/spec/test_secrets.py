"""What of a spec is refused as a secret in plain text, and what is not a secret."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import model_validator

from common.errors import SpecError, SpecFault
from common.spec.secrets import hide_given, refuse_secrets
from common.spec.spec import PipelineSpec
from common.steps.base import Step, StepInput
from common.words.faults import shown
from coordinator.plan.load import prepare

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


class Strict(Step):
    """Refuses its parameters, each with its own message."""

    token_style: Any = None
    style: Any = None
    auth: Any = None

    @model_validator(mode="after")
    def refuse(self) -> Strict:
        raise ValueError(
            f"one token: either a or b, not {self.token_style}; api_key: none, {self.style!r}, {self.auth}"
        )

    def process(self, inputs: StepInput) -> Iterator[list[dict[str, Any]]]:
        yield inputs


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"token_style": "c"}, "one token: either a or b, not c; api_key: none, None, None"),
        ({"style": "my api_key=planted"}, "b, not None; api_key: none, 'my api_key=***', None"),
        ({"style": "it's secret: planted"}, 'b, not None; api_key: none, "it\'s secret: ***", None'),
        ({"style": "planted", "auth": {"token": "planted"}}, "secret in plain text"),
        ({"auth": "planted"}, "secret in plain text"),
    ],
    ids=repr,
)
def test_words_of_a_validator_stay_and_what_it_repeats_is_hidden(
    params: dict[str, Any], said: str, tmp_path: Path
) -> None:
    steps = {"load": {"type": "LoadDataFromDicts", "data": [{"a": 1}]}}
    spec = tmp_path / "spec.yaml"
    spec.write_text(json.dumps({"name": "demo", "steps": {**steps, "up": {"type": TYPE, "after": "load", **params}}}))
    with pytest.raises(SpecError) as refused:
        prepare(spec, allow=[__name__])
    assert said in str(refused.value)
    assert "planted" in repr(params) or f": {TYPE} cannot be used" in str(refused.value)
    spec.write_text(json.dumps({"name": "demo", "steps": {**steps, "up": {"type": TYPE, "after": "load"}}}))
    with pytest.raises(SpecError) as overridden:
        prepare(spec, [f"up.{name}={json.dumps(value)}" for name, value in params.items()], allow=[__name__])
    assert said in str(overridden.value)
    assert "planted" not in f"{refused.value} {overridden.value}"


@pytest.mark.parametrize(
    ("message", "given", "expected"),
    [
        ("token: it should be a list", {"token": "a b"}, "token: it should be a list"),
        ("it is 'planted'", {"api_key": "planted"}, "it is '***'"),
        ("it is planted, not replanted", {"api_key": "planted"}, "it is ***, not replanted"),
        ("it is 5 of 15", {"password": 5}, "it is *** of 15"),
        ("it is 'it\\'s \"planted\"'", {"auth": 'it\'s "planted"'}, "it is '***'"),
        (f"it is {shown('planted' * 20)}", {"auth": "planted" * 20}, "it is '***'"),
        ("it is planted of x", {"cookies": {"x": "planted"}}, "it is *** of x"),
        ("no 'api_key=planted'", {"api_key=planted": None}, "no 'api_key=***'"),
        ("no my_secrets:Ask", {"type": "my_secrets:Ask"}, "no my_secrets:Ask"),
        ("no http://me:planted@h", {}, "no http://***@h"),
        ("at http://me:planted@h, x", {"url": "http://me:planted@h"}, "at http://***@h, x"),
        ("the column word", {"data": [{"token": "word"}], "input_mappings": {"token": "word"}}, "the column word"),
    ],
)
def test_a_message_loses_exactly_the_secrets_that_are_given(message: str, given: Any, expected: str) -> None:
    assert hide_given(message, {"steps": {"a": given}}, ("steps", "a")) == expected


LLM = {"type": "OpenAILLM", "model": "m"}
TYPE = f"{__name__}:Strict"


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
        "ask.llm.model.api_key:x,planted.x=1",
        "ask.llm=api_key=x,planted",
        "ask.llm={api_key: [x, planted]",
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
